from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "console.access"
    label = "access"

    def ready(self) -> None:
        from console.access.trail import listen

        listen()
