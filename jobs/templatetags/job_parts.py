"""Filters of the jobs' and the depot's pages."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from jobs.approvals import shown
from jobs.pages import causes, planview, wording

register = template.Library()
register.filter("command", planview.command)

# Names that are told one by one.
MOST = 12


@register.filter
def thousands(count: int | None) -> str:
    """``179,306,496``: the same in every language, as the manual and the vendor's lists print it."""
    return "–" if count is None else f"{count:,}"


@register.filter
def parameters(count: float) -> str:
    """Of a model, as its name has them: ``6.50B``."""
    for least, size, unit in ((1e8, 1e9, "B"), (1e5, 1e6, "M")):
        if count >= least:
            return f"{count / size:.2f}{unit}"
    return f"{count:,}"


@register.filter
def some(names: Sequence[str]) -> str:
    """Names with commas between; of many the first and how many there are."""
    if len(names) <= MOST:
        return ", ".join(names)
    return gettext("%(names)s and %(n)s more") % {"names": ", ".join(names[: MOST - 4]), "n": len(names) - MOST + 4}


@register.filter
def actor(name: str) -> SafeString | str:
    """Who did something: a person's name, or with a link the schedule or pipeline that did it."""
    kind, _, rest = name.partition(":")
    if kind in ("schedule", "pipeline", "job") and rest.isdigit():
        words = {"schedule": gettext("schedule %(id)s"), "pipeline": gettext("pipeline %(id)s")}
        said = words.get(kind, gettext("job %(id)s")) % {"id": rest}
        try:
            return format_html('<a href="{}">{}</a>', reverse(kind, args=[rest]), said)
        except NoReverseMatch:
            return said
    if kind == "worker" and rest:
        return format_html('<span title="{}">{}</span>', rest, gettext("a worker"))
    return gettext("the console") if name == "console" else name


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
    return causes.mend(text)


@register.filter
def cause(text: str) -> str:
    """What happened, in the reader's language."""
    return causes.cause(text)


@register.filter
def rule_words(text: str) -> str:
    """A rule that asks for a second person, in the reader's language."""
    return shown.in_words(text)
