"""Times of schedules, on days on which clocks are changed and on others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.failures import PlanRefused
from jobs.schedules.recurrence import Recurrence, read_cron, zones


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next times after a moment in UTC, as the wall clock of the zone shows them, with its offset."""
    found = islice(Recurrence("cron", zone, cron=cron).after(utc(after)), count)
    return [f"{moment.astimezone(ZoneInfo(zone)):%m-%d %H:%M%z}" for moment in found]


def test_a_time_of_day_is_the_zones_own_in_summer_and_in_winter():
    assert times("0 2 * * *", "Europe/Berlin", "2026-10-23T12:00", 4) == [
        "10-24 02:00+0200", "10-25 02:00+0200", "10-26 02:00+0100", "10-27 02:00+0100",
    ]  # fmt: skip
    assert times("0 2 * * *", "Asia/Shanghai", "2026-10-24T12:00", 2) == ["10-25 02:00+0800", "10-26 02:00+0800"]


def test_a_time_that_the_change_leaves_out_happens_at_the_end_of_the_gap_and_once():
    # 29 March 2026: 02:00 becomes 03:00.
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3) == [
        "03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200",
    ]  # fmt: skip
    assert times("0,15,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["03-29 03:00+0200", "03-30 02:00+0200"]
    assert times("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00", 2) == ["03-29 03:00+0200", "03-30 02:00+0200"]


def test_a_time_that_comes_twice_happens_the_first_time():
    # 25 October 2026: 03:00 becomes 02:00.
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]
    # Asked between the two: today's has been.
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45", 1) == ["10-26 02:30+0100"]


def test_every_hour_is_every_hour_of_the_clocks_face():
    assert times("30 * * * *", "Europe/Berlin", "2026-03-29T00:00", 3) == [
        "03-29 01:30+0100", "03-29 03:30+0200", "03-29 04:30+0200",
    ]  # fmt: skip
    assert times("30 * * * *", "America/New_York", "2026-11-01T05:00", 3) == [
        "11-01 01:30-0400", "11-01 01:30-0500", "11-01 02:30-0500",
    ]  # fmt: skip


def test_a_change_of_half_an_hour_is_a_change_too():
    # Lord Howe Island: on 4 October 2026 02:00 becomes 02:30.
    assert times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", 2) == ["10-04 02:30+1100", "10-05 02:15+1100"]


def test_a_day_that_the_zone_left_out_and_one_that_few_years_have():
    # Samoa skipped 30 December 2011.
    assert times("0 9 30 12 *", "Pacific/Apia", "2010-12-31T00:00", 2) == ["12-31 00:00+1400", "12-30 09:00+1400"]
    assert times("0 0 29 2 *", "UTC", "2097-01-01T00:00", 1) == ["02-29 00:00+0000"]
    assert Recurrence("cron", "UTC", cron="0 0 29 2 *").next(utc("2097-01-01T00:00")) == utc("2104-02-29T00:00")


def test_a_cron_expression_is_read_as_cron_reads_it():
    assert times("0 2 * * mon-fri", "UTC", "2026-11-27T12:00", 2) == ["11-30 02:00+0000", "12-01 02:00+0000"]
    assert times("*/20 9-10 * * *", "UTC", "2026-11-25T09:30", 3) == [
        "11-25 09:40+0000", "11-25 10:00+0000", "11-25 10:20+0000",
    ]  # fmt: skip
    assert times("0 4 * * 7", "UTC", "2026-11-25T00:00", 1) == times("0 4 * * 0", "UTC", "2026-11-25T00:00", 1)
    assert times("0 0 1 jan,jul *", "UTC", "2026-11-25T00:00", 2) == ["01-01 00:00+0000", "07-01 00:00+0000"]
    assert read_cron("5/20 * * * *").minutes == (5, 25, 45)


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 2 * *", "has 4 parts"),
        ("60 * * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 2 * * someday", "'someday' is no day of the week"),
        ("0 2 * * 1,,2", "'' is no day of the week"),
        ("0 5-2 * * *", "'5-2' runs backwards"),
        ("*/0 * * * *", "the step is out of range"),
        ("0 2 1 * 1", "days of the month and days of the week"),
        ("0 2 30 2 *", "never comes"),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused_with_what_is_wrong_with_it(cron: str, said: str):
    with pytest.raises(PlanRefused) as refused:
        Recurrence("cron", "UTC", cron=cron).check()
    assert said in refused.value.cause and refused.value.mend and refused.value.field == "cron"


def test_a_zone_that_is_none_is_refused():
    with pytest.raises(PlanRefused) as refused:
        Recurrence("cron", "Mars/Olympus", cron="0 2 * * *").check()
    assert refused.value.field == "zone" and "Asia/Shanghai" in zones()
    with pytest.raises(PlanRefused):
        Recurrence("cron", "../../etc/passwd", cron="0 2 * * *").check()


def test_every_so_often_is_elapsed_time_from_its_beginning():
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(2026, 10, 24, 12, 0, tzinfo=berlin)
    daily = Recurrence("every", "Europe/Berlin", at=begin, seconds=86400)
    assert [f"{t.astimezone(berlin):%m-%d %H:%M}" for t in islice(daily.after(begin), 2)] == [
        "10-25 11:00",
        "10-26 11:00",
    ]
    assert daily.next(begin - timedelta(days=3)) == begin
    assert Recurrence("every", at=utc("2026-01-01T00:00"), seconds=420).next(utc("2026-01-01T00:07")) == utc(
        "2026-01-01T00:14"
    )
    with pytest.raises(PlanRefused):
        Recurrence("every", at=begin, seconds=59).check()


def test_once_is_once():
    once = Recurrence("once", "Asia/Shanghai", at=utc("2026-12-01T01:00"))
    assert list(once.after(utc("2026-11-30T00:00"))) == [utc("2026-12-01T01:00")]
    assert once.next(utc("2026-12-01T01:00")) is None


@given(
    st.sampled_from(["30 2 * * *", "*/7 * * * *", "0,30 1-3 * * *", "15 */2 * * 1-5", "0 0 1 * *"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai", "Africa/Casablanca"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
@settings(max_examples=80, deadline=None)
def test_times_rise_and_none_is_left_out_however_often_one_asks(cron: str, zone: str, moment: datetime):
    recurrence = Recurrence("cron", zone, cron=cron)
    found = list(islice(recurrence.after(moment), 12))
    assert all(earlier < later for earlier, later in pairwise([moment, *found]))
    # Asked anew after each, as the schedule does when it has fired.
    asked, last = [], moment
    for _ in found:
        last = recurrence.next(last)
        asked.append(last)
    assert asked == found
