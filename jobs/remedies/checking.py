"""Whether the job that a rule names as its remedy is one that this console could launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from jobs import registry


def complaints(remedy: Mapping[str, Any]) -> list[str]:
    """Sentences, of the kind and of each parameter that is wrong whatever the alert will be. Words in braces stand for
    what only an alert knows: those are not looked at.
    """
    kinds = registry.all_kinds()
    kind = kinds.get(remedy["kind"])
    if kind is None:
        named = {"kind": remedy["kind"], "kinds": ", ".join(sorted(kinds))}
        return [_("There is no kind of job %(kind)s; there are %(kinds)s.") % named]
    params = remedy.get("params", {})
    checked = kind.Params(data=params)
    names = ", ".join(checked.fields)
    found = [
        _("%(kind)s has no parameter %(name)s; it has %(names)s.") % {"kind": kind.slug, "name": name, "names": names}
        for name in params
        if name not in checked.fields
    ]
    checked.is_valid()
    for name, problem in checked.errors.items():
        if "{" not in str(params.get(name, params if name not in checked.fields else "")):
            found.append(f"{name}: {_first(problem)}")
    return found


def _first(problem: Any) -> str:
    """Of the serializer's errors, which may lie in lists and objects, the first."""
    while isinstance(problem, list | dict):
        problem = next(iter(problem.values() if isinstance(problem, dict) else problem))
    return str(problem)
