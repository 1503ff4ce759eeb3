"""What docker's commands share: options, names, tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from hardware.simulator.docker import text
from hardware.simulator.docker.errors import Refused


def print_rows(
    rows: Sequence[dict[str, str]], template: str | None, columns: Sequence[str], header: Sequence[str]
) -> None:
    if template is None:
        print(text.table(header, [[row[column] for column in columns] for row in rows]))
        return
    if template in ("json", "{{json .}}"):
        template = "{{json .}}"
    if template.startswith("table "):
        template = template.removeprefix("table ")
        names = dict(zip(columns, header, strict=True))
        print(text.fill(template, {**{key: key.upper() for row in rows for key in row}, **names}))
    for row in rows:
        print(text.fill(template, row))


def flags(arguments: Sequence[str], known: dict[str, str]) -> dict[str, str]:
    """Options by their name in `known`, switches by themselves; arguments, one a line, under `left`."""
    given: dict[str, str] = {}
    left: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            left.append(word)
        elif name not in known:
            shown = (
                f"unknown flag: {name}" if name.startswith("--") else f"unknown shorthand flag: '{name[1]}' in {name}"
            )
            raise Refused(f"{shown}\nSee 'docker --help'.", 125)
        elif not known[name]:
            given[name] = ""
        else:
            if not equals and not words:
                raise Refused(f"flag needs an argument: {name}\nSee 'docker --help'.", 125)
            value = value if equals else words.pop(0)
            key = known[name]
            given[key] = f"{given[key]}\n{value}" if key in given and key == "filter" else value
    if left:
        given["left"] = "\n".join(left)
    return given


def names_of(arguments: Sequence[str], command: str) -> list[str]:
    names = [name for name in arguments if name and not name.startswith("-")]
    if not names:
        raise Refused(f"\"docker {command}\" requires at least 1 argument.\nSee 'docker {command} --help'.")
    return names


def each(names: Sequence[str], work: Callable[[str], None], *, echo: bool = True) -> int:
    """Every name, whatever becomes of the others."""
    status = 0
    for name in names:
        try:
            work(name)
        except Refused as refused:
            print(refused, file=sys.stderr)
            status = refused.status
        else:
            if echo:
                print(name, flush=True)
    return status
