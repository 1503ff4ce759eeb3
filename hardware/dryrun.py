"""``?dry_run=1``: a request that only asks what it would do.

What can't be read as yes or no is refused, and so is any other name in the address: left out, a request that was meant
to be tried would be carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from hardware.strict import Strict, in_address

Handler = TypeVar("Handler", bound=Callable[..., Any])
KNOWN = OpenApiParameter("dry_run", bool, description="Say what would be done, and do nothing.")


class _Query(Strict):
    dry_run = serializers.BooleanField(default=False)


def has_dry_run(handler: Handler) -> Handler:
    """Say of a handler, and in the schema, that it asks ``is_dry_run``; others are refused the name."""
    shown: Handler = extend_schema(parameters=[KNOWN])(handler)
    shown.has_dry_run = True  # type: ignore[attr-defined]
    return shown


def is_dry_run(request: Request) -> bool:
    """Raises a ``ValidationError`` that names what stands in the address and can't be read."""
    asked = _Query(data=in_address(request))
    asked.is_valid(raise_exception=True)
    return bool(asked.validated_data["dry_run"])
