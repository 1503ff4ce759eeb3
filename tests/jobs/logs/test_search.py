from __future__ import annotations

import tracemalloc

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from jobs.logs import packing, reading, search
from jobs.logs.search import Hit
from tests.jobs.logs.conftest import Written


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    monkeypatch.setattr(packing, "_later", lambda *args: None)


def look(written: Written, query: str, **asked) -> list[Hit]:
    """All hits, however many calls they take."""
    written.job.refresh_from_db()
    hits: dict[int, Hit] = {}
    while True:
        found = search.search(written.job, query, **asked)
        hits |= {hit.position: hit for hit in found.hits}
        if found.whole:
            return list(hits.values())
        assert found.next > asked.get("after", 0)
        asked["after"] = found.next


def texts(written: Written, query: str, **asked) -> list[str]:
    return [hit.text for hit in look(written, query, **asked)]


@pytest.fixture(params=["as it came", "packed"])
def settle(request, written: Written):
    """Ends the job, and packs its log or not."""

    def go() -> None:
        written.end()
        if request.param == "packed":
            packing.SHORT_BYTES, before = 0, packing.SHORT_BYTES
            try:
                for source in written.sources:
                    packing.pack(written.job.pk, source)
            finally:
                packing.SHORT_BYTES = before

    return go


def test_text_is_found_in_any_case_over_the_borders_of_chunks_among_other_machines_lines(written: Written, settle):
    written.write(0, "one\nInstall of 驱动 Éta fai".encode())
    written.write(2, b"two\nother li")
    written.write(0, b"led: E17\nthree\n")
    written.write(2, b"ne FAILED\nlast")
    settle()
    hits = look(written, "failed")
    assert [(hit.text, hit.machine) for hit in hits] == [
        ("Install of 驱动 Éta failed: E17", "host-1"),
        ("other line FAILED", "host-2"),
    ]
    assert written.whole[hits[0].position :].startswith(b"Install of")
    assert written.whole[hits[1].position :].startswith(b"other li")
    assert texts(written, "驱动 éTA") == [hits[0].text]
    assert texts(written, "last") == ["last"] and texts(written, "one\x00") == []
    assert texts(written, "failed", machine="host-2") == ["other line FAILED"]
    assert texts(written, "failed", machine="console") == []


def test_what_is_searched_is_what_a_person_reads(written: Written, settle):
    written.write(0, b"\x1b[1;31mer\x1b[0mror: \x1b]0;title\x07none\n10 %\r50 %\r100 % done\r\n\xff\x00bin\x07ary\n")
    settle()
    assert texts(written, "ERROR: none") == ["error: none"]
    assert texts(written, "50 %") == [] and texts(written, "100 %") == ["100 % done"]
    assert texts(written, "binary") == ["\ufffdbinary"]
    assert texts(written, "[1;31m") == [] and texts(written, "title") == []


def test_a_search_that_stops_and_goes_on_anywhere_finds_what_one_of_all_finds(written: Written, settle, monkeypatch):
    written.scatter(160, size=120)
    settle()
    for query, machine in (("ok driver", ""), ("第", "host-2"), ("9 ", "host-1")):
        monkeypatch.undo()
        whole = look(written, query, machine=machine, most=10_000)
        assert len(whole) > 5
        for size in (1, 700):
            monkeypatch.setattr(search, "SCAN_BYTES", size)
            assert {hit.position: hit.text for hit in look(written, query, machine=machine)} == {
                hit.position: hit.text for hit in whole
            }
        monkeypatch.undo()
        assert {hit.position for hit in look(written, query, machine=machine, most=3)} == {h.position for h in whole}


def test_a_line_of_many_megabytes_is_searched_in_little_memory(written: Written, settle):
    written.write(0, b"before\n")
    for number in range(160):
        written.write(0, (b"x" * 65000 + b"needle") if number == 100 else b"x" * 65006)
        if number == 50:
            written.write(2, b"meanwhile\n")
    written.write(0, b" end\nafter\n")
    settle()
    written.job.refresh_from_db()
    tracemalloc.start()
    (hit,) = look(written, "needle")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
    assert hit.position == 7 and "needle" in hit.text and len(hit.text) < 300
    assert texts(written, "X END") != [] and texts(written, "after") == ["after"]


def test_rest_finds_page_by_page_and_refuses_what_makes_no_sense(written: Written):
    written.scatter(200)
    job = written.end()
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada", password="a-long-test-password"))
    address = f"/api/v1/jobs/{job.pk}/log-search/"
    first = client.get(address, {"q": "driver", "most": 4}).json()
    assert len(first["hits"]) >= 4 and not first["whole"] and first["length"] == len(written.whole)
    rest = client.get(address, {"q": "driver", "after": first["next"], "most": 500}).json()
    assert rest["whole"] and rest["next"] == len(written.whole)
    for wrong in ({}, {"q": ""}, {"q": "a\nb"}, {"q": "x" * 201}, {"q": "x", "after": -1}, {"q": "x", "most": 0}):
        answer = client.get(address, wrong)
        assert answer.status_code == 400 and answer.json()["code"] == "invalid", wrong


def test_a_terminals_title_that_is_not_ended_hides_no_line_after_it(written: Written, settle):
    """As a program leaves it that is killed there; the next bell would end it."""
    written.write(0, b"\x1b]0;compiling\nerror: no such device\ndone\x07\n")
    settle()
    assert texts(written, "no such") == ["error: no such device"]
    assert "no such device" in reading.tail(written.source(written.steps[0]))
