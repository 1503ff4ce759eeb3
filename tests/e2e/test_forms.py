"""Forms in a real browser, in the hands of somebody in a hurry: clicked twice, filled in wrong, sent too late."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Desk, Site
from tests.e2e.running import PASSWORD, USER

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)


def made(site: Site, path: str) -> list[dict]:
    return site.console.client.get(path).raise_for_status().json()["results"]


def forgiven(tab) -> None:
    """The browser itself reports an answer of 4xx to a form as an error of the console."""
    tab.faults[:] = [fault for fault in tab.faults if "status of 4" not in fault]


def test_a_double_click_adds_one_window_and_says_no_word_of_another(desk: Desk, site: Site):
    page = desk.tab().open("/windows/")
    page.get_by_label("Name", exact=True).fill("clicked twice")
    page.get_by_role("button", name="Add").dblclick()
    expect(page.locator("#windows")).to_contain_text("clicked twice")
    expect(page.locator(".form-error")).to_have_count(0)
    # Two tabs of one page: what is gone in one is no missing page in the other.
    other = desk.tab().open("/windows/")
    page.locator("#windows").get_by_role("button", name="Remove").dblclick()
    expect(page.locator("main")).to_contain_text("No windows")
    other.locator("#windows").get_by_role("button", name="Remove").click()
    expect(other.locator("main")).to_contain_text("No windows")


def test_a_schedule_is_made_once_run_once_and_its_page_follows(desk: Desk, site: Site):
    page = desk.tab().open("/schedules/new/?kind=verify&machine=kunpeng-01")
    page.get_by_label("Name", exact=True).fill("nightly check")
    for wanted in ("#p-cann", "#p-mindspore"):
        page.locator(wanted).uncheck()
    page.get_by_role("button", name="Make the schedule").dblclick()
    expect(page.locator("h1")).to_contain_text("nightly check")
    (schedule,) = made(site, "/schedules/")
    try:
        other = desk.tab().open(f"/schedules/{schedule['id']}/")
        expect(other.locator("#fires")).to_contain_text("It has had no time yet")
        page.get_by_role("button", name="Run now").dblclick()
        page.wait_for_url("**/jobs/*/")
        expect(other.locator("#fires")).to_contain_text("job", timeout=15_000)
        launched = [job for job in made(site, "/jobs/?kind=verify") if job["created_by"].startswith("schedule:")]
        assert len(launched) == 1
    finally:
        site.console.client.delete(f"/schedules/{schedule['id']}/").raise_for_status()


def test_the_focus_stands_at_what_is_wrong_and_what_was_typed_is_there(desk: Desk, site: Site):
    tab = desk.tab()
    page = tab.open("/jobs/new/?kind=install-os-packages&machine=kunpeng-01")
    page.get_by_label("Packages").fill("dkms")
    page.locator("#how summary").click()
    page.locator("#o-tolerate").fill("many")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("#o-tolerate")).to_be_focused()
    assert page.locator("#o-tolerate").input_value() == "many" and page.get_by_label("Packages").input_value() == "dkms"
    page = tab.open("/limits/")
    page.get_by_role("button", name="Add").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Jobs at once")).to_be_focused()
    page = tab.open("/windows/")
    page.get_by_label("Name", exact=True).fill("on no day")
    for day in page.locator(".days input").all():
        day.uncheck()
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("group", name="On")).to_be_focused()
    forgiven(tab)


def test_the_next_step_stands_out_also_while_it_has_the_focus(desk: Desk, site: Site):
    ground = "button => getComputedStyle(button).backgroundColor"
    for theme in ("light", "dark"):
        page = desk.tab(theme=theme).open("/jobs/new/?kind=verify&machine=kunpeng-01")
        button = page.get_by_role("button", name="Show the plan")
        before = button.evaluate(ground)
        page.locator("#how summary").focus()
        page.keyboard.press("Tab")
        expect(button).to_be_focused()
        page.wait_for_timeout(400)  # the colour goes over into another
        assert button.evaluate(ground) == before


def test_what_was_typed_outlives_the_session(desk: Desk, site: Site):
    tab = desk.tab()
    page = tab.open("/jobs/new/?kind=install-os-packages&machine=kunpeng-01")
    page.get_by_label("Packages").fill("typed-at-three-in-the-morning")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.get_by_role("alert")).to_contain_text("Your session has ended; nothing was done.")
    assert tab.inaccessible() == []
    page.fill("#id_username", USER)
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Nothing was done yet")
    assert tab.inaccessible() == [] and not tab.scrolls_sideways()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Packages")).to_have_value("typed-at-three-in-the-morning")
    forgiven(tab)


def test_nor_does_signing_in_in_another_tab_cost_it(desk: Desk, site: Site):
    tab = desk.tab()
    page = tab.open("/jobs/new/?kind=install-os-packages&machine=kunpeng-01")
    page.get_by_label("Packages").fill("typed-in-the-first-tab")
    page.context.clear_cookies(name="sessionid")
    other = page.context.new_page()
    other.goto(f"{site.console.url}/login/")
    other.fill("#id_username", USER)
    other.fill("#id_password", PASSWORD)
    other.keyboard.press("Enter")
    other.wait_for_url(f"{site.console.url}/")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator("h1")).to_have_text("Nothing was done yet")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Packages")).to_have_value("typed-in-the-first-tab")
    forgiven(tab)


def test_switching_theme_or_language_costs_nothing_that_was_typed_without_a_word(desk: Desk, site: Site):
    page = desk.tab(theme="light").open("/jobs/new/?kind=install-os-packages&machine=kunpeng-01")
    page.get_by_label("Packages").fill("dkms")
    page.get_by_role("button", name="Theme: light. Switch to dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    expect(page.get_by_role("button", name="Theme: dark.")).to_be_focused()
    asked: list[str] = []
    page.once("dialog", lambda box: (asked.append(box.message), box.dismiss()))
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_label("Packages")).to_have_value("dkms")
    assert "is lost" in asked[0] and page.locator("html").get_attribute("lang") == "en"
    # It holds from now on; and where nothing was typed nothing is asked.
    page.goto(f"{site.console.url}/jobs/")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    assert len(asked) == 1
