from django.apps import AppConfig


class CompatibilityConfig(AppConfig):
    name = "hardware.inventory.compatibility"
    label = "compatibility"
