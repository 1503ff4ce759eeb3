"""A kind's ``Params`` as a form: each serializer field becomes a labelled input, and what was typed becomes parameters.

Inputs are called ``params.NAME``, so that no parameter can take the name of something else in the form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext
from rest_framework import serializers

from jobs.depot.models import Artifact
from jobs.kind import Kind
from jobs.pipelines.definition import Definition
from jobs.secrets.services import unquoted, without_values

PREFIX = "params."


@dataclass
class Input:
    """One input. ``shape`` picks its template: text, number, check, choice, choices, artifact, lines, secret, json."""

    name: str
    shape: str
    label: str
    help: str = ""
    required: bool = False
    value: Any = ""
    choices: list[tuple[str, str]] = field(default_factory=list)
    bounds: dict[str, Any] = field(default_factory=dict)
    artifact_type: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def input_name(self) -> str:
        return PREFIX + self.name

    @property
    def id(self) -> str:
        return f"p-{self.name}"


def inputs(kind: Kind | Definition, given: Mapping[str, Any], errors: Mapping[str, Sequence[str]]) -> list[Input]:
    """The form's inputs with the values and the errors of the last attempt; a secret's value is never shown again."""
    made = []
    for name, source in kind.Params().fields.items():
        if source.read_only or isinstance(source, serializers.HiddenField):
            continue
        shape = _shape(kind, name, source)
        choices = _choices(kind, name, source, shape)
        value = _shown(shape, given.get(name, _default(source)))
        if shape in ("artifact", "choice") and source.required and value == "" and len(choices) == 1:
            # The only one there is; the plan shows it before anything runs.
            value = choices[0][0]
        made.append(
            Input(
                name=name,
                shape=shape,
                label=gettext(str(source.label or name.replace("_", " ").capitalize())),
                help=gettext(str(source.help_text)) if source.help_text else "",
                required=source.required and shape != "check",
                value=value,
                choices=choices,
                bounds=_bounds(source),
                artifact_type=kind.artifacts.get(name, ""),
                errors=[str(error) for error in errors.get(name, ())],
            )
        )
    return made


def params_from(kind: Kind | Definition, data: QueryDict, *, bare: bool = False) -> dict[str, Any]:
    """What was typed, as the parameters that the kind's serializer checks.

    An input that was left empty is left out, so that a default holds and a missing one is named by the serializer.
    ``bare`` takes ``NAME`` as well as ``params.NAME``: in the address of a mend button.
    """
    found: dict[str, Any] = {}
    for name, source in kind.Params().fields.items():
        key = PREFIX + name
        if bare and name in kind.secrets:
            # An address is kept by browsers, proxies and their logs.
            continue
        if bare and key not in data and name in data:
            key = name
        shape = _shape(kind, name, source)
        if shape == "check":
            if key in data or not bare:
                found[name] = data.get(key, "") not in ("", "0", "false")
        elif shape == "choices":
            if key in data:
                found[name] = data.getlist(key)
        elif shape == "lines":
            lines = [line.strip() for text in data.getlist(key) for line in text.splitlines() if line.strip()]
            if lines:
                found[name] = lines
        elif (text := data.get(key, "").strip()) != "":
            found[name] = _parsed(text) if shape == "json" else text
    return found


def query(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they stand in the address of the New job page (``urlencode`` with ``doseq``)."""
    found: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, bool):
            value = "1" if value else "0"
        elif isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
            value = json.dumps(value, ensure_ascii=False)
        found[PREFIX + name] = value
    return found


def checked(kind: Kind | Definition, params: dict[str, Any]) -> dict[str, list[str]]:
    """Every error of the parameters, by field; empty when they are right."""
    tried = kind.Params(data=params)
    with unquoted(kind, params):
        right = tried.is_valid()
    if right:
        return {}
    return {
        name: [without_values(kind, params, str(line)) for line in _flat(problem)]
        for name, problem in tried.errors.items()
    }


def _shape(kind: Kind | Definition, name: str, source: serializers.Field[Any, Any, Any, Any]) -> str:
    if name in kind.artifacts:
        return "artifact"
    if name in kind.secrets:
        return "secret"
    if isinstance(source, serializers.MultipleChoiceField):
        return "choices"
    if isinstance(source, serializers.ChoiceField) or kind.offers(name) is not None:
        return "choice"
    if isinstance(source, serializers.BooleanField):
        return "check"
    if isinstance(source, serializers.IntegerField | serializers.FloatField | serializers.DecimalField):
        return "number"
    if isinstance(source, serializers.ListField):
        return "lines" if not isinstance(source.child, serializers.Serializer | serializers.DictField) else "json"
    if isinstance(source, serializers.BaseSerializer | serializers.DictField | serializers.JSONField):
        return "json"
    return "text"


def _choices(
    kind: Kind | Definition, name: str, source: serializers.Field[Any, Any, Any, Any], shape: str
) -> list[tuple[str, str]]:
    if shape == "artifact":
        listed = Artifact.objects.filter(type=kind.artifacts[name])[:200]
        return [(str(a.pk), " · ".join(filter(None, [a.name, a.version, a.sha256[:12]]))) for a in listed]
    if (offered := kind.offers(name)) is not None:
        return offered
    if isinstance(source, serializers.ChoiceField):
        return [(str(value), gettext(str(words))) for value, words in source.choices.items()]
    return []


def _bounds(source: serializers.Field[Any, Any, Any, Any]) -> dict[str, Any]:
    found = {}
    for ours, theirs in (("min", "min_value"), ("max", "max_value"), ("maxlength", "max_length")):
        value = getattr(source, theirs, None)
        if value is not None and not (ours == "maxlength" and isinstance(source, serializers.ListField)):
            found[ours] = value
    if isinstance(source, serializers.FloatField | serializers.DecimalField):
        found["step"] = "any"
    return found


def _default(source: serializers.Field[Any, Any, Any, Any]) -> Any:
    if source.default is serializers.empty or callable(source.default):
        return ""
    return source.default


def _shown(shape: str, value: Any) -> Any:
    if shape == "secret":
        return ""
    if shape == "check":
        return bool(value)
    if shape == "choices":
        return [str(item) for item in value or ()]
    if shape == "lines":
        return "\n".join(str(item) for item in value) if isinstance(value, list | tuple) else value
    if shape == "json" and not isinstance(value, str):
        return json.dumps(value, indent=2, ensure_ascii=False)
    return "" if value is None else str(value)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(problem: Any) -> list[Any]:
    if isinstance(problem, Mapping):
        return [f"{key}: {line}" for key, value in problem.items() for line in _flat(value)]
    if isinstance(problem, list | tuple):
        return [line for item in problem for line in _flat(item)]
    return [problem]
