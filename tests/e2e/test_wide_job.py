"""A job on 500 machines with 12 steps each in a browser, and a new job on many machines."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.e2e.browser import NARROW, WIDE, Desk, Site

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)

SCRIPT = Path(__file__).with_name("wide_job.py")
# What a page may weigh, whatever the job: elements, and bytes of HTML.
ELEMENTS, BYTES = 4_500, 400_000


def beside(site: Site, *arguments: str) -> str:
    """Something done to the console's database by another process."""
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command, env=site.console.environment, capture_output=True, text=True, check=True, timeout=100
    ).stdout.strip()


@pytest.fixture(scope="module")
def wide(site: Site) -> str:
    return beside(site, "job")


@pytest.fixture
def many(site: Site) -> Iterator[list[str]]:
    beside(site, "machines", "60")
    yield [f"many-{number:03d}" for number in range(60)]
    beside(site, "no-machines")


def names(page) -> list[str]:
    return page.locator("#grid-rows tbody th a").all_text_contents()


def test_six_thousand_cells_are_one_picture_fifty_rows_and_a_page_that_stays_small(desk: Desk, wide: str):
    tab = desk.tab()
    answer = tab.page.request.get(f"{tab.url}/jobs/{wide}/")
    assert len(answer.body()) < BYTES
    page = tab.open(f"/jobs/{wide}/")
    expect(page.locator("#grid-rows tbody tr")).to_have_count(50)
    # What is not done comes first: three failed machines, then those under way.
    assert names(page)[:4] == ["wide-040", "wide-041", "wide-042", "wide-200"]
    assert page.evaluate("document.querySelectorAll('*').length") < ELEMENTS
    # Neither a machine's name nor an exit code is cut: their ends tell one from the other.
    cut = "cells => cells.filter(c => c.scrollWidth > c.clientWidth + 1).map(c => c.textContent)"
    for what in ("#grid-rows tbody th", "#grid-rows .gc.is-failed .tm"):
        assert page.locator(what).evaluate_all(cut) == []
    canvas = page.locator(".picture canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("All 500 machines: 197 done, 3 failed"))
    drawn = """canvas => { const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const colours = new Set(); for (let n = 0; n < data.length; n += 4) if (data[n + 3] === 255)
      colours.add(`${data[n]},${data[n + 1]},${data[n + 2]}`); return colours.size; }"""
    # Done, failed, under way and to come: four colours at least.
    assert canvas.evaluate(drawn) >= 4
    assert tab.inaccessible() == [] and not tab.scrolls_sideways()
    page.set_viewport_size({"width": NARROW, "height": 900})
    assert not tab.scrolls_sideways() and tab.inaccessible() == []
    page.set_viewport_size({"width": WIDE, "height": 900})


def test_the_rows_are_narrowed_down_found_and_turned_over(desk: Desk, wide: str):
    page = desk.tab().open(f"/jobs/{wide}/")
    page.get_by_role("link", name="Not OK 3").click()
    expect(page.locator("#grid-rows tbody tr")).to_have_count(3)
    assert page.url.endswith("?show=bad")
    page.get_by_role("link", name="Not begun 250").click()
    expect(page.locator("#grid-rows .pages").first).to_contain_text("1 to 50 of 250")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#grid-rows .pages").first).to_contain_text("51 to 100 of 250")
    page.get_by_role("link", name=re.compile("^All, in order")).click()
    expect(page.locator("#grid-rows tbody tr").first).to_contain_text("wide-000")
    page.get_by_label("Find a machine in this job").fill("wide-31")
    expect(page.locator("#grid-rows tbody tr")).to_have_count(10)
    assert names(page)[0] == "wide-310"
    page.reload()
    # Batches are told with their progress; one of them shows its machines.
    batch = page.locator(".batch-list li", has_text="Install (3 of 5)")
    expect(batch).to_contain_text("0 of 100 done")
    batch.get_by_role("link").click()
    expect(page.locator("#grid-rows tbody tr").first).to_contain_text("wide-200")


def test_what_a_reader_asks_for_is_not_lost_to_a_refresh_that_was_under_way(desk: Desk, wide: str):
    page = desk.tab().open(f"/jobs/{wide}/")
    expect(page.locator("[data-link]")).to_have_text("Live")
    held: list[Route] = []

    def hold(route: Route) -> None:
        """The refresh is answered when the reader's request comes, and that one a moment later."""
        held.append(route)
        if len(held) == 2:
            held[0].continue_()
            page.wait_for_timeout(700)
        if len(held) >= 2:
            route.continue_()

    page.route(re.compile("part=grid"), hold)
    page.evaluate("document.querySelector('[data-reorder]').click()")
    page.wait_for_timeout(300)
    assert len(held) == 1
    page.get_by_role("link", name="Not begun 250").click()
    expect(page.locator("#grid-rows .pages").first).to_contain_text("1 to 50 of 250")


def test_only_the_cells_that_changed_are_sent_and_the_counts_follow(desk: Desk, site: Site, wide: str):
    page = desk.tab().open(f"/jobs/{wide}/")
    expect(page.locator("[data-link]")).to_have_text("Live")
    cell = page.locator("tr", has_text="wide-201").locator(".gc").nth(5)
    expect(cell).to_have_class(re.compile("is-running"))
    page.evaluate("window.row = document.querySelectorAll('#grid-rows tbody tr')[10]")
    with page.expect_response(re.compile("part=cells")) as told:
        beside(site, "step", wide, "wide-201", "reboot", "succeeded")
    assert len(told.value.body()) < 3_000
    expect(cell).to_have_class(re.compile("is-ok"))
    # The other rows are the very elements that they were.
    assert page.evaluate("window.row.isConnected")
    for key in ("send-cann", "cann", "check", "load", "start", "health"):
        beside(site, "step", wide, "wide-201", key, "succeeded")
    expect(page.locator("#show-done")).to_contain_text("198", timeout=15_000)


def test_the_grid_is_walked_with_the_arrow_keys_and_leads_to_the_log(desk: Desk, wide: str):
    page = desk.tab().open(f"/jobs/{wide}/")
    assert page.locator("#grid-rows .gc[tabindex='0']").count() == 1
    focused = "document.activeElement.getAttribute('aria-label') ?? ''"
    page.locator("#grid-rows .gc[tabindex='0']").focus()
    assert page.evaluate(focused).startswith("wide-040, Install send-driver: Succeeded")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate(focused).startswith("wide-040, Install driver: Failed, exit 1")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused).startswith("wide-041, Install driver")
    page.keyboard.press("End")
    assert page.evaluate(focused).startswith("wide-041, Install health: Pending")
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    expect(page.locator("[data-shown-step]")).to_contain_text("wide-040")
    assert page.locator("#log .log-machine").input_value() == "wide-040"


def test_machines_are_ticked_in_ranges_and_by_keyboard(desk: Desk, many: list[str]):
    page = desk.tab().open("/jobs/new/?kind=install-cann")
    page.fill("[data-filter]", "many")
    page.get_by_label(re.compile("many-003")).check()
    page.get_by_label(re.compile("many-012")).click(modifiers=["Shift"])
    chosen = page.locator("[data-chosen]")
    expect(chosen).to_have_text("10 machines chosen")
    page.get_by_label(re.compile("many-012")).focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    expect(chosen).to_have_text("12 machines chosen")
    page.get_by_role("button", name="Only the chosen").click()
    expect(page.locator(".targets-list li:visible")).to_have_count(12)
    page.get_by_role("button", name="Only the chosen").click()
    page.fill("[data-filter]", "many-05")
    page.locator("[data-filter]").press("ArrowDown")
    page.keyboard.press("Control+a")
    expect(chosen).to_have_text("22 machines chosen")
    # A list of many has one stop of the Tab key.
    assert page.locator(".targets-list input[tabindex='0']").count() == 1


def test_a_rule_says_whom_it_means_while_it_is_chosen_and_ends_in_a_plan(desk: Desk, many: list[str]):
    tab = desk.tab()
    page = tab.open("/jobs/new/?kind=install-os-packages")
    page.get_by_label("By site and label").check()
    page.get_by_label("Site", exact=True).select_option("many")
    expect(page.locator("#aimed")).to_contain_text("60 machines now: many-000")
    expect(page.locator(".targets-list")).to_be_hidden()
    page.get_by_text("How it runs").click()
    page.get_by_label("Machines in a batch").fill("25")
    assert tab.inaccessible() == []
    page.set_viewport_size({"width": NARROW, "height": 900})
    assert not tab.scrolls_sideways()


def test_machines_are_saved_as_a_group_that_a_job_is_aimed_at(desk: Desk, many: list[str]):
    tab = desk.tab()
    page = tab.open("/machines/?site=many")
    page.get_by_text("Save as group").first.click()
    page.get_by_label("Name", exact=True).fill("the-many")
    page.get_by_role("button", name="Save the group").click()
    page.wait_for_url(re.compile("/groups/the-many/$"))
    expect(page.locator("main")).to_contain_text("Whoever passes: site: many")
    assert tab.inaccessible() == []
    page.get_by_role("link", name="New job on this group").click()
    page.get_by_role("link", name="Install CANN").click()
    expect(page.locator("#aimed")).to_contain_text("60 machines now")
    page.goto(f"{tab.url}/groups/the-many/")
    page.get_by_role("button", name="Delete the group").click()
    expect(page.locator("main")).to_contain_text("Group the-many is gone")


def test_a_paused_job_says_before_what_and_can_be_resumed_on_a_phone_in_chinese(desk: Desk, wide: str):
    page = desk.tab(language="zh-hans", theme="dark", width=NARROW).open(f"/jobs/{wide}/")
    expect(page.locator("main")).to_contain_text("已暂停，下一步骤")
    expect(page.locator("#resume")).to_be_visible()
    expect(page.locator("#moves")).to_be_visible()
