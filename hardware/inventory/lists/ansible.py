"""Lists of machines as Ansible inventories, INI and YAML. No Django here.

Groups become labels, but for ``all`` and ``ungrouped``; a group's children have its label, too. Of the variables these
count: ``ansible_host`` (or the older ``ansible_ssh_host``), ``ansible_port``, ``site``, ``labels``, ``credential``,
``fingerprint``, ``bmc`` with ``bmc_credential`` and ``bmc_fingerprint``, and the jump host in ``jump`` or in
``ansible_ssh_common_args`` (``hops``), of a host or of a group it is in. As with Ansible the group further down counts,
and of those on a level the last by name. Passwords and key files are not taken: a credential of the console is named
instead. Format: docs.ansible.com, "How to build your inventory".
"""

from __future__ import annotations

import ast
import re
import shlex
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import yaml

from hardware.inventory.lists.entries import MOST, Entry, Listing, ListRefused, Problem, checked, words
from hardware.inventory.lists.hops import hops, ways_of

_RANGE = re.compile(r"\[([0-9]+|[A-Za-z])?:([0-9]+|[A-Za-z])(?::([0-9]+))?\]")
# Labels that an inventory can say by a group; the others stand in a variable.
_GROUP = re.compile(r"[^\[\]:#\s]+")
_PORT = re.compile(r"^(.*[^:]):([0-9]+)$")
_SECRETS = ("pass", "private_key", "become")
_EVERYONE = ("all", "ungrouped")
# Variables that are fields of an entry.
_SAID = ("site", "credential", "fingerprint", "bmc", "bmc_credential", "bmc_fingerprint")


@dataclass
class Group:
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass
class Inventory:
    """``lines`` is where each host stands first."""

    groups: dict[str, Group] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    notes: list[Problem] = field(default_factory=list)

    def group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group())


def expand(pattern: str) -> list[str]:
    """``n[01:03]-[a:b]`` -> the names it stands for. Raises ``ListRefused`` for a range that runs backwards or far."""
    choices: list[list[str]] = []
    end = 0
    size = 1
    for found in _RANGE.finditer(pattern):
        choices += [[pattern[end : found.start()]], _span(pattern, *found.groups())]
        size *= len(choices[-1])
        if size > MOST:
            raise ListRefused(f"{pattern} stands for more than {MOST} machines.")
        end = found.end()
    return ["".join(parts) for parts in product(*choices, [pattern[end:]])]


def _span(pattern: str, low: str | None, high: str, step: str | None) -> list[str]:
    stride = int(step or 1)
    low = low or "0"
    if low.isdigit() != high.isdigit() or stride < 1:
        raise ListRefused(f"{pattern} has a range that can't be counted.")
    if low.isdigit():
        first, last = int(low), int(high)
        names = range(first, last + 1, stride)
        if last - first > MOST * stride:
            raise ListRefused(f"{pattern} stands for more than {MOST} machines.")
        # As Ansible has it: a leading zero sets the width.
        width = len(low) if low.startswith("0") else 0
        made = [str(number).zfill(width) for number in names]
    else:
        letters = string.ascii_letters
        made = list(letters[letters.index(low) : letters.index(high) + 1 : stride])
    if not made:
        raise ListRefused(f"{pattern} has a range that runs backwards.")
    return made


def read_ini(text: str) -> Listing:
    """The machines of an INI inventory. Raises ``ListRefused``."""
    inventory = Inventory()
    section, what = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        # A line that goes on after a bracket is a host: [a:c].lab, or an IPv6 address with a port.
        if re.match(r"\[[^\]]*(\]\s*([#;].*)?)?$", line):
            head = re.fullmatch(r"\[([^\[\]:\s]+)(?::(hosts|children|vars))?\]\s*(?:[#;].*)?", line)
            if head is None:
                raise ListRefused(f"Line {number}: {line} is no section.")
            section, what = head[1], head[2] or "hosts"
            inventory.group(section)
            continue
        if what == "children":
            inventory.group(section).children.append(line.split()[0])
            continue
        if what == "vars":
            name, _, value = line.partition("=")
            inventory.group(section).variables[name.strip()] = _literal(value.strip())
            continue
        _host_line(inventory, section, line, number)
    return _listing(inventory)


def _literal(text: str) -> str:
    """The value of a line under ``:vars``: Ansible takes quotes and a comment as Python would."""
    try:
        said = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return said if isinstance(said, str) else text.partition("#")[0].strip()


def _host_line(inventory: Inventory, section: str, line: str, number: int) -> None:
    try:
        pattern, *words = shlex.split(line, comments=True)
    except ValueError as wrong:
        raise ListRefused(f"Line {number}: {wrong}.".replace("..", ".")) from wrong
    variables: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ListRefused(f"Line {number}: {word} is no variable (name=value).")
        variables[name] = value
    _add(inventory, section, pattern, variables, number)


def _add(inventory: Inventory, section: str, pattern: str, variables: Mapping[str, Any], number: int) -> None:
    port = _PORT.match(pattern)
    own = dict(variables)
    if port is not None and not pattern.endswith("]"):
        pattern = port[1]
        own.setdefault("ansible_port", port[2])
    for name in expand(pattern):
        inventory.group(section).hosts.setdefault(name, {}).update(own)
        inventory.lines.setdefault(name, number)


class _Loader(yaml.SafeLoader):
    """Ansible's tags ``!vault`` and ``!unsafe`` are kept as the text that they stand before."""


for _tag in ("!vault", "!vault-encrypted", "!unsafe"):
    _Loader.add_constructor(_tag, lambda loader, node: str(node.value))


def read_yaml(text: str) -> Listing:
    """The machines of a YAML inventory. Raises ``ListRefused``."""
    try:
        found = yaml.load(text, _Loader)
    except yaml.YAMLError as wrong:
        mark = getattr(wrong, "problem_mark", None)
        where = f"Line {mark.line + 1}" if mark else "The list"
        raise ListRefused(f"{where} is no YAML: {getattr(wrong, 'problem', None) or 'it can not be read'}.") from wrong
    if not isinstance(found, dict):
        raise ListRefused("A YAML inventory begins with the name of a group, such as all.")
    inventory = Inventory()
    for name, body in found.items():
        _yaml_group(inventory, str(name), body, 0)
    return _listing(inventory)


def _yaml_group(inventory: Inventory, name: str, body: Any, depth: int) -> None:
    if depth > 20:
        raise ListRefused(f"The groups under {name} lie too deep.")
    group = inventory.group(name)
    parts = _mapping(body, f"the group {name}")
    for pattern, variables in _mapping(parts.get("hosts"), f"the hosts of {name}").items():
        _add(inventory, name, str(pattern), _mapping(variables, f"the host {pattern}"), 0)
    group.variables.update(_mapping(parts.get("vars"), f"the vars of {name}"))
    for child, below in _mapping(parts.get("children"), f"the children of {name}").items():
        group.children.append(str(child))
        _yaml_group(inventory, str(child), below, depth + 1)


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if value is None:
        return {}
    if isinstance(value, str) and what.startswith(("the hosts", "the children")):
        # As with Ansible, one name may stand alone.
        return {value: None}
    if not isinstance(value, dict):
        raise ListRefused(f"{what[0].upper()}{what[1:]} must be a mapping.")
    return value


def _listing(inventory: Inventory) -> Listing:
    parents: dict[str, list[str]] = {}
    for name, group in inventory.groups.items():
        for child in group.children:
            parents.setdefault(child, []).append(name)
    member_of: dict[str, list[str]] = {}
    for name, group in inventory.groups.items():
        for host in group.hosts:
            member_of.setdefault(host, []).append(name)
    depths = _depths(inventory)
    entries, problems, notes = [], [], list(inventory.notes)
    secrets: set[str] = set()
    for host, nearest in member_of.items():
        above = list(_ancestry(nearest, parents))
        variables: dict[str, Any] = {}
        for name in sorted({"all", *above} & set(inventory.groups), key=lambda name: (depths[name], name)):
            variables.update(inventory.groups[name].variables)
        for name in nearest:
            variables.update(inventory.groups[name].hosts[host])
        secrets |= {name for name in variables if any(word in str(name) for word in _SECRETS)}
        line = inventory.lines[host]
        try:
            entries.append(_entry(host, variables, [name for name in above if name not in _EVERYONE], line))
        except ValueError:
            problems.append(Problem(line, f"{host}: {variables.get('ansible_port')!r} is no port."))
    if secrets:
        said = f"Left out: {', '.join(sorted(map(str, secrets)))}. Choose a credential of the console."
        notes.append(Problem(0, said))
    return checked(entries, notes, problems)


def _ancestry(names: Iterable[str], parents: Mapping[str, list[str]]) -> Iterator[str]:
    """Groups and the groups that they are in, the nearer ones first; each once, also where they run in a circle."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            yield name
            waiting += parents.get(name, ())


def _depths(inventory: Inventory) -> dict[str, int]:
    """How far below ``all`` each group lies, by the longest way; a circle ends."""
    depths = {name: int(name != "all") for name in inventory.groups}
    for _ in inventory.groups:
        before = dict(depths)
        for name, group in inventory.groups.items():
            for child in group.children:
                if child in depths:
                    depths[child] = max(depths[child], min(depths[name] + 1, len(depths)))
        if depths == before:
            break
    return depths


def _entry(name: str, variables: Mapping[str, Any], groups: list[str], line: int) -> Entry:
    host = variables.get("ansible_host") or variables.get("ansible_ssh_host") or name
    port = int(str(variables.get("ansible_port") or variables.get("ansible_ssh_port") or 22))
    said = {key: str(variables.get(key) or "") for key in _SAID}
    more = variables.get("labels") or ""
    groups = [*map(_label, groups), *words(more if isinstance(more, str) else " ".join(map(str, more)))]
    way = hops(variables)
    # What is said of a whole group holds for its jump hosts, too: each is reached through those before it.
    own = next((number for number, hop in enumerate(way) if hop in (name, host)), len(way))
    jump = str(variables.get("jump") or "") or (way[own - 1] if own else "")
    return Entry(name, str(host), port, labels=tuple(dict.fromkeys(groups)), line=line, jump=jump, **said)


def _label(group: str) -> str:
    """As Ansible mends names of groups."""
    return "_".join(words(group))


def write_ini(entries: Iterable[Entry]) -> str:
    """The same machines as an INI inventory, as ``read_ini`` reads it back."""
    listed = list(entries)
    ways = ways_of(listed)
    lines = []
    for entry in listed:
        lines.append(" ".join([entry.name, *(f"{key}={shlex.quote(value)}" for key, value in _said(entry, ways))]))
    for label, members in _by_label(listed).items():
        lines += ["", f"[{label}]", *members]
    return "\n".join(lines) + "\n"


def write_yaml(entries: Iterable[Entry]) -> str:
    """The same machines as a YAML inventory, as ``read_yaml`` reads it back."""
    listed = list(entries)
    ways = ways_of(listed)
    hosts = {
        entry.name: {key: int(v) if key == "ansible_port" else v for key, v in _said(entry, ways)} for entry in listed
    }
    children = {label: {"hosts": dict.fromkeys(members)} for label, members in _by_label(listed).items()}
    body: dict[str, Any] = {"hosts": hosts, **({"children": children} if children else {})}
    return yaml.safe_dump({"all": body}, sort_keys=False, allow_unicode=True)


def _said(entry: Entry, ways: Mapping[str, str]) -> list[tuple[str, str]]:
    pairs = [("ansible_host", entry.host), ("ansible_port", str(entry.port))]
    more = [(key, getattr(entry, key)) for key in _SAID]
    more.append(("labels", " ".join(label for label in entry.labels if not _groups(label))))
    way = (("jump", entry.jump), ("ansible_ssh_common_args", ways.get(entry.name, "")))
    return pairs + [(key, value) for key, value in (*more, *way) if value]


def _by_label(entries: Iterable[Entry]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in entries:
        for label in filter(_groups, entry.labels):
            found.setdefault(label, []).append(entry.name)
    return dict(sorted(found.items()))


def _groups(label: str) -> bool:
    return bool(_GROUP.fullmatch(label)) and label not in _EVERYONE
