"""Driver, firmware, CANN and MindSpore: part against part as they would be after the job, and what is there already."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.compatibility import Verdict, in_force, judge
from hardware.inventory.preflight.mends import Advice, another_cann, another_driver, another_firmware
from hardware.inventory.preflight.parts import installed
from hardware.inventory.preflight.records import Check, Mend, Need, Part, Severity, gettext_noop, say
from hardware.inventory.preflight.versions import key

NONE: Advice = (None, (), {})


def driver_firmware(facts: Facts, need: Need) -> Iterator[Check]:
    driver, firmware = _after(facts, need, "driver"), _after(facts, need, "firmware")
    chosen = need.installing("driver") or need.installing("firmware")
    if driver is None or firmware is None or (need.replaces_driver and not chosen):
        return
    verdict = judge(driver, firmware)
    yield told("driver-firmware", verdict, "block", another_firmware(facts, need, driver) if _bad(verdict) else NONE)


def driver_cann(facts: Facts, need: Need) -> Iterator[Check]:
    """A CANN that is there does not stop a new driver: it is the next to be installed. A container brings its own."""
    if need.image is not None:
        return
    driver, cann = _after(facts, need, "driver"), _after(facts, need, "cann")
    if driver is None or cann is None:
        return
    if need.replaces_driver and not need.installing("driver"):
        return
    verdict = judge(driver, cann)
    advice = NONE
    if _bad(verdict) and need.installing("driver"):
        advice = another_cann(facts, need, lambda one: bool(judge(driver, one).fits), _named("driver", driver, "cann"))
    elif _bad(verdict):
        advice = another_driver(facts, need, lambda one: bool(judge(one, cann).fits), _named("cann", cann, "driver"))
    stops = bool(need.installing("cann") or need.cann)
    yield told("driver-cann", verdict, "block" if stops else "warn", advice)


def mindspore_cann(facts: Facts, need: Need) -> Iterator[Check]:
    if need.image is not None:
        return
    mindspore, cann = _after(facts, need, "mindspore"), _after(facts, need, "cann")
    if mindspore is None or cann is None:
        return
    verdict = judge(mindspore, cann)
    wanted = in_force().partners("mindspore", mindspore.version, "cann")
    # A patch of the same CANN is taken; a candidate is not, nor another release.
    patch = any(_patch(one, cann.version) for one in wanted)
    stops = bool(need.installing("mindspore")) and not patch
    advice = NONE
    if _bad(verdict) and not patch:
        missing = wanted[0] if wanted else ""
        advice = another_cann(facts, need, lambda one: bool(judge(mindspore, one).fits), missing)
    yield told("mindspore-cann", verdict, "block" if stops else "warn", advice)


def already_there(facts: Facts, need: Need) -> Iterator[Check]:
    """What the job would install against what is installed: first time, upgrade, downgrade, or the same again."""
    there = installed(facts)
    for part in need.installs:
        old = there.get(part.what)
        values = {"version": part.version, "there": old.version if old else None}
        if part.what in ("driver", "firmware"):
            if part.what == "driver":
                yield _driver_there(there, part)
        elif part.what == "cann" and old is not None and key(old.version) == key(part.version):
            yield say("installed", "warn", gettext_noop("CANN %(there)s is there already."), **values)
        elif part.what == "cann" and old is not None:
            sentence = gettext_noop("CANN %(there)s is there; %(version)s is put beside it and becomes the one in use.")
            yield say("installed", "pass", sentence, **values)
        elif part.what == "mindspore" and old is not None and key(old.version) == key(part.version):
            yield say("installed", "warn", gettext_noop("MindSpore %(there)s is there already."), **values)
        elif part.what == "mindspore" and old is not None:
            yield say("installed", "pass", gettext_noop("MindSpore %(version)s replaces %(there)s."), **values)


def _driver_there(there: dict[str, Part], new: Part) -> Check:
    old, firmware = there.get("driver"), there.get("firmware")
    values = {"version": new.version, "there": old.version if old else None}
    if old is None and firmware is not None:
        sentence = gettext_noop("Firmware %(firmware)s is there without a driver: driver first, then firmware.")
        return say("installed", "pass", sentence, firmware=firmware.version, **values)
    if old is None:
        sentence = gettext_noop("No driver is there: driver first, then firmware.")
        return say("installed", "pass", sentence, **values)
    if key(old.version) == key(new.version):
        return say("installed", "warn", gettext_noop("Driver %(there)s is there already."), **values)
    if key(old.version) > key(new.version):
        sentence = gettext_noop("Driver %(there)s is newer than %(version)s: a downgrade, firmware first, then driver.")
        return say("installed", "warn", sentence, **values)
    sentence = gettext_noop("Driver %(there)s is there: an upgrade, firmware first, then driver.")
    return say("installed", "pass", sentence, **values)


def missing_parts(facts: Facts, need: Need) -> Iterator[Check]:
    if need.cann and facts.cann is None:
        driver = installed(facts).get("driver")
        mend, sentences, values = another_cann(
            facts, need, lambda one: driver is None or judge(driver, one).fits is not False, ""
        )
        sentence = gettext_noop("CANN is not installed, so there is no atc.")
        yield say("cann-missing", "block", (sentence, *sentences), mend, **values)
    if need.docker and facts.docker is None:
        sentence = gettext_noop(
            "docker is not installed. Install docker-engine of the Kylin medium from the depot, then start it: "
            "systemctl enable --now docker."
        )
        mend = Mend("install-os-packages", {"packages": ["docker-engine"]}, "Install docker-engine")
        yield say("docker-missing", "block", sentence, mend)


def told(code: str, verdict: Verdict, stops: Severity, advice: Advice) -> Check:
    """The check of a pair; ``stops`` is how much it weighs that they don't fit."""
    mend, sentences, values = advice
    severity: Severity = "unknown" if verdict.fits is None else "pass" if verdict.fits else stops
    if verdict.doubt:
        severity = "warn"
    return say(code, severity, (*verdict.sentences, *sentences), mend, **verdict.values, **values)


def _bad(verdict: Verdict) -> bool:
    return verdict.fits is False


def _after(facts: Facts, need: Need, what: str) -> Part | None:
    """The part as it is once the job is done."""
    return need.installing(what) or installed(facts).get(what)


def _named(what: str, part: Part, other: str) -> str:
    return ", ".join(in_force().partners(what, part.version, other)[:1])


def _patch(wanted: str, there: str) -> bool:
    return wanted.split(".")[:2] == there.split(".")[:2] and "rc" not in (wanted + there).lower()
