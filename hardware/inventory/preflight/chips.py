"""Which generation the NPUs are of, and whether the job's packages and its image are made for it."""

from __future__ import annotations

from collections.abc import Iterator

from hardware.inventory.facts import Facts
from hardware.inventory.preflight.compatibility import in_force, judge
from hardware.inventory.preflight.mends import another_driver, file_of
from hardware.inventory.preflight.parts import generations, installed
from hardware.inventory.preflight.records import Check, Image, Need, Part, gettext_noop, say


def generation(facts: Facts, need: Need) -> Iterator[Check]:
    """npu-smi calls a first-generation Ascend 910B and one of Atlas A2 alike; only the PCI id tells them apart."""
    if not (facts.npus or facts.pci_npus):
        return
    found = generations(facts)
    devices = sorted({device for _slot, device in facts.pci_npus})
    names = sorted({npu.name for npu in facts.npus if npu.name})
    values = {
        "chips": ", ".join(sorted(str(one) for one in found if one)), "devices": ", ".join(devices),
        "names": ", ".join(names),
    }  # fmt: skip
    if None in found:
        sentence = gettext_noop("Unknown: which generation the NPUs are of (npu-smi: %(names)s; PCI: %(devices)s).")
        yield say("chip", "unknown", sentence, **values)
    elif "910" in found and any("910B" in name.upper() for name in names):
        sentence = gettext_noop(
            "npu-smi calls the NPUs %(names)s, but by their PCI id %(devices)s they are first-generation Ascend 910: "
            "packages and images for Atlas A2 do not run on them."
        )
        yield say("chip", "warn", sentence, **values)
    elif devices:
        yield say("chip", "pass", gettext_noop("The NPUs are %(chips)s by their PCI id %(devices)s."), **values)
    else:
        yield say("chip", "pass", gettext_noop("The NPUs are %(chips)s by their name %(names)s."), **values)


def package_chip(facts: Facts, need: Need) -> Iterator[Check]:
    """Driver and firmware that the job installs are for these NPUs."""
    for part in need.installs:
        if part.what not in ("driver", "firmware") or not (facts.npus or facts.pci_npus):
            continue
        found = generations(facts)
        chips = ", ".join(sorted(str(one) for one in found if one))
        values = {"package": part.name, "made_for": part.chip, "chips": chips}
        if not part.chip or None in found:
            sentence = gettext_noop("Unknown: whether %(package)s is for the NPUs of this machine.")
            yield say("package-chip", "unknown", sentence, **values)
        elif found == {part.chip}:
            sentence = gettext_noop("%(package)s is for %(chips)s.")
            yield say("package-chip", "pass", sentence, **values)
        else:
            sentence = gettext_noop("%(package)s is for %(made_for)s; the NPUs of this machine are %(chips)s.")
            mend, advice, more = another_driver(facts, need, lambda one: True, part.version)
            if "missing" in more:
                more["missing"] = file_of(part.what, part.version, facts)
            yield say("package-chip", "block", (sentence, *advice), mend, **values, **more)


def image_chip(facts: Facts, need: Need) -> Iterator[Check]:
    """The image, its engine and its model are for these NPUs."""
    image = need.image
    if image is None or not (facts.npus or facts.pci_npus):
        return
    found = {one for one in generations(facts) if one}
    values = {"image": image.name, "chips": ", ".join(sorted(found)), "soc": image.soc}
    names = {f"Ascend{npu.name}" for npu in facts.npus if npu.name}
    if not found:
        yield say("image-chip", "unknown", gettext_noop("Unknown: whether %(image)s is for these NPUs."), **values)
    elif image.soc and names and names != {image.soc}:
        sentence = gettext_noop("The model in %(image)s was converted for %(soc)s; the machine has %(has)s.")
        yield say("image-chip", "block", sentence, has=", ".join(sorted(names)), **values)
    elif image.chips and not found <= set(image.chips):
        sentence = gettext_noop("%(image)s is for %(made_for)s; the NPUs of this machine are %(chips)s.")
        yield say("image-chip", "block", sentence, made_for=", ".join(image.chips), **values)
    else:
        yield _engine(image, found, values)


def _engine(image: Image, found: set[str], values: dict[str, str]) -> Check:
    for part in image.parts:
        for chip in sorted(found):
            fits, row = in_force().fits(part.what, part.version, "chip", chip)
            if fits is False and row is not None:
                sentence = gettext_noop("%(engine)s in %(image)s does not run on %(chip)s (%(source)s).")
                return say("image-chip", "block", sentence, engine=part.name, chip=chip, source=row.source, **values)
            if fits and row is not None:
                sentence = gettext_noop("%(engine)s in %(image)s runs on %(chips)s (%(source)s).")
                return say("image-chip", "pass", sentence, engine=part.name, source=row.source, **values)
    if image.chips or image.soc:
        return say("image-chip", "pass", gettext_noop("%(image)s is for %(chips)s."), **values)
    return say("image-chip", "unknown", gettext_noop("Unknown: for which NPUs %(image)s is made."), **values)


def image_driver(facts: Facts, need: Need) -> Iterator[Check]:
    """A container brings its CANN; whether the machine's driver takes it shows only once the weights are loaded."""
    image, driver = need.image, installed(facts).get("driver")
    if image is None or driver is None:
        return
    values = {"image": image.name, "driver": driver.version}
    if not image.parts:
        sentence = gettext_noop("Unknown: which CANN is in %(image)s, so whether driver %(driver)s takes it.")
        yield say("image-driver", "unknown", sentence, **values)
        return
    verdicts = [(part, judge(driver, part)) for part in (*image.parts, *_cann_of(image))]
    bad = next(((part, verdict) for part, verdict in verdicts if verdict.fits is False), None)
    good = next(((part, verdict) for part, verdict in verdicts if verdict.fits), None)
    part, verdict = bad or good or verdicts[-1]
    head = gettext_noop("In %(image)s:")
    if bad:
        missing = ", ".join(in_force().partners(part.what, part.version, "driver")[:1])
        mend, advice, more = another_driver(facts, need, lambda one: bool(judge(one, part).fits), missing)
        yield say(
            "image-driver", "block", (head, *verdict.sentences, *advice), mend, **values, **verdict.values, **more
        )
    elif good:
        yield say("image-driver", "pass", (head, *verdict.sentences), **values, **verdict.values)
    else:
        yield say("image-driver", "unknown", (head, *verdict.sentences), **values, **verdict.values)


def _cann_of(image: Image) -> Iterator[Part]:
    """The CANN that an engine is known to come with, where the image does not say its own."""
    if image.part("cann") is not None:
        return
    for part in image.parts:
        for version in in_force().partners(part.what, part.version, "cann"):
            yield Part("cann", version)
