from django.apps import AppConfig


class BmcConfig(AppConfig):
    name = "hardware.bmc"
    label = "bmc"
