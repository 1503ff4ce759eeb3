"""Jump hosts as Ansible inventories say them: ``ssh``'s own options in a variable. No Django here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from hardware.inventory.lists.entries import Entry

_VARIABLES = ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args")
_OPTION = re.compile(r"(ProxyJump|ProxyCommand)\s*[=\s]\s*(.*)", re.I | re.S)
# Options of ssh that take a word, in a ProxyCommand.
_WITH_WORD = re.compile(r"-[BbcDEeFIiJLlmOopQRSWw]$")


def hops(variables: Mapping[str, Any]) -> list[str]:
    """The jump hosts of a host's variables in their order, without user and port; empty when it has none.

    ``-o ProxyJump=ops@a:22,b``, ``-J a,b`` and ``-o ProxyCommand="ssh -W %h:%p a"``. As with ssh, the first one counts.
    """
    for name in _VARIABLES:
        try:
            words = shlex.split(str(variables.get(name) or ""))
        except ValueError:
            continue
        for word, following in zip(words, [*words, ""][1:], strict=True):
            if word == "-J" or (word.startswith("-J") and word != "-J"):
                return _hosts(word[2:] or following)
            option = _OPTION.fullmatch(following if word == "-o" else word.removeprefix("-o"))
            if option is not None:
                value = option[2].strip()
                return _hosts(value) if option[1].lower() == "proxyjump" else _of_command(value)
    return []


def _hosts(text: str) -> list[str]:
    found = []
    for hop in text.split(","):
        host = hop.strip().removeprefix("ssh://").rpartition("@")[2]
        bracketed = re.fullmatch(r"\[(.+)\](?::\d+)?", host)
        if bracketed:
            host = bracketed[1]
        elif host.count(":") == 1:
            host = host.partition(":")[0]
        if host and host.lower() != "none":
            found.append(host)
    return found


def _of_command(text: str) -> list[str]:
    """The host of ``ssh -W %h:%p user@host``; nothing of any other command."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    if not words or words[0].rpartition("/")[2] != "ssh" or not any(word.startswith("-W") for word in words):
        return []
    skip = False
    for word in words[1:]:
        if skip or word.startswith("-"):
            skip = not skip and bool(_WITH_WORD.match(word))
        else:
            return _hosts(word)
    return []


def ways_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Name -> what ssh is told, for those whose jump hosts are all among the entries."""
    by_name = {entry.name: entry for entry in entries}
    told = {}
    for entry in by_name.values():
        way: list[str] = []
        step = by_name.get(entry.jump)
        while step is not None and len(way) < len(by_name):
            host = f"[{step.host}]" if ":" in step.host else step.host
            way.insert(0, f"{host}:{step.port}")
            if not step.jump:
                told[entry.name] = f"-o ProxyJump={','.join(way)}"
                break
            step = by_name.get(step.jump)
    return told
