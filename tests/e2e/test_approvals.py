"""Four eyes in two browsers: one person asks, another looks at every command and decides, without a mouse."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import NARROW, WIDE, Desk, Site, Tab
from tests.e2e.running import manage

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)

PASSWORD = "another-long-password"
WANTED = {"kind": "verify", "params": {"cann": False, "mindspore": False}, "machines": ["kunpeng-01"]}


@pytest.fixture(scope="module")
def grace(site: Site) -> str:
    """A second person, who may do what the first may."""
    settings = {**site.console.environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    manage(settings, "createsuperuser", "--noinput", "--username", "grace", "--email", "grace@example.com")
    return "grace"


@pytest.fixture
def rule(site: Site) -> Iterator[str]:
    """What needs a second person while the test lasts: others share the site."""
    path = "/approval-rules/"
    made = site.console.client.post(path, json={"kind": "verify", "note": "the bank's own rule"}).raise_for_status()
    yield "kind verify"
    site.console.client.delete(f"{path}{made.json()['id']}/")


def as_grace(desk: Desk, path: str, **options: Any) -> Tab:
    tab = desk.tab(signed_in=False, **options)
    page = tab.open(f"/login/?next={path}")
    page.fill("#id_username", "grace")
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(tab.url + path)
    return tab


def ask(site: Site) -> int:
    made = site.console.client.post("/jobs/", json=WANTED).raise_for_status().json()
    assert made["state"] == "proposed"
    return int(made["id"])


def press(page: Page, name: str) -> None:
    """By keyboard: to the button, then Enter."""
    button = page.get_by_role("button", name=name, exact=True)
    button.focus()
    page.keyboard.press("Enter")


def ended(site: Site, job: int) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, Any] = site.console.client.get(f"/jobs/{job}/").json()
        if found["ended_at"]:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def keep(page: Page, name: str) -> None:
    """A picture for whoever wants to look: ``PICTURES=folder``."""
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_one_person_asks_and_another_approves_by_keyboard_and_then_it_runs(desk: Desk, site, grace, rule):
    mine = desk.tab().open("/approvals/")
    expect(mine.locator("#waiting")).to_contain_text("Nothing waits")
    job = ask(site)
    # The inbox, the rail and Overview follow without a reload.
    expect(mine.locator("#waiting")).to_contain_text(f"job {job}")
    overview = as_grace(desk, "/").page
    expect(overview.locator("#proposed")).to_contain_text("ada")
    overview.locator("#proposed a", has_text="Verify").focus()
    overview.keyboard.press("Enter")
    overview.wait_for_url(re.compile(rf"/approvals/{job}/$"))
    page = overview
    expect(page.locator("#plan")).to_contain_text("kunpeng-01")
    expect(page.locator("#rail")).to_contain_text("1 waiting")
    page.fill("#comment", "seen, and agreed")
    press(page, "Approve")
    expect(page.locator("#decide")).to_contain_text("seen, and agreed")
    expect(page.locator("#decide")).to_contain_text("grace")
    expect(mine.locator("#waiting")).to_contain_text("Nothing waits")
    # There is no driver on a bare machine: what counts is that it was begun.
    assert ended(site, job)["failure"]["code"] != "plan-changed"
    assert [step["state"] for step in site.console.client.get(f"/jobs/{job}/steps/").json()] == ["failed"]


def test_who_asked_is_offered_no_approval_but_may_withdraw(desk: Desk, site, grace, rule):
    job = ask(site)
    page = desk.tab().open(f"/approvals/{job}/")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    page.get_by_role("link", name="Withdraw it").click()
    page.get_by_role("button", name="Cancel the job").click()
    page.goto(f"{site.console.url}/approvals/{job}/")
    expect(page.locator("h1")).to_contain_text("Withdrawn")


def test_an_approval_whose_plan_can_no_longer_be_made_lapses_and_says_why(desk: Desk, site, grace, rule):
    job = ask(site)
    client = site.console.client
    tab = as_grace(desk, f"/approvals/{job}/")
    client.post("/machines/kunpeng-01/retire/").raise_for_status()
    try:
        press(tab.page, "Approve")
        expect(tab.page.locator("#lapsed")).to_contain_text("kunpeng-01 is retired")
        keep(tab.page, "lapsed")
    finally:
        client.post("/machines/kunpeng-01/restore/").raise_for_status()
    # The browser itself reports a 422 as an error of the console.
    tab.faults[:] = [fault for fault in tab.faults if "422" not in fault]
    press(tab.page, "Ask again")
    tab.page.wait_for_url(re.compile(rf"/approvals/(?!{job}/)\d+/$"))
    expect(tab.page.locator("h1")).to_contain_text("Waiting")
    client.post(f"/jobs/{tab.page.url.split('/')[-2]}/cancel/").raise_for_status()


def test_the_pages_are_whole_in_both_languages_both_themes_and_at_both_widths(desk: Desk, site, grace, rule):
    job = ask(site)
    words = {"/approvals/": ("Waits for approval", "待审批"), f"/approvals/{job}/": ("Decision", "决定")}
    try:
        for language, theme in itertools.product(("en", "zh-hans"), ("light", "dark")):
            tab = as_grace(desk, "/approvals/", language=language, theme=theme)
            for path, said in words.items():
                page = tab.open(path)
                expect(page.locator("main")).to_contain_text(said[language == "zh-hans"])
                for width in (WIDE, NARROW):
                    page.set_viewport_size({"width": width, "height": 900})
                    assert not tab.scrolls_sideways(), f"{path} at {width} px in {language}"
                    keep(page, f"{'inbox' if path == '/approvals/' else 'approval'}-{language}-{theme}-{width}")
                    if (theme, width, language) in (("light", WIDE, "en"), ("dark", NARROW, "zh-hans")):
                        assert tab.inaccessible() == [], f"{path} at {width} px, {theme}, {language}"
    finally:
        site.console.client.post(f"/jobs/{job}/cancel/")


def test_the_inbox_stays_fresh_after_a_rule_was_refused(desk: Desk, site, grace, rule):
    tab = desk.tab()
    page = tab.open("/approvals/")
    page.get_by_role("button", name="Add the rule").click()
    expect(page.locator("#r-kind-e")).to_contain_text("Give a kind, a label or a site.")
    tab.faults[:] = [fault for fault in tab.faults if "422" not in fault]
    job = ask(site)
    try:
        expect(page.locator("#waiting")).to_contain_text(f"job {job}")
    finally:
        site.console.client.post(f"/jobs/{job}/cancel/")


def test_a_rule_is_added_and_deleted_by_keyboard(desk: Desk, site, grace):
    page = desk.tab().open("/approvals/")
    page.fill("#r-label", "production")
    page.keyboard.press("Enter")
    expect(page.locator("#rules")).to_contain_text("label: production")
    page.locator("#rules").get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#rules")).to_contain_text("No rule yet")
