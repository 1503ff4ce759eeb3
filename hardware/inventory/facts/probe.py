"""The probe: one read-only POSIX sh text that asks a machine everything at once, in sections.

Each section is ``MARK name`` on a line, the output, then ``MARK = status``. A missing tool leaves its section empty.
What takes long on a real machine (``npu-smi``, ``docker``) runs beside the rest; its sections come after it.
"""

from __future__ import annotations

import re

from hardware.inventory.facts.questions import (
    CLOCK,
    CLOCK_AFTER,
    CONTAINERS,
    DOCKER,
    ENGINES,
    FILES,
    HOLDERS,
    MACHINE,
    NODES,
    NPUS,
    TOOLKIT,
    WAYS,
    WORDS,
    Sections,
)

MARK = "@@console-probe@@"

_FRAME = f'at() {{ echo "{MARK} $1"; }}\nend() {{ echo "{MARK} = $?"; }}'


def _text(sections: Sections) -> str:
    return "\n".join(f"at {name}\n{{ {command.strip()}\n}}\nend" for name, command in sections)


def _function(name: str, sections: Sections, before: str = ":") -> str:
    return f"{name}() {{\n{before}\n{_text(sections)}\n}}"


def _sent(*parts: str) -> str:
    """All that is said is kept and goes out at once: a line of its own would be a packet of its own."""
    said = "\n".join((_FRAME, WORDS.strip(), HOLDERS.strip(), CONTAINERS.strip(), *parts))
    return f"said=$(\nexec 2>&1 </dev/null\n{said}\n)\nprintf '%s\\n' \"$said\""


PROBE = _sent(
    _function("npus", NPUS),
    _function("ways", WAYS),
    _function("engines", ENGINES, "PATH=$base"),
    _function("machine", MACHINE, "PATH=$base"),
    # Without its socket docker is asked for its version alone, which is not worth a process of its own.
    "most() { if [ -S /var/run/docker.sock ]; then beside engines machine; else engines; machine; fi; }",
    "others() { if has_npus; then beside ways most; else ways; most; fi; }",
    _text(CLOCK),
    "if has_npus; then beside npus others; else npus; others; fi",
    _text(CLOCK_AFTER),
)

# Who holds which NPU, and nothing else.
LOOK = _sent(
    _function("npus", NPUS),
    _function("others", (*DOCKER, *NODES), "PATH=$base"),
    "if has_npus; then beside npus others; else npus; others; fi",
)

_SECTION = re.compile(rf"^{re.escape(MARK)} (\S+)\n(.*?)^{re.escape(MARK)} = (\d+)$", re.M | re.S)


def sections(text: str) -> dict[str, tuple[int, str]]:
    """Name -> (exit status, output) of what a probe printed; a section that was cut off is left out.

    Of the files that were read together each is a section of its own.
    """
    found = {name: (int(status), body) for name, body, status in _SECTION.findall(text.replace("\r\n", "\n"))}
    for name, body in _files(found.pop("files", (0, ""))[1]).items():
        found.setdefault(name, (0, body))
    return found


def _files(text: str) -> dict[str, str]:
    """Section -> text, of lines that begin with their file's name; of several places the first one counts."""
    texts: dict[str, list[str]] = {}
    for line in text.split("\n"):
        path, colon, rest = line.partition(":")
        if colon:
            texts.setdefault(path, []).append(f"{rest}\n")
    found: dict[str, str] = {}
    for path, its in texts.items():
        name = "toolkit" if path.endswith(f"/{TOOLKIT}") else FILES.get(path)
        if name is not None:
            found.setdefault(name, "".join(its))
    return found
