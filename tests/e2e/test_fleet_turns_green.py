"""What an operator watches: a bare machine gets its driver, and the open pages show it by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from hardware.simulator.faults import registry
from hardware.simulator.spec import Home
from tests.e2e.browser import Desk, Site, running_site

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # Of its own: what is installed here would be installed for the other tests, too.
    with running_site(tmp_path_factory.mktemp("green")) as made:
        yield made


def test_a_machine_turns_green_on_open_pages_and_its_chart_begins(
    desk: Desk, site: Site, simulated_packages: dict[str, Path]
):
    name, client = site.names[0], site.console.client
    overview, machine = desk.tab().open("/"), desk.tab(theme="dark").open(f"/machines/{name}/")
    row = overview.locator(".mrow", has_text=name)
    expect(row.locator(".st")).to_have_attribute("data-state", "attention")
    expect(machine.locator("#npus")).to_contain_text("no driver that lists them")
    for page in (overview, machine):
        page.evaluate("window.kept = true")
    expect(overview.locator("#live-line")).to_contain_text("Live")
    params = {}
    for what in ("driver", "firmware"):
        path = simulated_packages[what]
        answer = client.post("/artifacts/", data={"type": what, "name": path.name}, files={"file": path.read_bytes()})
        params[what] = answer.raise_for_status().json()["id"]
    body = {"kind": "install-driver", "params": params, "machines": [name]}
    job = client.post("/jobs/", json=body).raise_for_status().json()
    expect(overview.locator("#running")).to_contain_text(f"job {job['id']}", timeout=15_000)
    expect(row.locator(".st")).to_have_attribute("data-state", "ready", timeout=60_000)
    expect(row.locator(".cell:not(.absent)")).to_have_count(4, timeout=15_000)
    expect(overview.locator("#running")).to_contain_text("No job is running")
    # Readings are drawn as they come: here the page itself can't be had again.
    overview.route(f"{site.console.url}/", lambda route: route.fulfill(status=204))
    home = Home(site.fleet.folder / name)
    registry.begin(home, "latency-varies-when-hot", ["70", "1"])
    hot = re.compile(r"NPU 0: load .*, (4[5-9]|[5-9]\d|1\d\d) °C")
    expect(row.locator(".cell").first).to_have_attribute("title", hot, timeout=15_000)
    registry.end(home)
    # The machine's own page: its software, its history, and a chart where there was no NPU to draw.
    expect(machine.locator("#software")).to_contain_text("Compatible")
    expect(machine.locator("#history")).to_contain_text("Succeeded")
    expect(machine.locator("[data-plot=aicore_percent] canvas")).to_be_visible(timeout=15_000)
    expect(machine.locator("[data-npu='0'] [data-f=aicore_percent]")).to_have_text("0", timeout=15_000)
    machine.get_by_role("button", name="As table").click()
    expect(machine.locator("#npu-table tbody tr").first).to_contain_text("0")
    expect(machine.locator("#npu-charts")).to_be_hidden()
    assert desk.tabs[1].inaccessible() == []
    machine.set_viewport_size({"width": 390, "height": 900})
    assert not desk.tabs[1].scrolls_sideways()
    assert [page.evaluate("window.kept") for page in (overview, machine)] == [True, True]
    expect(overview.locator("#wrong")).not_to_contain_text(f"No NPU driver yet{name}")
