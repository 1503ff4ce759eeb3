from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "console.notifications"
    label = "notifications"

    def ready(self) -> None:
        from console.notifications.outbox import listen

        listen()
