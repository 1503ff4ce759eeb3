"""``manage.py simulate``: make something go wrong with a simulated machine while it runs, and mend it again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import Error

from hardware.inventory.models import Machine
from hardware.simulator.faults import FaultRefused, Standing, registry, standing
from hardware.simulator.spec import Home


class Command(BaseCommand):
    help = "Set or clear a fault of a simulated machine, or list what there is. Nothing here reaches a real machine."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dir", type=Path, help="the fleet's folder; usually the demo's, in the console's own folder"
        )
        does = parser.add_subparsers(dest="what", required=True)
        fault = does.add_parser("fault", help="set a fault, now and until it is cleared")
        fault.add_argument("machine", help="by the name that the console or the fleet gives it")
        fault.add_argument("kind")
        fault.add_argument("--value", nargs="+", default=[], metavar="WORD", help="what exactly; see list")
        clear = does.add_parser("clear", help="clear one fault of a machine, or all")
        clear.add_argument("machine")
        clear.add_argument("kind", nargs="?", default="")
        does.add_parser("list", help="what there is, and what is set")

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = (options["dir"] or Path(settings.VAR_DIR) / "demo" / "fleet").resolve()
        try:
            if options["what"] == "list":
                self._list(folder)
            elif options["what"] == "fault":
                registry.kind(options["kind"])
                home = self._home(folder, options["machine"])
                made = registry.begin(home, options["kind"], options["value"])
                self.stdout.write(f"{home.folder.name}: {_said(made)}")
            else:
                home = self._home(folder, options["machine"])
                for ended in registry.end(home, options["kind"]):
                    self.stdout.write(f"{home.folder.name}: {ended.kind} cleared")
        except FaultRefused as wrong:
            raise CommandError(str(wrong)) from None

    def _home(self, folder: Path, name: str) -> Home:
        """By the fleet's name, or by the console's: whoever renamed it there logs in on the same port."""
        if name not in registry.machines(folder):
            try:
                ports = dict(Machine.objects.filter(name=name, simulated=True).values_list("port", "name"))
            except Error:
                ports = {}
            for own in registry.machines(folder):
                if json.loads(Home(folder / own).spec.read_text())["port"] in ports:
                    return Home(folder / own)
        return registry.machine(folder, name)

    def _list(self, folder: Path) -> None:
        for slug, kind in registry.kinds().items():
            self.stdout.write(f"{slug:<28} {kind.summary}")
            if kind.takes:
                self.stdout.write(f"{'':<28} --value {kind.takes}")
        for name in registry.machines(folder):
            found = standing(registry.machine(folder, name).simulated)
            self.stdout.write(f"{name}: {'; '.join(map(_said, found.values())) or 'nothing is set'}")


def _said(fault: Standing) -> str:
    since = time.strftime("%F %T", time.localtime(fault.since))
    return f"{fault.kind} {fault.value}".rstrip() + f", since {since}"
