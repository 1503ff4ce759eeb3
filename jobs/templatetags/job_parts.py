"""Filters of the jobs' and the depot's pages."""

from __future__ import annotations

from django import template

from jobs.pages import wording

register = template.Library()


@register.filter
def thousands(count: int | None) -> str:
    """``179,306,496``: the same in every language, as the manual and the vendor's lists print it."""
    return "–" if count is None else f"{count:,}"


@register.filter
def brief(key: str) -> str:
    """A step's key as the head of its column: ``send-driver`` is ``Send driver``."""
    return wording.column(str(key))


@register.filter
def step_title(text: str) -> str:
    """A step's title in the reader's language."""
    return wording.title(text)


@register.filter
def mend(text: str) -> str:
    """What to do, in the reader's language."""
    return wording.mend(text)
