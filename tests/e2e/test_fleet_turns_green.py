"""What an operator watches: a bare machine gets its driver, and the open pages show it by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import Desk, Site, running_site

# A console, a fleet and a browser start first, on a machine that may be busy.
pytestmark = pytest.mark.timeout(300)


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
    # The machine's own page: its software, its history, and a chart where there was no NPU to draw.
    expect(machine.locator("#software")).to_contain_text("Compatible")
    expect(machine.locator("#history")).to_contain_text("Succeeded")
    expect(machine.locator("#npu-chart canvas")).to_be_visible(timeout=15_000)
    expect(machine.locator("[data-npu='0'] [data-f=aicore_percent]")).to_have_text("0", timeout=15_000)
    machine.get_by_role("button", name="As table").click()
    expect(machine.locator("#npu-table tbody tr").first).to_contain_text("0")
    expect(machine.locator("#npu-chart")).to_be_hidden()
    assert desk.tabs[1].inaccessible() == []
    machine.set_viewport_size({"width": 390, "height": 900})
    assert not desk.tabs[1].scrolls_sideways()
    assert [page.evaluate("window.kept") for page in (overview, machine)] == [True, True]
    expect(overview.locator("#wrong")).not_to_contain_text(f"No NPU driver yet{name}")
