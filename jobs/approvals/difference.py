"""What is different between two plans, step by step and field by field. Pure: JSON in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Difference = dict[str, Any]
Place = tuple[str, str, bool, int]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """``[{machine, step, field, before, after}, ...]``; empty when both plans are the same.

    ``machine`` is empty for the console itself and for what is no machine's, ``step`` for what is no step's. A step or
    a machine that only one plan has is one difference, with ``None`` on the other side.
    """
    # A plan that was just made has tuples where the stored one has lists.
    before, after = (json.loads(json.dumps(plan)) for plan in (before, after))
    old, new = _steps(before), _steps(after)
    return [*_of_plan(before, after), *_of_machines(old, new), *_of_steps(old, new)]


def _of_plan(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Difference]:
    for name in dict.fromkeys([*before, *after]):
        if name != "stages" and before.get(name) != after.get(name):
            yield _one("", "", name, before.get(name), after.get(name))
    titles = [[stage["title"] for stage in plan["stages"]] for plan in (before, after)]
    if titles[0] != titles[1]:
        yield _one("", "", "stages", *titles)


def _of_machines(old: Mapping[Place, Any], new: Mapping[Place, Any]) -> Iterable[Difference]:
    was, now = _machines(old), _machines(new)
    for machine in was:
        if machine not in now:
            yield _one(machine, "", "machine", _count(old, machine), None)
    for machine in now:
        if machine not in was:
            yield _one(machine, "", "machine", None, _count(new, machine))
    shared = [machine for machine in was if machine in now]
    turned = [machine for machine in now if machine in was]
    if shared != turned:
        yield _one("", "", "order of the machines", shared, turned)


def _of_steps(old: Mapping[Place, Any], new: Mapping[Place, Any]) -> Iterable[Difference]:
    was, now = _machines(old), _machines(new)
    for place in dict.fromkeys([*old, *new]):
        machine, key, on_failure, _ = place
        if machine not in was or machine not in now:
            continue
        name = f"{key} (only after a failure)" if on_failure else key
        before, after = old.get(place), new.get(place)
        if before is None or after is None:
            yield _one(machine, name, "step", before and before["title"], after and after["title"])
            continue
        for field in dict.fromkeys([*before, *after]):
            if before.get(field) != after.get(field):
                yield _one(machine, name, field, before.get(field), after.get(field))


def _steps(plan: Mapping[str, Any]) -> dict[Place, dict[str, Any]]:
    """Each step by its place: machine, key, whether it undoes, and the how manieth of that key. In order."""
    found: dict[Place, dict[str, Any]] = {}
    for number, stage in enumerate(plan["stages"], 1):
        for lane in stage["lanes"]:
            for on_failure, steps in ((False, lane["steps"]), (True, lane["on_failure"])):
                for position, step in enumerate(steps, 1):
                    nth = 1
                    while (place := (lane["machine"] or "", step["key"], on_failure, nth)) in found:
                        nth += 1
                    found[place] = {"title": step["title"], "stage": number, "position": position, **step["action"]}
    return found


def _machines(steps: Iterable[Place]) -> dict[str, None]:
    return dict.fromkeys(place[0] for place in steps)


def _count(steps: Iterable[Place], machine: str) -> str:
    return f"{sum(1 for place in steps if place[0] == machine)} steps"


def _one(machine: str, step: str, field: str, before: Any, after: Any) -> Difference:
    return {"machine": machine, "step": step, "field": field, "before": before, "after": after}
