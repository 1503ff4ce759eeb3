"""What a rule gives and what it is asked about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["pass", "warn", "block", "unknown"]
# What stops a job first, then what nobody can say, then what is only worth a look.
ORDER: dict[Severity, int] = {"block": 0, "unknown": 1, "warn": 2, "pass": 3}

GIB = 1024**3
TB = 10**12


def gettext_noop(sentence: str) -> str:
    """Marks a sentence for the catalogue; it is translated where it is shown (``hardware.inventory.wording``)."""
    return sentence


@dataclass(frozen=True)
class Mend:
    """A job that would mend it: kind, parameters, and the words on its button."""

    kind: str
    params: dict[str, Any]
    label: str


@dataclass(frozen=True)
class Check:
    """``code`` is stable (docs/preflight.md lists them); ``values`` are what the reason speaks of.

    ``sentences`` are the reason before its values were put in, in English: what translations are looked up by.
    """

    code: str
    severity: Severity
    reason: str
    mend: Mend | None = None
    values: dict[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()


def say(
    code: str, severity: Severity, sentence: str | tuple[str, ...], mend: Mend | None = None, /, **values: Any
) -> Check:
    """A check whose reason is ``sentence`` (marked by ``gettext_noop``), or several, with ``values`` put in."""
    sentences = (sentence,) if isinstance(sentence, str) else sentence
    return Check(code, severity, " ".join(one % values for one in sentences), mend, values, sentences)


@dataclass(frozen=True)
class Part:
    """Software, as it is on a machine or as a package of the depot would put it there.

    ``what`` is driver, firmware, cann, mindspore, or an engine. ``ranges`` has what it says itself of its counterparts:
    their name -> [(lowest, highest), ...], versions or, between driver and CANN, generations (``V100R001C20``), which
    ``inner_version`` is one of. ``release`` is the number of the set that driver and firmware come in. ``chip`` is the
    generation of NPUs that a package is for. ``artifact`` is its id in the depot, ``name`` the file's.
    """

    what: str
    version: str
    ranges: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    inner_version: str | None = None
    release: str | None = None
    name: str = ""
    artifact: int | None = None
    architecture: str = ""
    chip: str = ""

    def ranges_of(self, counterpart: str) -> tuple[tuple[str, str], ...]:
        return dict(self.ranges).get(counterpart, ())


@dataclass(frozen=True)
class Image:
    """What is inside an image, as far as it is known: ``parts`` (an engine, CANN), and the chips that it is made for.

    ``soc`` is the chip that its model was converted for, as atc names it: ``Ascend910A``.
    """

    name: str
    parts: tuple[Part, ...] = ()
    chips: tuple[str, ...] = ()
    soc: str = ""

    def part(self, what: str) -> Part | None:
        return next((part for part in self.parts if part.what == what), None)


@dataclass(frozen=True)
class Claim:
    """What a job takes for itself. ``npus`` are N of each ``/dev/davinciN``; ``driver``: the driver itself, so that
    nobody may have any of its device nodes open. ``replaces`` are the containers that the job itself takes away first.
    """

    npus: tuple[int, ...] = ()
    driver: bool = False
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Need:
    """What a job asks of a machine. ``free`` is bytes by folder; ``packages`` are rpm names; ``memory`` in bytes.

    ``replaces_driver``: the job puts driver and firmware right, so what is wrong with those now does not stop it.
    ``installs`` are the packages that it would install, ``image`` what it would start. ``depot`` are the packages that
    could be installed instead or first; ``None`` where nobody looked.
    """

    architecture: str = "aarch64"
    packages: tuple[str, ...] = ()
    kernel_headers: bool = False
    free: dict[str, int] = field(default_factory=dict)
    memory: int = 0
    npus: bool = False
    cann: bool = False
    docker: bool = False
    replaces_driver: bool = False
    claim: Claim | None = None
    driver_tools: bool = False
    installs: tuple[Part, ...] = ()
    image: Image | None = None
    depot: tuple[Part, ...] | None = None

    def installing(self, what: str) -> Part | None:
        return next((part for part in self.installs if part.what == what), None)
