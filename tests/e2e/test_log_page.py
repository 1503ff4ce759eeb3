"""Logs at their worst, from a command on a machine over SSH to the store and to a browser: nothing is lost or hangs."""

from __future__ import annotations

import io
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import PATIENCE_MS, Desk, Site
from tests.e2e.test_job_pages import FIRMWARE, SHOWN, ended, until

pytestmark = pytest.mark.timeout(600)
SECONDS = 60


@pytest.fixture(autouse=True)
def patience():
    """What is waited for may be megabytes away, on a machine that is busy."""
    expect.set_options(timeout=SECONDS * 1000)
    yield
    expect.set_options(timeout=PATIENCE_MS)


# Rubbish with every byte there is, a character in two halves, a line of 50 MB, a bar that is drawn over, a lot of lines
# as fast as the machine prints them.
UGLY = r"""#!/bin/sh
echo 'the needle at the beginning'
awk 'BEGIN { for (i = 0; i < 256; i++) printf "%c", i }' | LC_ALL=C cat; head -c 200000 /dev/urandom; echo
printf 'half a character: \344'; sleep 0.3; printf '\270\255\n'
printf 'begin of the long line '; head -c 50000000 /dev/zero | tr '\0' x; echo ' end of the long line'
i=0; while [ $i -lt 300 ]; do i=$((i + 1)); printf '\r%d of 300' $i; done; echo
seq -f '\033line %.0f of many, with some words to make it as long as lines of installers are' 200000
echo 'the needle at the end'
"""


def run(site: Site, text: str, name: str) -> dict[str, Any]:
    """A job whose first step prints what the script prints."""
    client, made = site.console.client, {}
    for kind, content, version in (("driver", text, name), ("firmware", FIRMWARE, name)):
        named = f"Ascend-hdk-910-npu-{kind}_{version}{'_linux-aarch64' if kind == 'driver' else ''}.run"
        answer = client.post(
            "/artifacts/", data={"type": kind, "name": named}, files={"file": (named, content.encode())}
        )
        made[kind] = answer.raise_for_status().json()["id"]
    body = {"kind": "install-driver", "params": made, "machines": ["kunpeng-01"]}
    job = int(client.post("/jobs/", json=body).raise_for_status().json()["id"])
    return until(site, job, ended, 120)


@pytest.fixture(scope="module")
def ugly(site: Site) -> dict[str, Any]:
    return run(site, UGLY, "9.8.7")


def open_whole(desk: Desk, job: dict[str, Any], at: str = "") -> Page:
    page = desk.tab().open(f"/jobs/{job['id']}/{at}")
    expect(page.locator("[data-link]")).to_have_text(re.compile("Complete|Part"))
    return page


def test_what_the_machine_printed_is_what_is_stored_byte_for_byte(site: Site, ugly, tmp_path: Path):
    client = site.console.client
    checked = client.get(f"/jobs/{ugly['id']}/log-check/", timeout=60).json()
    # The hash of a run is the machine's own reckoning.
    assert checked["whole"]["intact"] is True and [step["intact"] for step in checked["steps"]] == [True, True]
    assert checked["whole"]["length"] == ugly["log_length"] > 60_000_000
    one = client.get(f"/jobs/{ugly['id']}/log-text/", params={"machine": "kunpeng-01"}, timeout=60).content
    assert len(one) == ugly["log_length"] and one.count(b"\n") > 200_000
    made = zipfile.ZipFile(io.BytesIO(client.get(f"/jobs/{ugly['id']}/log-zip/", timeout=60).content))
    made.extractall(tmp_path)
    folder = tmp_path / f"job-{ugly['id']}"
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    assert (folder / "kunpeng-01.log").read_bytes() == one


def test_a_log_too_large_for_a_browser_opens_at_its_end_and_all_of_it_is_searched_by_keyboard(desk: Desk, ugly):
    page = open_whole(desk, ugly)
    expect(page.locator("[data-part-said]")).to_contain_text(f"of {ugly['log_length']:,}")
    expect(page.locator(".log")).to_contain_text("the needle at the end")
    field, hits = page.locator("[data-search]"), page.locator(".logbar [data-hits]")
    field.fill("THE NEEDLE AT")
    expect(hits).to_have_text("1 of 1")
    field.press("Enter")
    # From here the next one is the last; then the search goes on at the beginning, in a part that is read for it.
    expect(hits).to_have_text("2 of 2")
    expect(page.locator("[data-hit]")).to_have_text("kunpeng-01: the needle at the end")
    field.press("Enter")
    expect(hits).to_have_text("1 of 2")
    expect(page.locator(".log .ln.now")).to_contain_text("the needle at the beginning")
    expect(page.locator("#L1")).to_be_visible()
    field.press("Shift+Enter")
    expect(hits).to_have_text("2 of 2")
    expect(page.locator(".log .ln.now .t")).to_have_text("the needle at the end")
    field.fill("nothing says this")
    expect(hits).to_have_text("no hit in this part; Enter searches all of it")
    field.press("Enter")
    expect(hits).to_have_text("no hit")
    page.get_by_role("button", name="Beginning").click()
    expect(page.locator(".log")).to_contain_text("half a character: 中")
    assert page.evaluate("document.querySelector('.log').textContent.length") < 2_000_000


def test_a_line_of_50_mb_is_its_beginning_and_its_end_with_a_note_that_leads_to_the_file(desk: Desk, site: Site, ugly):
    found = site.console.client.get(f"/jobs/{ugly['id']}/log-search/", params={"q": "begin of the long line"}).json()
    position = found["hits"][0]["position"]
    page = open_whole(desk, ugly, f"#B{position}")
    line = page.locator(".log .ln.now")
    expect(line).to_contain_text("begin of the long line xxx")
    expect(line.locator(".left-out")).to_contain_text("characters are left out here")
    assert line.locator(".left-out").get_attribute("href").endswith("log.txt?machine=kunpeng-01")
    assert 16_000 < len(line.text_content()) < 20_000
    page.get_by_role("button", name="Newest").click()
    expect(page.locator(".log")).to_contain_text("the needle at the end")
    expect(page.locator(".log")).not_to_contain_text("begin of the long line")


def test_a_log_without_an_end_does_not_grow_the_page(desk: Desk, ugly):
    """The lines' module by itself: what it keeps of 400,000 lines and of a line of 50 MB."""
    page = desk.tab().open("/jobs/")
    kept = page.evaluate(
        """async () => {
      const { LogLines, textOf } = await import("/static/js/loglines.js");
      const log = new LogLines();
      let offset = 0;
      const feed = (text, step_id = 1) => {
        log.feed({ offset, size: text.length, machine: "m", step_id, at: "", text });
        offset += text.length;
      };
      for (let i = 0; i < 400; i += 1) {
        feed(Array.from({ length: 1000 }, (_, n) => `line ${i * 1000 + n}\\n`).join(""));
        log.keep(250_000);
      }
      const lines = [log.lines.length, log.lines[0].raw, log.numberedAs(400_000).raw, log.numberedAs(150_000) ?? null];
      const places = [log.first, log.at(log.lines[7].position) === log.lines[7]];
      feed("head ");
      for (let i = 0; i < 800; i += 1) feed("x".repeat(65536));
      feed(" tail\\nnext\\n");
      const long = log.lines.at(-2);
      return { lines, places, long: [textOf(long).length, long.cut, textOf(long).slice(0, 6), textOf(long).slice(-6)] };
    }"""
    )
    assert kept["lines"] == [250_000, "line 150000", "line 399999", None] and kept["places"][1] is True
    assert kept["long"] == [16_387, 800 * 65536 + 10 - 16_384, "head x", "x tail"]


def test_shown_lines_of_a_part_are_those_of_the_file(desk: Desk, site: Site, ugly):
    page = open_whole(desk, ugly)
    shown = page.evaluate(SHOWN)
    one = site.console.client.get(f"/jobs/{ugly['id']}/log-text/", params={"machine": "kunpeng-01"}, timeout=60)
    lines = [re.sub("\x1bl", "", line) for line in one.content[-3_000_000:].decode(errors="replace").splitlines()]
    wanted = [line for line in lines[1:] if "of many" in line]
    assert len(wanted) > 30_000 and [line for line in shown if "of many" in line][-len(wanted) :] == wanted
