from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from hardware.inventory.changes.services import between, changes, keep
from hardware.inventory.facts import Facts, Nic, Package, read
from hardware.inventory.facts.difference import Difference, differences
from hardware.inventory.models import Credential, FactSnapshot, Machine
from tests.probe_text import probe_text

BARE = read(probe_text())


@pytest.fixture
def box(db) -> Machine:
    credential = Credential.objects.create(name="lab", password="x")
    return Machine.objects.create(name="n1", host="127.0.0.1", credential=credential, state=Machine.State.READY)


def upgraded(facts: Facts) -> Facts:
    return replace(facts, driver=Package("24.1.0"), packages={**facts.packages, "gcc-c++": "7.3"})


def test_only_what_changed_is_named_by_its_path():
    found = {one.path: one for one in differences(BARE, upgraded(BARE))}
    assert found["driver.version"] == Difference("driver.version", None, "24.1.0")
    assert found["packages.gcc-c++"].after == "7.3"
    assert set(found) == {"driver.version", "packages.gcc-c++"}


def test_a_reading_at_another_time_with_another_free_space_is_no_change():
    later = replace(
        BARE, clock=(BARE.clock or 0) + 60, memory_free=1,
        filesystems=tuple(replace(one, free=one.free - 1) for one in BARE.filesystems),
    )  # fmt: skip
    assert BARE.filesystems and differences(BARE, later) == []


def test_items_are_told_apart_by_their_names_not_by_their_places():
    one, other = Nic("eth0", True, 1000), Nic("eth1", True, 25000)
    before, after = replace(BARE, nics=(one, other)), replace(BARE, nics=(replace(other, up=False), one))
    assert differences(before, after) == [Difference("nics.eth1.up", True, False)]
    gone = differences(before, replace(BARE, nics=(one,)))
    assert gone == [Difference("nics.eth1.speed_mbps", 25000, None), Difference("nics.eth1.up", True, None)]


def test_a_reading_that_says_nothing_new_is_kept_once_and_seen_again(box):
    assert keep(box, BARE) and not keep(box, BARE)
    (snapshot,) = FactSnapshot.objects.all()
    assert snapshot.seen_at > snapshot.taken_at
    assert keep(box, upgraded(BARE))
    (change,) = changes(box)
    assert change.since == snapshot.seen_at and "driver.version" in {one.path for one in change.differences}


def test_a_clock_that_wanders_is_no_change_and_one_that_is_off_is_told_in_words():
    def at(skew: float) -> Facts:
        return replace(BARE, clock_skew_s=skew)

    assert differences(at(0.1), at(-1.4)) == [] and differences(at(70), at(1800)) == []
    assert differences(at(0.1), at(-75)) == [Difference("clock_skew_s", "in step", "behind by minutes")]


def test_what_an_older_console_did_not_ask_for_is_no_change(box):
    keep(box, replace(BARE, schema_version=1))
    newer = replace(BARE, raid_controllers=("MegaRAID",), clock_skew_s=0.0)
    assert keep(box, newer) and list(changes(box)) == []
    assert keep(box, replace(newer, raid_controllers=())) and len(list(changes(box))) == 1


def test_two_times_are_compared_by_the_readings_that_held_then(box):
    for days, facts in ((10, BARE), (5, upgraded(BARE)), (1, replace(upgraded(BARE), kernel="5.10"))):
        keep(box, facts)
        FactSnapshot.objects.filter(pk=box.snapshots.first().pk).update(taken_at=timezone.now() - timedelta(days=days))
    now = timezone.now()

    def paths(since: int, until: int = 0) -> set[str]:
        whole = between(box, now - timedelta(days=since), now - timedelta(days=until))
        assert whole is not None
        return {one.path for one in whole.differences if one.path in ("kernel", "driver.version")}

    assert paths(7) == {"kernel", "driver.version"}
    assert paths(3) == {"kernel"}
    assert paths(0) == set()
    assert paths(7, 3) == {"driver.version"}
    assert paths(100) == {"kernel", "driver.version"}, "before the first reading, the first one counts"


def test_the_page_compares_any_two_days(box, client):
    client.force_login(User.objects.create_user("ada"))
    today = timezone.localdate()
    for days, facts in ((10, BARE), (5, upgraded(BARE)), (1, replace(upgraded(BARE), kernel="5.10.0-other"))):
        keep(box, facts)
        FactSnapshot.objects.filter(pk=box.snapshots.first().pk).update(taken_at=timezone.now() - timedelta(days=days))

    def page(**days: int | str) -> str:
        asked = {end: today - timedelta(days=day) if isinstance(day, int) else day for end, day in days.items()}
        return client.get("/machines/n1/changes/", asked).content.decode()

    both = page(since=7, until=3)
    assert "24.1.0" in both and "5.10.0-other" not in both
    assert f'name="until" value="{today - timedelta(days=3)}"' in both
    assert "24.1.0" in page(since=5, until=5), "the second day counts to its end"
    now = page(since=7, until="")
    assert "24.1.0" in now and "5.10.0-other" in now
    assert 'name="until" value=""' in now
    assert "Nothing is different" in page(since=4, until=2)
    assert "The first day lies after the last" in page(since=3, until=7)
    assert "The first day lies after the last" in page(since=-2)
    assert "Choose the first day" in page(until=3)
    with timezone.override("Asia/Shanghai"):
        assert client.get("/machines/n1/changes/?since=0001-01-01").status_code == 200
    with timezone.override("America/New_York"):
        assert client.get("/machines/n1/changes/?since=2020-01-01&until=9999-12-31").status_code == 200


def test_rest_and_page_say_what_changed(box, client):
    client.force_login(User.objects.create_user("ada"))
    assert "It was never read" in client.get("/machines/n1/changes/?since=2020-01-01").content.decode()
    keep(box, BARE)
    keep(box, upgraded(BARE))
    (change,) = client.get("/api/v1/machines/n1/changes/").json()
    assert {"path": "driver.version", "before": None, "after": "24.1.0"} in change["differences"]
    assert "24.1.0" in client.get("/machines/n1/changes/").content.decode()
    assert "24.1.0" in client.get("/machines/n1/changes/?since=2020-01-01").content.decode()
    assert client.get("/machines/n1/changes/?since=tuesday").status_code == 200
    wrong = client.get("/api/v1/machines/n1/changes/?since=2030-01-01T00:00Z")
    assert wrong.status_code == 400 and "after until" in str(wrong.json())
