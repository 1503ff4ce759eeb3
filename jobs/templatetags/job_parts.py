"""Filters of the jobs' and the depot's pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import gettext

register = template.Library()


@register.filter
def thousands(count: int | None) -> str:
    """``179,306,496``: the same in every language, as the manual and the vendor's lists print it."""
    return "–" if count is None else f"{count:,}"


@register.filter
def brief(key: str) -> str:
    """A step's key as the head of its column: ``send-driver`` is ``Send driver``."""
    return gettext(str(key).replace("-", " ").replace("_", " ").capitalize())


@register.filter
def field(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key, "")
