"""What the converters' error codes mean: ``explain`` picks the line of a log that tells most, with cause and mend.

``codes.toml`` has what is known, each entry with its source; docs/conversion-codes.md is the same as a table.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# A newer CANN puts process id and time between code and text; a terminal puts colours around it.
_NOISE = re.compile(r"\s*\[PID: ?\d+\](?: \d{4}-\d\d-\d\d-[\d:.]+)?|\x1b\[[0-9;]*m")
# At the start of a line, or where converter_lite hands on what CANN said. The newest CANN writes Title(CODE).
_CODE = re.compile(r"^(?:\w+\()?(E[A-Z0-9]\d{4})\b|fail(?:ed)?: (E[A-Z0-9]\d{4})\b")
# What converter_lite puts before its words: level, process, time, place in its code.
_PLACE = re.compile(r"^\[[A-Z]+\] \w+\([^)]*\):\S+ \[[^\]]*\] \w+\] ")
# The tools' last word when all went well, whatever they printed before: converter_lite prints [ERROR] and succeeds.
_WELL = re.compile(r"^(?:CONVERT RESULT SUCCESS:0|ATC run success\b.*)$")
# A line that only says that there was an error; the one after it says which.
_BARE = re.compile(r"^\w+:?\s*(?:Inner Error!?)?$")
LINE_LIMIT = 600


@dataclass(frozen=True)
class Explained:
    """``line`` is what the tool wrote, without process id and time; ``cause`` and ``mend`` are ours, in English."""

    code: str
    line: str
    cause: str
    mend: str


@dataclass(frozen=True)
class Entry:
    """One entry of codes.toml. ``tool``: ``atc`` (also what converter_lite says through it), ``converter_lite``,
    ``any``. ``vague``: right, but of little help."""

    codes: tuple[str, ...]
    tool: str
    cause: str
    mend: str
    sources: tuple[str, ...]
    pattern: re.Pattern[str] | None = None
    vague: bool = False

    def code_in(self, line: str) -> str | None:
        """The code by which this entry has the line, or None."""
        match = _CODE.search(line)
        written = match[match.lastindex or 0] if match else None
        if self.pattern is None:
            return written if written in self.codes or not self.codes else None
        if not self.pattern.search(line):
            return None
        return written if written in self.codes else self.codes[0]


def explain(log: str) -> Explained | None:
    """The most telling line of atc's or converter_lite's output, explained; None when it ended well or says nothing.

    The first line that a plain entry knows, since the tools write the cause first and its consequences after it;
    failing that, the first line of a vague one that says more than its code.
    """
    lines = [said for raw in log.splitlines() if (said := " ".join(_NOISE.sub("", raw).split()))]
    if any(_WELL.match(line) for line in lines[-3:]):
        return None
    second_best: Explained | None = None
    bare = False
    for line in lines:
        for entry in entries():
            code = entry.code_in(line)
            if code is None:
                continue
            explained = Explained(code, _PLACE.sub("", line)[:LINE_LIMIT], entry.cause, entry.mend)
            if not entry.vague:
                return explained
            if second_best is None or (bare and code == second_best.code and not _BARE.match(line)):
                second_best, bare = explained, bool(_BARE.match(line))
            break
    return second_best


@cache
def entries() -> tuple[Entry, ...]:
    """All that codes.toml has, in its order, with sources spelled out."""
    data = tomllib.loads(Path(__file__).with_name("codes.toml").read_text(encoding="utf-8"))
    names: dict[str, str] = data["sources"]
    return tuple(
        Entry(
            tuple(one["codes"]),
            one["tool"],
            one["cause"],
            one["mend"],
            tuple(names.get(source, source) for source in one["sources"]),
            re.compile(one["pattern"]) if "pattern" in one else None,
            one.get("vague", False),
        )
        for one in data["entry"]
    )
