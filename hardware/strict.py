"""Serializers that refuse names they don't know: left out, one that is misspelt would wish for something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from django.http import QueryDict
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

Handler = TypeVar("Handler", bound=Callable[..., Any])
# Which part of a list is asked for: ``console.api.pagination``.
PLACE = frozenset({"cursor", "page_size"})


def unknown() -> str:
    """What is said at a name that there is not."""
    return _("There is no such field.")


class Strict(serializers.Serializer[Any]):
    # No docstring: the OpenAPI document would show it of each serializer that has none of its own.
    # Each unknown name is an error of its own, at that name; and so is one that can only be read, unless it comes back
    # as it stands: scripts read a thing, change it and send it back whole.

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (wrong := self._ignored(data)):
            raise serializers.ValidationError({name: wrong[name] for name in sorted(wrong)})
        return super().to_internal_value(data)

    def _ignored(self, data: Mapping[str, Any]) -> dict[str, list[str]]:
        wrong: dict[str, list[str]] = {}
        shown: dict[str, Any] | None = None
        for name, value in data.items():
            field = self.fields.get(name)
            if field is None:
                wrong[str(name)] = [unknown()]
            elif isinstance(data, QueryDict) and len(data.getlist(name)) > 1:
                wrong[name] = [_("It comes twice.")]
            elif isinstance(field, serializers.ManyRelatedField) and isinstance(value, Mapping):
                # Taken for the list of its names, {"host-1": false} would mean host-1.
                wrong[name] = [_("Give a list.")]
            elif field.read_only:
                shown = self._shown() if shown is None else shown
                if name not in shown or shown[name] != value:
                    wrong[name] = [_("This can only be read.")]
        return wrong

    def _shown(self) -> dict[str, Any]:
        """What is there, as a client has read it."""
        if self.instance is None:
            return {}
        read: dict[str, Any] = json.loads(json.dumps(self.to_representation(self.instance), cls=JSONEncoder))
        return read


def in_address(request: Request) -> dict[str, str]:
    """What is asked behind the question mark, but for ``format``, which says how the answer is to be written."""
    return {name: str(value) for name, value in request.query_params.items() if name != "format"}


def asks(*names: str) -> Callable[[Handler], Handler]:
    """Say of an action that reads something what it reads behind the question mark; other names are refused it."""

    def said(handler: Handler) -> Handler:
        handler.asks = frozenset(names)  # type: ignore[attr-defined]
        return handler

    return said


def takes_no_body(handler: Handler) -> Handler:
    """For an action on a thing as a whole: a body that would have it done to a part of it is refused."""

    @wraps(handler)
    def checked(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        Strict(data=request.data).is_valid(raise_exception=True)
        return handler(self, request, *args, **kwargs)

    return checked  # type: ignore[return-value]
