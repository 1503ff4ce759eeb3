from django.apps import AppConfig


class GroupsConfig(AppConfig):
    name = "hardware.inventory.groups"
    label = "groups"
