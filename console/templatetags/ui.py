"""The parts that every page is built from: icons, state chips, sizes and times."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext_lazy

from jobs import registry
from jobs.kind import Kind
from jobs.pipelines.definition import Definition
from jobs.pipelines.registry import all_pipelines

register = template.Library()

# state -> (class, icon, words). A state is always colour and icon and word: no page says it in another way.
STATES: dict[str, tuple[str, str, Any]] = {
    "ok": ("ok", "ok", gettext_lazy("OK")),
    "warning": ("warning", "warning", gettext_lazy("Warning")),
    "unknown": ("unknown", "unknown", gettext_lazy("Unknown")),
    "simulated": ("simulated", "simulated", gettext_lazy("Simulated")),
    # jobs and steps
    "proposed": ("waiting", "user", gettext_lazy("Proposed")),
    "queued": ("waiting", "waiting", gettext_lazy("Queued")),
    "waiting": ("waiting", "waiting", gettext_lazy("Waiting")),
    "running": ("running", "running", gettext_lazy("Running")),
    "pausing": ("warning", "pause", gettext_lazy("Pausing")),
    "paused": ("warning", "pause", gettext_lazy("Paused")),
    "cancelling": ("warning", "stop", gettext_lazy("Cancelling")),
    "succeeded": ("ok", "ok", gettext_lazy("Succeeded")),
    "failed": ("failed", "failed", gettext_lazy("Failed")),
    "errored": ("failed", "failed", gettext_lazy("Errored")),
    "cancelled": ("unknown", "cancelled", gettext_lazy("Cancelled")),
    "interrupted": ("interrupted", "interrupted", gettext_lazy("Interrupted")),
    "pending": ("unknown", "waiting", gettext_lazy("Pending")),
    "unreachable": ("unreachable", "unreachable", gettext_lazy("Out of reach")),
    "skipped": ("unknown", "skipped", gettext_lazy("Skipped")),
    "approved": ("ok", "ok", pgettext_lazy("approval", "Approved")),
    "rejected": ("failed", "cancelled", pgettext_lazy("approval", "Rejected")),
    "withdrawn": ("unknown", "none", pgettext_lazy("approval", "Withdrawn")),
    "lapsed": ("warning", "warning", pgettext_lazy("approval", "Lapsed")),
    "changing": ("running", "running", pgettext_lazy("release", "Changing")),
    "serving": ("ok", "ok", pgettext_lazy("release", "Serving")),
    "down": ("failed", "failed", pgettext_lazy("release", "Down")),
    # machines
    "new": ("waiting", "key", pgettext_lazy("machine", "To confirm")),
    "unprobed": ("unknown", "unknown", pgettext_lazy("machine", "Not probed")),
    "ready": ("ok", "ok", pgettext_lazy("machine", "Ready")),
    "attention": ("warning", "warning", pgettext_lazy("machine", "Needs attention")),
    "silent": ("unreachable", "unreachable", gettext_lazy("Out of reach")),
    "blocked": ("failed", "blocked", pgettext_lazy("machine", "Blocked")),
    "retired": ("unknown", "none", pgettext_lazy("machine", "Retired")),
    # preflight
    "block": ("failed", "failed", pgettext_lazy("preflight", "Blocks")),
    "warn": ("warning", "warning", pgettext_lazy("preflight", "Warns")),
    "pass": ("ok", "ok", pgettext_lazy("preflight", "Passes")),
}


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """``{% icon "plus" %}``: one symbol of the sprite, silent for screen readers."""
    return format_html(
        '<svg class="ic{}" viewBox="0 0 24 24" aria-hidden="true"><use href="#i-{}"/></svg>',
        f" {extra}" if extra else "",
        name,
    )


@register.simple_tag
def st(state: str, words: str = "", bare: bool = False) -> SafeString:
    """``{% st job.state %}``: the chip of a state; ``words`` replace its own, ``bare`` leaves the tint out."""
    css, symbol, text = STATES.get(str(state), ("unknown", "unknown", str(state)))
    return format_html(
        '<span class="st{} is-{}" data-state="{}">{}{}</span>',
        " st-bare" if bare else "", css, state, icon(symbol), words or text,
    )  # fmt: skip


@register.filter
def state_class(state: str) -> str:
    return f"is-{STATES.get(str(state), ('unknown',))[0]}"


@register.filter
def state_icon(state: str) -> SafeString:
    return icon(STATES.get(str(state), ("", "unknown"))[1])


@register.filter
def state_words(state: str) -> str:
    return str(STATES[str(state)][2]) if str(state) in STATES else str(state)


@register.filter
def size(count: float | None) -> str:
    """Bytes in binary units: ``1.8 TiB``."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


@register.filter
def mebibytes(count: float | None) -> str:
    """MiB, as npu-smi counts memory, in binary units."""
    return size(None if count is None else count * 1024 * 1024)


@register.filter
def gib(count: float | None) -> str:
    """MiB as a bare number of GiB."""
    return "–" if count is None else f"{count / 1024:.0f}"


@register.filter
def ghz(mhz: float | None) -> str:
    return "–" if mhz is None else f"{mhz / 1000:.1f} GHz"


@register.filter
def bitrate(mbps: int | None) -> str:
    """Mbit/s of a link: ``25 Gbit/s``."""
    if mbps is None:
        return "–"
    return f"{mbps / 1000:g} Gbit/s" if mbps >= 1000 else f"{mbps} Mbit/s"


@register.filter
def seconds(value: float | timedelta | None) -> str:
    """A duration in its two largest units: ``4 min 20 s``."""
    if value is None:
        return "–"
    total = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if total < 10:
        return gettext("%(n)s s") % {"n": f"{total:.1f}"}
    whole = int(total)
    if whole < 60:
        return gettext("%(n)s s") % {"n": whole}
    if whole < 3600:
        return gettext("%(m)s min %(s)s s") % {"m": whole // 60, "s": whole % 60}
    if whole < 86400:
        return gettext("%(h)s h %(m)s min") % {"h": whole // 3600, "m": whole % 3600 // 60}
    return gettext("%(d)s d %(h)s h") % {"d": whole // 86400, "h": whole % 86400 // 3600}


@register.filter
def when(moment: datetime | None) -> SafeString | str:
    """A ``<time>`` in the zone of the page: the clock today, date and clock before; the whole of it on hover."""
    if moment is None:
        return "–"
    local = timezone.localtime(moment)
    today = timezone.localdate()
    short = f"{local:%H:%M:%S}" if local.date() == today else f"{_day(local, today)} {local:%H:%M}"
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M:%S} {zone()}", short
    )


def _day(local: datetime, today: Any) -> str:
    if local.date() == today - timedelta(days=1):
        return gettext("yesterday")
    return date_format(local, "MONTH_DAY_FORMAT") if local.year == today.year else f"{local:%Y-%m-%d}"


@register.filter
def ago(moment: datetime | None) -> str:
    """How long since, in one unit: ``3 min``."""
    if moment is None:
        return "–"
    passed = max(0, int((timezone.now() - moment).total_seconds()))
    for length, words in (
        (86400, lambda n: ngettext("%(n)s day", "%(n)s days", n)),
        (3600, lambda n: gettext("%(n)s h")),
        (60, lambda n: gettext("%(n)s min")),
    ):
        if passed >= length:
            return words(passed // length) % {"n": passed // length}
    return gettext("%(n)s s") % {"n": passed}


@register.simple_tag
def zone() -> str:
    """The zone that the page's times are in: ``UTC+8``."""
    offset = timezone.localtime().utcoffset() or timedelta()
    minutes = int(offset.total_seconds()) // 60
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02}" if rest else "")


@register.filter
def short_hash(digest: str) -> SafeString | str:
    """First 12 and last 8 digits; a click copies all of it."""
    if len(digest) <= 24:
        return digest
    return format_html(
        '<button class="hash copy" type="button" data-copy="{}" title="{}">{}…{}</button>',
        digest, digest, digest[:12], digest[-8:],
    )  # fmt: skip


@register.simple_tag
def job_new_url() -> str:
    """Where jobs are planned; this page while there is none."""
    try:
        return reverse("job-new")
    except NoReverseMatch:
        return ""


@register.filter
def kind_title(slug: str) -> str:
    """The title of a kind of job, in the reader's language; the slug of one that is gone."""
    kind = registry.all_kinds().get(slug)
    return str(kind.title) if kind else slug


@register.simple_tag
def kinds_for_machines() -> list[Kind]:
    """The kinds that can be run on a machine."""
    return [kind for kind in registry.all_kinds().values() if kind.targets != "none"]


@register.simple_tag
def pipelines_for_machines() -> list[Definition]:
    """The pipelines that can be started on a machine."""
    return [one for one in all_pipelines().values() if one.targets != "none"]
