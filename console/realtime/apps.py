from django.apps import AppConfig


class RealtimeConfig(AppConfig):
    name = "console.realtime"
    label = "realtime"

    def ready(self) -> None:
        from console.realtime.publish import listen

        listen()
