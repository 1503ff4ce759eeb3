"""Every page, in a real browser: both languages, both themes, wide and narrow, by keyboard, and to axe-core."""

from __future__ import annotations

import itertools
import re

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import NARROW, WIDE, Desk, Site

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)

# Path of a page -> words of it in English and in Chinese.
PAGES = {
    "/": ("Wrong now", "当前问题"),
    "/machines/": ("Last probe", "上次探测"),
    "/machines/?q=nothing-is-called-this": ("No machine matches", "没有机器符合"),
    "/groups/": ("Saved groups", "机器组"),
    "/machines/add/": ("Read its host key", "读取其主机密钥"),
    "/readiness/": ("Nothing to ask about yet", "还没有可查询的内容"),
    "/compatibility/?first=driver&first_version=1.0&second=cann&second_version=1.0": (
        "Say what is known",
        "补充已知信息",
    ),
    "/compatibility/new/": ("Where this is known from", "信息从何而来"),
    "/alerts/rules/latency-varies-when-hot/": ("Try it on the last 24 hours", "用最近 24 小时试算"),
    "/alerts/silences/": ("Nothing is silenced", "没有静默"),
    "/schedules/": ("No schedule yet", "还没有定时"),
    "/schedules/new/?kind=install-os-packages&machine=kunpeng-01": ("Cron expression", "Cron 表达式"),
    "/windows/": ("No windows", "没有窗口"),
    "/limits/": ("No limits", "没有限制"),
    "/pipelines/": ("Bring up machines", "机器上线"),
    "/pipelines/new/?pipeline=bring-up": ("Also install what is there already", "已安装的部分也重新安装"),
    "/machines/kunpeng-02/": ("The headers of kernel", "的头文件"),
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_in_both_languages_both_themes_and_at_both_widths(desk: Desk, path: str):
    for (language, word), theme in itertools.product(
        zip(("en", "zh-hans"), PAGES[path], strict=True), ("light", "dark")
    ):
        tab = desk.tab(language=language, theme=theme)
        page = tab.open(path)
        expect(page.locator("main")).to_contain_text(word)
        assert page.locator("html").get_attribute("data-bs-theme") == theme
        assert page.locator("html").get_attribute("lang") == {"en": "en", "zh-hans": "zh-Hans"}[language]
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 900})
            assert not tab.scrolls_sideways(), f"{path} at {width} px in {language}"
            # Colours differ by theme and what is shown by width; the other two combinations would find no more.
            if (theme, width, language) in (("light", WIDE, "en"), ("dark", NARROW, "zh-hans")):
                assert tab.inaccessible() == [], f"{path} at {width} px, {theme}, {language}"


def test_signing_in_is_whole_too_and_a_wrong_password_says_so(desk: Desk):
    for language, theme in itertools.product(("en", "zh-hans"), ("light", "dark")):
        tab = desk.tab(language=language, theme=theme, width=NARROW, signed_in=False)
        page = tab.open("/machines/")
        assert page.url.endswith("/login/?next=/machines/")
        assert not tab.scrolls_sideways() and tab.inaccessible() == []
    page.fill("#id_username", "ada")
    page.fill("#id_password", "no")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("用户名或密码错误")
    assert page.evaluate("document.activeElement.id") == "id_password" and tab.inaccessible() == []
    # The browser itself reports a 422 as an error of the console.
    tab.faults[:] = [fault for fault in tab.faults if "422" not in fault]


def test_language_and_theme_are_switched_without_losing_the_page(desk: Desk):
    page = desk.tab(theme="auto").open("/machines/?q=kunpeng")
    assert page.locator("html").get_attribute("data-bs-theme") == "light"
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("机器")
    assert page.url.endswith("/machines/?q=kunpeng")
    page.get_by_role("button", name="主题").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


def test_a_page_is_worked_by_keyboard(desk: Desk):
    page = desk.tab().open("/machines/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".topbar details.pop summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()


def test_a_machine_is_added_in_the_browser(desk: Desk, site: Site):
    entry = site.fleet.machines[0]
    page = desk.tab().open("/machines/add/")
    page.get_by_label("Name", exact=True).fill("by-hand")
    page.get_by_label("Host", exact=True).fill(str(entry["host"]))
    page.get_by_label("SSH port").fill(str(entry["port"]))
    page.get_by_label("Credential", exact=True).select_option("old:fleet")
    page.get_by_role("button", name="Read its host key").click()
    expect(page.locator("output")).to_have_text(str(entry["fingerprint"]))
    page.get_by_role("button", name="They are the same").click()
    expect(page.get_by_role("status").first).to_contain_text("by-hand was probed in")
    expect(page.locator("#preflight")).to_contain_text("The architecture is aarch64")


def test_the_overview_follows_the_fleet_without_a_reload(desk: Desk, site: Site):
    page = desk.tab().open("/")
    expect(page.locator("#live-line")).to_contain_text("Live")
    page.evaluate("window.kept = true")
    name = site.names[0]
    expect(page.locator("#fleet-map")).not_to_contain_text("added-over-rest")
    entry = site.fleet.machines[0]
    fields = {"name": "added-over-rest", "host": entry["host"], "port": entry["port"], "credential": "fleet"}
    site.console.client.post("/machines/", json=fields).raise_for_status()
    expect(page.locator("#fleet-map")).to_contain_text("added-over-rest", timeout=5_000)
    expect(page.locator("#wrong")).to_contain_text("fingerprint")
    site.console.client.post(f"/machines/{name}/probe/").raise_for_status()
    assert page.evaluate("window.kept") is True


def test_ticked_machines_stay_ticked_while_the_table_is_refreshed(desk: Desk, site: Site):
    page = desk.tab().open("/machines/")
    page.get_by_label(f"Select {site.names[1]}").check()
    expect(page.get_by_role("button", name="New job on the selection 1")).to_be_enabled()
    with page.expect_response(re.compile("/machines/$")):
        site.console.client.post(f"/machines/{site.names[0]}/probe/").raise_for_status()
    page.wait_for_timeout(300)
    expect(page.get_by_label(f"Select {site.names[1]}")).to_be_checked()
