"""What the pages say of schedules, in the reader's language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

from hardware.inventory.selection import Selection
from hardware.inventory.wording import selection
from jobs.pages import causes
from jobs.schedules.models import Fire, Schedule
from jobs.schedules.recurrence import Cron, read_cron

WEEKDAYS = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
_ALL_DAYS, _ALL_MONTHS, _ALL_WEEKDAYS = frozenset(range(1, 32)), frozenset(range(1, 13)), frozenset(range(7))


@dataclass(frozen=True)
class Said:
    """A fire in words: ``state`` picks the chip, ``words`` replace its own; ``cause`` and ``mend`` are sentences."""

    state: str
    words: str
    cause: str = ""
    mend: str = ""


def when(schedule: Schedule) -> str:
    """``Every day at 02:30``; the cron expression itself where there is no shorter way to say it."""
    if schedule.mode == Schedule.Mode.ONCE:
        moment = schedule.at.astimezone(ZoneInfo(schedule.zone)) if schedule.at else None
        return gettext("Once, %(time)s") % {"time": f"{moment:%Y-%m-%d %H:%M}" if moment else "–"}
    if schedule.mode == Schedule.Mode.EVERY:
        return gettext("Every %(span)s") % {"span": span(schedule.seconds)}
    return _cron(read_cron(schedule.cron)) or schedule.cron


def span(seconds: int) -> str:
    """A length of time in its largest unit that divides it."""
    days, hours, minutes = seconds // 86400, seconds // 3600, seconds // 60
    if seconds % 86400 == 0:
        return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}
    if seconds % 3600 == 0:
        return gettext("%(n)s h") % {"n": hours}
    return gettext("%(n)s min") % {"n": minutes}


def _cron(cron: Cron) -> str:
    if len(cron.minutes) != 1 or cron.months != _ALL_MONTHS:
        return ""
    if cron.hours == tuple(range(24)) and cron.days == _ALL_DAYS and cron.weekdays == _ALL_WEEKDAYS:
        return gettext("Every hour at :%(minute)s") % {"minute": f"{cron.minutes[0]:02}"}
    if len(cron.hours) > 3:
        return ""
    times = ", ".join(f"{hour:02}:{cron.minutes[0]:02}" for hour in cron.hours)
    if cron.days != _ALL_DAYS:
        if len(cron.days) > 4:
            return ""
        days = ", ".join(map(str, sorted(cron.days)))
        return gettext("On day %(days)s of the month at %(times)s") % {"days": days, "times": times}
    if cron.weekdays == _ALL_WEEKDAYS:
        return gettext("Every day at %(times)s") % {"times": times}
    names = ", ".join(gettext(WEEKDAYS[(day - 1) % 7]) for day in sorted(cron.weekdays, key=lambda day: (day - 1) % 7))
    return gettext("%(days)s at %(times)s") % {"days": names, "times": times}


def targets(request: dict[str, Any]) -> str:
    """``n1-01, n1-02 and 3 more``, the filters in words, or ``group canaries``."""
    given = request["targets"]
    if given.get("group"):
        return gettext("group %(name)s") % {"name": given["group"]}
    wanted = Selection.from_json(given)
    if wanted:
        return selection(wanted)
    names = given.get("machines", [])
    if not names:
        return gettext("the console")
    if len(names) > 3:
        return gettext("%(names)s and %(n)s more") % {"names": ", ".join(names[:3]), "n": len(names) - 3}
    return ", ".join(names)


def fire(one: Fire) -> Said:
    """What became of a fire."""
    reason = one.reason
    values = {"job": reason.get("job", ""), "late": span(int(reason.get("late_s", 0)) // 60 * 60)}
    if one.outcome == Fire.Outcome.LAUNCHED:
        words = gettext("Launched")
        late = reason.get("code") == "caught-up"
        return Said(
            "ok", words, gettext("%(late)s late: the console was off when it was due.") % values if late else ""
        )
    if one.outcome == Fire.Outcome.BEGUN:
        return Said("running", gettext("Being launched"))
    chip = (
        ("skipped", gettext("Skipped")) if one.outcome == Fire.Outcome.SKIPPED else ("failed", gettext("Not launched"))
    )
    cause, mend = refusal(str(reason.get("cause", "")), str(reason.get("mend", "")))
    return Said(*chip, cause, mend)


def refusal(cause: str, mend: str) -> tuple[str, str]:
    """A refusal's two sentences, in the reader's language."""
    return causes.cause(cause), causes.mend(mend)
