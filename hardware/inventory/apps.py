from django.apps import AppConfig


class InventoryConfig(AppConfig):
    name = "hardware.inventory"
    label = "inventory"
