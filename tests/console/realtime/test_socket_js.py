"""The page's side of the sockets, in a real browser, against the real server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.console.realtime.conftest import Web, Written, start_web, write_in_background

# WebSockets as a proxy that does not know them leaves them: none ever opens.
BLOCKED = """window.WebSocket = class {
  constructor() { setTimeout(() => this.onclose?.({ code: 1006 }), 5); }
  close() {}
};"""

# A server that says a frame twice, and leaves one out.
CARELESS = """window.asked = [];
window.WebSocket = class {
  constructor(url) {
    asked.push(new URL(url).search);
    const frame = (offset, text) => ({ type: "log", offset, size: text.length, text });
    const messages = asked.length === 1
      ? [[frame(0, "one.")], [frame(0, "one."), frame(4, "two.")], [frame(12, "four.")]]
      : [[frame(8, "thr."), frame(12, "four.")], [{ type: "end", offset: 17 }]];
    setTimeout(() => {
      this.onopen();
      for (const message of messages) this.onmessage({ data: JSON.stringify(message) });
    }, 5);
  }
  close() {}
};"""


@contextmanager
def browser_page(web: Web, written: Written, script: str = "") -> Iterator[Page]:
    """A page of the server's origin that follows the job. While it is open, no ORM in this thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "no chromium is installed: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    url = f"http://127.0.0.1:{web.port}"
    job = written.job.pk
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context()
        context.add_cookies([{"name": "sessionid", "value": web.cookie, "url": url}])
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.goto(f"{url}/follow#{job}")
        yield page
        browser.close()


def ended(page: Page) -> dict:
    page.wait_for_function("seen.states.at(-1) === 'ended'", timeout=60_000)
    return page.evaluate("seen")


def test_a_server_that_is_killed_and_started_again_costs_the_page_no_byte(web: Web, written: Written):
    own = start_web()
    own.cookie = web.cookie
    writer, whole = write_in_background(written, 800, 0.01)
    with browser_page(own, written) as page:
        page.wait_for_function("seen.offset > 5000")
        own.kill()
        page.wait_for_function("seen.states.includes('lost')")
        again = start_web(own.port)
        try:
            seen = ended(page)
        finally:
            again.kill()
    writer.join()
    assert seen["text"].encode() == whole and seen["wrong"] == 0
    assert seen["states"][:3] == ["connecting", "live", "lost"]


def test_a_page_whose_web_sockets_are_blocked_asks_the_rest_log_instead(web: Web, written: Written):
    writer, whole = write_in_background(written, 400, 0.01)
    with browser_page(web, written, BLOCKED) as page:
        seen = ended(page)
    writer.join()
    assert seen["text"].encode() == whole and seen["wrong"] == 0
    assert seen["states"][-2:] == ["polling", "ended"]


def test_what_comes_twice_is_dropped_and_a_gap_is_asked_for_again(web: Web, written: Written):
    with browser_page(web, written, CARELESS) as page:
        seen = ended(page)
        asked = page.evaluate("asked")
    assert seen["text"] == "one.two.thr.four." and asked == ["?after=0", "?after=8"]


def test_who_is_not_logged_in_is_told_and_does_not_try_again(web: Web, written: Written):
    stranger = Web(web.port, web.process, cookie="nobody")
    with browser_page(stranger, written) as page:
        page.wait_for_function("seen.states.at(-1) === 'refused'")
        page.wait_for_timeout(1500)
        assert page.evaluate("seen.states") == ["connecting", "live", "refused"]
