"""Serializers that refuse names they don't know: left out, one that is misspelt would wish for something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

Handler = TypeVar("Handler", bound=Callable[..., Any])
# Which part of a list is asked for: ``console.api.pagination``.
PLACE = frozenset({"cursor", "page_size"})


def unknown() -> str:
    """What is said at a name that there is not."""
    return _("There is no such field.")


class Strict(serializers.Serializer[Any]):
    """Each unknown name is an error of its own, at that name."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (names := [str(name) for name in data if name not in self.fields]):
            raise serializers.ValidationError({name: [unknown()] for name in sorted(names)})
        return super().to_internal_value(data)


def in_address(request: Request) -> dict[str, str]:
    """What is asked behind the question mark, but for ``format``, which says how the answer is to be written."""
    return {name: str(value) for name, value in request.query_params.items() if name != "format"}


def takes_no_body(handler: Handler) -> Handler:
    """For an action on a thing as a whole: a body that would have it done to a part of it is refused."""

    @wraps(handler)
    def checked(self: Any, request: Request, *args: Any, **kwargs: Any) -> Any:
        Strict(data=request.data).is_valid(raise_exception=True)
        return handler(self, request, *args, **kwargs)

    return checked  # type: ignore[return-value]
