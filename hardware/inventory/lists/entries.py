"""A machine as a list names it, and what can be wrong with a list. No Django here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hardware.inventory.address import address, place

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
# Pages that lie where a machine of that name would.
RESERVED = ("add", "import", "scan")
LONGEST = {"host": 255, "site": 63, "label": 63, "credential": 80}
_BETWEEN = re.compile(r"[\s,;，；、]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
BOARD_PORT = 443
# More machines than one console is meant for: a range such as [0:99999] is a mistake.
MOST = 10_000


@dataclass(frozen=True)
class Entry:
    """``line`` is where it stands, for messages; ``fingerprint`` is what its host key is known to be, if it is.

    ``jump`` names the machine that the link goes through: by its name, or by its address. ``bmc`` is the address of its
    management board (``host`` or ``host:port``), with the name of its credential and its certificate's fingerprint.
    """

    name: str
    host: str
    port: int = 22
    site: str = ""
    labels: tuple[str, ...] = ()
    credential: str = ""
    fingerprint: str = ""
    line: int = 0
    jump: str = ""
    bmc: str = ""
    bmc_credential: str = ""
    bmc_fingerprint: str = ""


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line; 0 stands for the list as a whole."""

    line: int
    text: str


@dataclass(frozen=True)
class Listing:
    """What a list says. ``notes`` are things in it that were left out, which do no harm."""

    entries: list[Entry]
    problems: list[Problem]
    notes: list[Problem]


def words(text: str) -> list[str]:
    """Labels as they are typed, with spaces, commas or semicolons between; each once."""
    return [word for word in dict.fromkeys(_BETWEEN.split(text)) if word]


class ListRefused(ValueError):
    """The text is no list of this kind; ``str()`` says why in one sentence."""


def checked(entries: Iterable[Entry], notes: Iterable[Problem] = (), problems: Iterable[Problem] = ()) -> Listing:
    """Set apart the entries that can't be machines, and names that come twice. An address that does is noted."""
    good: dict[str, Entry] = {}
    places: dict[tuple[str, int, str], str] = {}
    wrong, noted = list(problems), list(notes)
    for entry in entries:
        said = _wrong(entry)
        if said is None and entry.name in good:
            said = f"{entry.name} stands in line {good[entry.name].line} already."
        if said is not None:
            wrong.append(Problem(entry.line, said))
        else:
            good[entry.name] = entry = replace(entry, host=address(entry.host))
            first = places.setdefault((entry.host, entry.port, entry.jump), entry.name)
            if first != entry.name:
                said = f"{entry.name} and {first} have the same address: {entry.host} port {entry.port}."
                noted.append(Problem(entry.line, said))
        if len(good) > MOST:
            raise ListRefused(f"The list names more than {MOST} machines.")
    return Listing(list(good.values()), sorted(wrong, key=lambda one: one.line), noted)


def waves(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in turns: no jump host in one comes later than what lies behind it. Those in a loop come last."""
    waiting = list(entries)
    while waiting:
        left = {name for one in waiting for name in (one.name, one.host)}
        turn = [one for one in waiting if one.jump not in left or one.jump in (one.name, one.host)] or waiting
        yield turn
        waiting = [one for one in waiting if one not in turn]


def _wrong(entry: Entry) -> str | None:
    if not NAME.fullmatch(entry.name):
        return f"{entry.name!r} is no name: letters, digits, dots, dashes and underscores, 63 at most."
    if entry.name in RESERVED:
        return f"No machine can be called {entry.name}: that is the address of a page."
    try:
        address(entry.host)
    except ValueError as wrong:
        return f"{entry.name}: {wrong}"
    if not 1 <= entry.port <= 65535:
        return f"{entry.name}: {entry.port} is no port."
    for word, value in (("site", entry.site), ("credential", entry.credential), *(("label", x) for x in entry.labels)):
        if len(value) > LONGEST[word]:
            return f"{entry.name}: the {word} {value[:20]}… is longer than {LONGEST[word]} characters."
        if _CONTROL.search(value):
            return f"{entry.name}: the {word} {value!r} is more than one line; is a quotation mark left open?"
    if len(entry.jump) > LONGEST["host"] or re.search(r"[\s/@]", entry.jump):
        return f"{entry.name}: {entry.jump!r} names no machine to go through."
    if entry.bmc:
        try:
            place(entry.bmc, BOARD_PORT)
        except ValueError:
            return f"{entry.name}: {entry.bmc!r} is no address of a BMC (host or host:port)."
    if entry.bmc and not entry.bmc_credential:
        return f"{entry.name}: its BMC has no credential; name one in bmc_credential."
    if entry.fingerprint and not FINGERPRINT.fullmatch(entry.fingerprint):
        return f"{entry.name}: {entry.fingerprint!r} is no fingerprint (SHA256:...)."
    return None
