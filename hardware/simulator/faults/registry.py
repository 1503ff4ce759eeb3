"""Setting and clearing faults of the machines of a fleet, from the host."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hardware.simulator import faults
from hardware.simulator.faults.fault import Fault, FaultRefused
from hardware.simulator.faults.standing import FOLDER, Standing, standing
from hardware.simulator.spec import Home, write_whole


@lru_cache(maxsize=1)
def kinds() -> dict[str, Fault]:
    """Every kind that has a file here, by its slug."""
    for module in pkgutil.iter_modules(faults.__path__):
        importlib.import_module(f"{faults.__name__}.{module.name}")
    return {kind.slug: kind() for kind in sorted(Fault.__subclasses__(), key=lambda kind: kind.slug)}


def kind(slug: str) -> Fault:
    """Raises ``FaultRefused`` with the kinds that there are."""
    found = kinds().get(slug)
    if found is None:
        raise FaultRefused(f"there is no fault {slug!r}; there are: {', '.join(kinds())}.")
    return found


def machines(folder: Path) -> list[str]:
    """The names of the fleet's machines."""
    return sorted(path.parent.name for path in folder.glob("*/machine.json"))


def machine(folder: Path, name: str) -> Home:
    """Raises ``FaultRefused`` with the machines that there are."""
    names = machines(folder)
    if not names:
        raise FaultRefused(f"{folder} has no simulated machine; start a fleet there, or name its folder with --dir.")
    if name not in names:
        raise FaultRefused(f"there is no simulated machine {name!r}; there are: {', '.join(names)}.")
    return Home(folder / name)


def begin(home: Home, slug: str, words: Sequence[str] = ()) -> Standing:
    """Set a fault, in the place of one of the same kind. Raises ``FaultRefused``."""
    fault = kind(slug)
    value = fault.value(list(words))
    folder = home.simulated / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / slug, f"{' '.join(value)}\n", 0o644)
    fault.began(home)
    return standing(home.simulated)[slug]


def end(home: Home, slug: str = "") -> list[Standing]:
    """Clear a fault, or all that are set; returns those that were. Raises ``FaultRefused``."""
    if slug:
        kind(slug)
    ended = [fault for name, fault in standing(home.simulated).items() if not slug or name == slug]
    for fault in ended:
        (home.simulated / FOLDER / fault.kind).unlink(missing_ok=True)
        kind(fault.kind).ended(home)
    return ended
