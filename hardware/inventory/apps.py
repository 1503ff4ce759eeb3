from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from hardware.inventory.preflight import compatibility


class InventoryConfig(AppConfig):
    name = "hardware.inventory"
    label = "inventory"

    def ready(self) -> None:
        """The operator's table of versions is read at the start: one that can't be read stops it."""
        try:
            compatibility.use(compatibility.load(settings.COMPATIBILITY_FILE))
        except compatibility.TableError as wrong:
            raise ImproperlyConfigured(f"CONSOLE_COMPATIBILITY: {wrong}") from None
