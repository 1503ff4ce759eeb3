"""What the pages say of schedules, in the reader's language."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_noop as _

from hardware.inventory.selection import Selection
from hardware.inventory.wording import selection
from jobs.pages import causes, wording
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
    """A refusal's two sentences, where the catalogue has them; else as they were stored."""
    return causes.cause(sentence(cause)), wording.mend(sentence(mend))


def sentence(text: str) -> str:
    for pattern, message in _SENTENCES:
        if (found := pattern.fullmatch(text)) is not None:
            return gettext(message) % found.groupdict()
    return text


# Sentences of refusals, and those for translation that have the same parts.
_SENTENCES = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        (r"Job (?P<n>\d+), of the time before, has not ended\.", _("Job %(n)s, of the time before, has not ended.")),
        (r"Job (?P<n>\d+) of this schedule has not ended\.", _("Job %(n)s of this schedule has not ended.")),
        (
            r"Job (?P<n>\d+) is queued already, and has not begun\.",
            _("Job %(n)s is queued already, and has not begun."),
        ),
        (r"Look what job (?P<n>\d+) does or waits for\.", _("Look what job %(n)s does or waits for.")),
        (r"Look what job (?P<n>\d+) waits for\.", _("Look what job %(n)s waits for.")),
        (
            r"Wait for job (?P<n>\d+), or cancel it; then run it again\.",
            _("Wait for job %(n)s, or cancel it; then run it again."),
        ),
        (
            r"The console was off, or could not, when it was due\.",
            _("The console was off, or could not, when it was due."),
        ),
        (r"Press Run now to make up for it\.", _("Press Run now to make up for it.")),
        (
            r"(?P<name>\S+), who owns the schedule, has no account any more\.",
            _("%(name)s, who owns the schedule, has no account any more."),
        ),
        (r"Give the schedule another owner\.", _("Give the schedule another owner.")),
        (r"There is no account (?P<name>.*)\.", _("There is no account %(name)s.")),
        (r"Choose another owner\.", _("Choose another owner.")),
        (r"No machine matches the targets now\.", _("No machine matches the targets now.")),
        (r"Correct the targets, or label a machine\.", _("Correct the targets, or label a machine.")),
        (r"There is no group called (?P<name>\S+)\.", _("There is no group called %(name)s.")),
        (r"There is no machine called (?P<name>\S+)\.", _("There is no machine called %(name)s.")),
        (r"(?P<name>\S+) is retired; nothing logs in there\.", _("%(name)s is retired; nothing logs in there.")),
        (r"(?P<name>\S+) has not been probed yet\.", _("%(name)s has not been probed yet.")),
        (
            r"The console itself is at fault; its own log has the details\.",
            _("The console itself is at fault; its own log has the details."),
        ),
        (r"Give the time of this fire to whoever runs it\.", _("Give the time of this fire to whoever runs it.")),
        (r"(?P<text>'.*') has (?P<n>\d+) parts\.", _("%(text)s has %(n)s parts.")),
        (
            r"Give five: minute, hour, day of the month, month, day of the week; such as (?P<text>.+)\.",
            _("Give five: minute, hour, day of the month, month, day of the week; such as %(text)s."),
        ),
        (
            r"(?P<text>'.*') names days of the month and days of the week\.",
            _("%(text)s names days of the month and days of the week."),
        ),
        (
            r"Name one of them and put \* for the other; two schedules can do both\.",
            _("Name one of them and put * for the other; two schedules can do both."),
        ),
        (r"(?P<text>'.*') is no minute\.", _("%(text)s is no minute.")),
        (r"(?P<text>'.*') is no hour\.", _("%(text)s is no hour.")),
        (r"(?P<text>'.*') is no day of the month\.", _("%(text)s is no day of the month.")),
        (r"(?P<text>'.*') is no month\.", _("%(text)s is no month.")),
        (r"(?P<text>'.*') is no day of the week\.", _("%(text)s is no day of the week.")),
        (r"(?P<text>'.*') runs backwards\.", _("%(text)s runs backwards.")),
        (r"(?P<text>'.*') is no time\.", _("%(text)s is no time.")),
        (r"(?P<text>'.*') is no whole number\.", _("%(text)s is no whole number.")),
        (
            r"(?P<text>'.*') never comes: there is no such day\.",
            _("%(text)s never comes: there is no such day."),
        ),
        (r"Correct the expression\.", _("Correct the expression.")),
        (r"Give a whole number\.", _("Give a whole number.")),
        (r"Give the [a-z ]+ as (?P<low>\d+) to (?P<high>\d+)\.", _("Give %(low)s to %(high)s.")),
        (r"There is no time zone called (?P<name>.*)\.", _("There is no time zone called %(name)s.")),
        (r"Give a name such as Asia/Shanghai or UTC\.", _("Give a name such as Asia/Shanghai or UTC.")),
        (r"Give the .+ as .+\.", _("Look at the examples below the field.")),
        (r"The time is missing\.", _("The time is missing.")),
        (r"Give day and time\.", _("Give day and time.")),
        (r"This time is over\.", _("This time is over.")),
        (r"Give a time that is to come\.", _("Give a time that is to come.")),
        (r"Every (?P<n>\d+) s is not possible\.", _("Every %(n)s s is not possible.")),
        (r"Give (?P<low>\d+) to (?P<high>\d+) seconds\.", _("Give %(low)s to %(high)s seconds.")),
        (r"The schedule has no name\.", _("The schedule has no name.")),
        (r"Give it a name\.", _("Give it a name.")),
        (r"There is a schedule called (?P<name>.*) already\.", _("There is a schedule called %(name)s already.")),
        (r"Give another name\.", _("Give another name.")),
        (
            r"(?P<name>\S+) is a secret, and a schedule does not keep secrets\.",
            _("%(name)s is a secret, and a schedule does not keep secrets."),
        ),
        (r"Launch this kind by hand\.", _("Launch this kind by hand.")),
        (r"(?P<title>.+) takes machines\.", _("%(title)s takes machines.")),
        (r"(?P<title>.+) takes no machine\.", _("%(title)s takes no machine.")),
        (r"Choose them\.", _("Choose them.")),
    )
)
