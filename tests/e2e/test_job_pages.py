"""From a file on the operator's desk to the last line of the job's log, in a real browser on simulated machines."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e.browser import NARROW, WIDE, Desk, Site

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)

# What an installer may print at its worst, over some seconds: many lines, colours, lines written over, a character
# that two writes share. The console sees no difference to a vendor's package but for what it does.
NOISY = r"""#!/bin/sh
printf '\033[32mgreen\033[0m and \033[1;31mbold red\033[0m\n'
i=0
while [ $i -lt 1200 ]; do
  i=$((i + 1)); echo "line $i of the installer, 第 $i 行"
  case $i in *00) sleep 0.5;; esac
  while [ $i = 900 ] && [ -e /var/tmp/hold-the-installer ]; do sleep 0.1; done
done
printf 'unpacked 10 %%\runpacked 55 %%'; sleep 0.4; printf '\runpacked 100 %%\n'
printf 'a character in two halves: \344'; sleep 0.7; printf '\270\255\n'
echo '[Driver] Driver package installed successfully!'
"""
FIRMWARE = "#!/bin/sh\necho '[Firmware] Firmware package installed successfully!'\n"
FILES = {
    "Ascend-hdk-910-npu-driver_9.9.9_linux-aarch64.run": NOISY,
    "Ascend-hdk-910-npu-firmware_9.9.9.run": FIRMWARE,
}
SHOWN = """() => [...document.querySelectorAll('.log .blk')].flatMap((block) => block.classList.contains('text')
  ? block.textContent.split('\\n') : [...block.querySelectorAll('.t')].map((row) => row.textContent))"""


@pytest.fixture(scope="module")
def stocked(site: Site) -> dict[str, int]:
    """The depot's numbers of both packages."""
    made = {}
    for (name, text), kind in zip(FILES.items(), ("driver", "firmware"), strict=True):
        answer = site.console.client.post(
            "/artifacts/", data={"type": kind, "name": name}, files={"file": (name, text.encode())}
        )
        made[kind] = answer.raise_for_status().json()["id"]
    return made


def launch(site: Site, stocked: dict[str, int], machines: list[str]) -> int:
    body = {"kind": "install-driver", "params": stocked, "machines": machines}
    return int(site.console.client.post("/jobs/", json=body).raise_for_status().json()["id"])


def until(site: Site, job: int, wanted: Any, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = site.console.client.get(f"/jobs/{job}/").json()
        if wanted(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def ended(job: dict[str, Any]) -> bool:
    return job["ended_at"] is not None


def printed(page: Page, job: int, machine: str = "kunpeng-01") -> list[str]:
    """The lines of the downloaded log as a terminal would leave them."""
    origin = page.url.split("/jobs/")[0]
    raw = page.request.get(f"{origin}/jobs/{job}/log.txt?machine={machine}").body().decode()
    return [re.sub(r"\x1b\[[0-9;]*m", "", line.split("\r")[-1]) for line in raw.removesuffix("\n").split("\n")]


def test_a_page_opened_in_the_middle_of_a_job_shows_its_log_from_the_beginning_then_live(desk: Desk, site, stocked):
    hold = site.fleet.disk("kunpeng-01") / "var/tmp/hold-the-installer"
    hold.touch()
    job = launch(site, stocked, ["kunpeng-01"])
    until(site, job, lambda found: found["log_length"] > 8000)
    page = desk.tab().open(f"/jobs/{job}/")
    expect(page.locator("[data-link]")).to_have_text("Live")
    assert not ended(site.console.client.get(f"/jobs/{job}/").json())
    # Follow shows the newest line; the first one is there all the same.
    expect(page.locator(".log")).to_contain_text("line 1 of the installer")
    before = len(page.evaluate(SHOWN))
    hold.unlink()
    expect(page.locator(".log")).to_contain_text("line 1200 of the installer", timeout=30_000)
    assert len(page.evaluate(SHOWN)) > before
    expect(page.locator("[data-link]")).to_have_text("Complete", timeout=30_000)
    assert page.evaluate(SHOWN) == printed(page, job)
    # Steps and state went along without a reload: the packages were none, so the proof failed, and says so.
    expect(page.locator(".fault")).to_contain_text("npu-smi lists 0 healthy NPUs, not 4")
    assert page.locator("#job-state").get_attribute("data-state") == "failed"
    page.locator(".log").evaluate("box => box.scrollTop = 0")
    expect(page.locator(".log .ag").first).to_have_text("green")
    assert page.locator(".log .ar.bo").first.text_content() == "bold red"


def test_links_that_are_cut_and_pages_that_are_reloaded_leave_no_gap_and_no_repeat(desk: Desk, site, stocked):
    cuts: list[int] = []

    def cut(route: WebSocketRoute) -> None:
        """The first connections end after a message or two, in the midst of the log; then they are let be."""
        server, left = route.connect_to_server(), 2 if len(cuts) < 6 else 10**9

        def passed_on(message: str | bytes) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                cuts.append(job)
                route.close(code=1011)
            else:
                route.send(message)

        server.on_message(passed_on)

    tab = desk.tab()
    tab.page.route_web_socket(re.compile("/ws/jobs/"), cut)
    job = launch(site, stocked, ["kunpeng-01"])
    page = tab.open(f"/jobs/{job}/")
    until(site, job, lambda found: found["log_length"] > 20000)
    page.reload()
    expect(page.locator("[data-link]")).to_have_text("Complete", timeout=60_000)
    assert page.evaluate(SHOWN) == printed(page, job) and len(cuts) >= 3
    page.reload()
    expect(page.locator("[data-link]")).to_have_text("Complete")
    assert page.evaluate(SHOWN) == printed(page, job)
    numbers = page.locator(".log .ln .no").all_text_contents()
    assert len(numbers) == len(set(numbers))


def test_where_websockets_are_blocked_the_log_comes_by_asking(desk: Desk, site, stocked):
    tab = desk.tab()
    tab.page.route_web_socket(re.compile("/ws/jobs/"), lambda route: route.close(code=1006))
    job = launch(site, stocked, ["kunpeng-01"])
    page = tab.open(f"/jobs/{job}/")
    expect(page.locator("#link-lost")).to_contain_text("WebSockets are blocked", timeout=30_000)
    expect(page.locator("[data-link]")).to_have_text("Complete", timeout=60_000)
    assert page.evaluate(SHOWN) == printed(page, job)


def test_follow_goes_off_when_the_reader_scrolls_up_and_says_how_much_is_new(desk: Desk, site, stocked):
    job = launch(site, stocked, ["kunpeng-01"])
    page = desk.tab().open(f"/jobs/{job}/")
    expect(page.locator(".log")).to_contain_text("line 100 of the installer", timeout=20_000)
    page.locator(".log").hover()
    page.mouse.wheel(0, -600)
    expect(page.locator("[data-follow]")).not_to_be_checked()
    expect(page.locator("[data-new]")).to_contain_text("new lines", timeout=20_000)
    top = page.locator(".log").evaluate("box => box.scrollTop")
    expect(page.locator("[data-link]")).to_have_text("Complete", timeout=60_000)
    assert abs(page.locator(".log").evaluate("box => box.scrollTop") - top) < 200
    page.locator("[data-new]").click()
    expect(page.locator("[data-follow]")).to_be_checked()
    assert page.locator(".log").evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight") < 10


def test_the_focus_stays_where_it_is_while_the_page_follows_the_job(desk: Desk, site, stocked):
    job = launch(site, stocked, ["kunpeng-01"])
    history = desk.tab().open("/jobs/?state=failed")
    page = desk.tab().open(f"/jobs/{job}/")
    page.locator("#cancel").focus()
    seen = page.locator(".strip").text_content()
    expect(page.locator(".strip")).not_to_have_text(seen or "", timeout=20_000)
    assert page.evaluate("document.activeElement.id") == "cancel"
    until(site, job, ended)
    # The history that somebody left open tells of its end without a reload.
    expect(history.locator(f'a[href="/jobs/{job}/"]')).to_be_visible(timeout=10_000)


def test_the_log_is_searched_filtered_and_linked_to(desk: Desk, site, stocked):
    job = launch(site, stocked, ["kunpeng-01"])
    until(site, job, ended)
    tab = desk.tab()
    page = tab.open(f"/jobs/{job}/#L300")
    line = page.locator("#L300 .t")
    expect(line).to_be_visible()
    page.fill("[data-search]", "installer, 第 77")
    expect(page.locator(".logbar [data-hits]")).to_have_text(re.compile(r"\d+ of 12?"))
    expect(page.locator(".log mark.now").first).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator(".logbar [data-hits]")).to_have_text(re.compile(r"\d+ of 11"))
    page.fill("[data-search]", "no line says this")
    expect(page.locator(".logbar [data-hits]")).to_have_text("no hit")
    # A cell of the grid leads to the first line of its step.
    page.get_by_role("link", name=re.compile("kunpeng-01, Install firmware")).click()
    expect(page.locator(".log .ln.now")).to_contain_text("Firmware package installed")


def test_from_a_file_on_the_desk_to_a_job_that_is_launched_once(desk: Desk, site, stocked, tmp_path: Path):
    tab = desk.tab()
    page = tab.open("/depot/")
    file = tmp_path / "Ascend-hdk-910-npu-driver_9.9.10_linux-aarch64.run"
    file.write_text(NOISY + "# other\n")
    page.set_input_files("#u-file", file)
    page.fill("#u-sha", "0" * 64)
    page.get_by_role("button", name="Add to the depot").click()
    expect(page.locator("[data-failure]")).to_contain_text("is not the file that was meant")
    page.fill("#u-sha", "")
    page.get_by_role("button", name="Add to the depot").click()
    page.wait_for_url(re.compile(r"type=driver"))
    expect(page.locator("main")).to_contain_text("9.9.10")
    page.locator(".art", has_text="9.9.10").get_by_role("button", name="Verify").click()
    expect(page.locator("main")).to_contain_text("Unchanged")
    tab.faults[:] = [fault for fault in tab.faults if "422" not in fault]

    page.goto(f"{tab.url}/jobs/new/?kind=install-driver")
    newest = page.locator("#p-driver option", has_text="9.9.10").get_attribute("value")
    page.select_option("#p-driver", newest)
    # The only firmware that there is stands there already.
    expect(page.locator("#p-firmware")).to_have_value(str(stocked["firmware"]))
    page.fill("[data-filter]", "nothing")
    expect(page.locator("[data-nothing]")).to_be_visible()
    page.fill("[data-filter]", "lab -01")
    page.get_by_role("button", name="Choose all shown").click()
    expect(page.locator("[data-chosen]")).to_have_text("1 machine chosen")
    page.get_by_role("button", name="Show the plan").click()
    expect(page.locator(".plan-m")).to_have_count(1)
    # Who works by keyboard stands at the plan, not before the whole form again.
    expect(page.get_by_role("heading", name="Plan", exact=True)).to_be_focused()
    run = page.get_by_role("button", name="Run on 1 machine")
    expect(run).to_be_disabled()
    page.fill("#confirm", "kunpeng-01")
    before = [row["id"] for row in site.console.client.get("/jobs/").json()["results"]]
    run.dblclick()
    page.wait_for_url(re.compile(r"/jobs/\d+/$"))
    job = int(page.url.rstrip("/").split("/")[-1])
    assert [row["id"] for row in site.console.client.get("/jobs/").json()["results"]] == [job, *before]
    page.go_back()
    page.get_by_role("link", name="Cancel job").or_(page.locator("#confirm")).first.wait_for()
    page.goto(f"{tab.url}/jobs/{job}/")
    page.get_by_role("link", name="Cancel job").click()
    expect(page.locator("main")).to_contain_text("Cancelling starts nothing more. It takes nothing back.")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator("#job-state[data-state=cancelled]")).to_have_count(1, timeout=30_000)


PAGES = {
    "/jobs/": ("New job", "新建作业"),
    "/jobs/?state=errored": ("No job matches", "没有符合筛选条件的作业"),
    "/jobs/new/": ("Install CANN", "安装 CANN"),
    "/jobs/new/?kind=convert": ("Convert to", "转换"),
    "/jobs/new/?kind=install-driver&machine=kunpeng-02&params.driver={driver}&params.firmware={firmware}": (
        "Preflight blocks kunpeng-02",
        "预检阻止了 kunpeng-02",
    ),
    "/jobs/{job}/": ("Provenance", "来历"),
    "/depot/": ("Verify", "校验"),
    "/depot/{image}/release/": ("Smoke question", "冒烟问题"),
    "/scenarios/support-bot/": ("No machine serves", "没有机器提供"),
}


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_are_whole_in_both_languages_both_themes_and_at_both_widths(desk: Desk, site, stocked, path: str):
    client = site.console.client
    job = (client.get("/jobs/").json()["results"] or [{"id": launch(site, stocked, ["kunpeng-01"])}])[0]["id"]
    data = {"type": "image", "name": "image.tar", "version": "1.0.0"}
    image = client.post("/artifacts/", data=data, files={"file": b"an image"}).raise_for_status().json()["id"]
    address = path.format(job=job, image=image, **stocked)
    for (language, word), theme in itertools.product(
        zip(("en", "zh-hans"), PAGES[path], strict=True), ("light", "dark")
    ):
        tab = desk.tab(language=language, theme=theme)
        page = tab.open(address)
        expect(page.locator("main")).to_contain_text(word)
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 900})
            assert not tab.scrolls_sideways(), f"{address} at {width} px in {language}"
            if (theme, width, language) in (("light", WIDE, "en"), ("dark", NARROW, "zh-hans")):
                assert tab.inaccessible() == [], f"{address} at {width} px, {theme}, {language}"


def test_enter_after_the_name_of_the_machine_runs_the_plan_and_before_it_nothing(desk: Desk, site: Site, stocked):
    query = "&".join(f"params.{name}={number}" for name, number in stocked.items())
    page = desk.tab().open(f"/jobs/new/?kind=install-driver&machine=kunpeng-01&{query}")
    field = page.get_by_label("Name of the machine")
    field.fill("kunpeng-0")
    field.press("Enter")
    page.wait_for_timeout(300)
    assert "params.driver" in page.url and field.input_value() == "kunpeng-0"
    field.fill("kunpeng-01")
    field.press("Enter")
    page.wait_for_url(re.compile(r"/jobs/\d+/$"))
    job = int(page.url.split("/")[-2])
    site.console.client.post(f"/jobs/{job}/cancel/").raise_for_status()
    until(site, job, ended)


def test_where_another_person_decides_no_name_is_asked_for(desk: Desk, site: Site, stocked):
    made = site.console.client.post("/approval-rules/", json={"kind": "install-driver"}).raise_for_status().json()
    try:
        query = "&".join(f"params.{name}={number}" for name, number in stocked.items())
        page = desk.tab().open(f"/jobs/new/?kind=install-driver&machine=kunpeng-01&{query}")
        expect(page.locator("#run")).to_contain_text("This may restart kunpeng-01.")
        expect(page.get_by_role("button", name="Ask for approval")).to_be_enabled()
        expect(page.get_by_label("Name of the machine")).to_have_count(0)
    finally:
        site.console.client.delete(f"/approval-rules/{made['id']}/").raise_for_status()


def test_the_grid_shows_a_long_name_of_a_machine_whole_with_its_state(desk: Desk, site: Site):
    entry, client = site.fleet.machines[0], site.console.client
    name = f"dc1-row03-rack12-{'x' * 37}-node-147"
    fields = {"name": name, "host": entry["host"], "port": entry["port"], "credential": "fleet"}
    client.post("/machines/", json=fields).raise_for_status()
    client.post(f"/machines/{name}/confirm/", json={"fingerprint": entry["fingerprint"]}).raise_for_status()
    client.post(f"/machines/{name}/probe/").raise_for_status()
    body = {"kind": "verify", "params": {"cann": False, "mindspore": False}, "machines": [name]}
    job = client.post("/jobs/", json=body).raise_for_status().json()["id"]
    until(site, job, ended)
    try:
        for width in (WIDE, NARROW):
            tab = desk.tab(width=width)
            head = tab.open(f"/jobs/{job}/").locator("#grid-rows tbody th")
            right = "box => box.getBoundingClientRect().right"
            inside = f"head => [...head.children].every(box => ({right})(box) <= ({right})(head) + 1)"
            assert head.evaluate(inside) and not tab.scrolls_sideways()
        # With its state in sight, where there is room for words.
        expect(desk.tab().open(f"/jobs/{job}/").locator("#grid-rows tbody th .st")).to_be_visible()
    finally:
        client.post(f"/machines/{name}/retire/").raise_for_status()


def test_a_long_name_of_a_parameter_leaves_its_value_room(desk: Desk, site: Site):
    client = site.console.client
    given = {"data": {"type": "model", "name": "vision.onnx"}, "files": {"file": ("vision.onnx", b"no model")}}
    model = client.post("/artifacts/", **given).raise_for_status().json()["id"]
    body = {"kind": "mend-model", "params": {"model": model}}
    job = client.post("/jobs/", json=body).raise_for_status().json()["id"]
    page = desk.tab().open(f"/jobs/{job}/")
    listed = page.get_by_label("Provenance").locator("dl")
    expect(listed).to_contain_text("Compute now what is the same for every input")
    widths = listed.evaluate("list => [...list.querySelectorAll('dd')].map(dd => dd.offsetWidth / list.offsetWidth)")
    assert min(widths) > 0.5
