"""The package of the depot that would mend a pair that does not fit, or the name of the one that is missing there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.compatibility import in_force, judge
from hardware.inventory.preflight.parts import generations
from hardware.inventory.preflight.records import Mend, Need, Part, gettext_noop
from hardware.inventory.preflight.versions import key

_THERE = gettext_noop("In the depot, this would mend it: %(packages)s.")
_MISSING = gettext_noop("The depot has nothing that would mend it: %(missing)s is missing.")

Advice = tuple[Mend | None, tuple[str, ...], dict[str, Any]]


def another_driver(facts: Facts, need: Need, fits: Callable[[Part], bool], missing: str) -> Advice:
    """A driver of the depot that fits what is asked, with a firmware that goes with it.

    ``missing`` is the version to name where the depot has none. Gives the job, and what to say of it.
    """
    if need.depot is None:
        return None, (), {}
    for driver in newest(need.depot, "driver", facts):
        if not fits(driver):
            continue
        firmware = next((one for one in newest(need.depot, "firmware", facts) if judge(driver, one).fits), None)
        if firmware is not None:
            params = {"driver": driver.artifact, "firmware": firmware.artifact}
            mend = Mend("install-driver", params, gettext_noop("Install driver and firmware"))
            return mend, (_THERE,), {"packages": f"{driver.name}, {firmware.name}"}
    return None, (_MISSING,), {"missing": file_of("driver", missing, facts)}


def another_firmware(facts: Facts, need: Need, driver: Part) -> Advice:
    """The driver that is there or chosen, with a firmware of the depot that goes with it; else another such pair."""
    if need.depot is None:
        return None, (), {}
    firmware = next((one for one in newest(need.depot, "firmware", facts) if judge(driver, one).fits), None)
    same = (
        driver
        if driver.artifact
        else next((one for one in newest(need.depot, "driver", facts) if key(one.version) == key(driver.version)), None)
    )
    if firmware is not None and same is not None:
        params = {"driver": same.artifact, "firmware": firmware.artifact}
        mend = Mend("install-driver", params, gettext_noop("Install driver and firmware"))
        return mend, (_THERE,), {"packages": f"{same.name}, {firmware.name}"}
    # No firmware for this driver: another driver with its own would do as well.
    pair = another_driver(facts, need, lambda one: True, "")
    if pair[0] is not None:
        return pair
    partners = in_force().partners("driver", driver.version, "firmware")
    known = ", ".join(one for one in partners if judge(driver, Part("firmware", one)).fits)
    takes = ", ".join(f"{low}–{high}" for low, high in driver.ranges_of("firmware"))
    name = file_of("firmware", known or takes, facts) if firmware is None else file_of("driver", driver.version, facts)
    return None, (_MISSING,), {"missing": name}


def another_cann(facts: Facts, need: Need, fits: Callable[[Part], bool], missing: str) -> Advice:
    """A CANN of the depot that fits what is asked."""
    if need.depot is None:
        return None, (), {}
    cann = next((one for one in newest(need.depot, "cann", facts) if fits(one)), None)
    if cann is not None:
        return Mend("install-cann", {"cann": cann.artifact}, gettext_noop("Install CANN")), (_THERE,), {
            "packages": cann.name
        }  # fmt: skip
    name = f"Ascend-cann-toolkit_{missing or '…'}_linux-{facts.architecture or 'aarch64'}.run"
    return None, (_MISSING,), {"missing": name}


def file_of(what: str, version: str, facts: Facts) -> str:
    """What Huawei calls the driver or the firmware of this version for this machine."""
    system = f"_linux-{facts.architecture or 'aarch64'}" if what == "driver" else ""
    return f"Ascend-hdk-{_chip(facts).lower()}-npu-{what}_{version or '…'}{system}.run"


def newest(depot: tuple[Part, ...], what: str, facts: Facts) -> Iterator[Part]:
    """Those that are made for this machine, the newest version first."""
    chip = _chip(facts)
    fitting = [
        part
        for part in depot
        if part.what == what
        and part.architecture in ("", facts.architecture)
        and (what == "cann" or not part.chip or part.chip == chip)
    ]
    yield from sorted(fitting, key=lambda part: key(part.version), reverse=True)


def _chip(facts: Facts) -> str:
    found = generations(facts)
    return next(iter(found)) or "…" if len(found) == 1 else "…"
