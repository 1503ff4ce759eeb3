"""A real browser on a real console with simulated machines.

Every tab watches what no page of ours may do: log an error to the browser's console, throw, ask another origin, or be
answered with a server error. A test that opened a tab fails at its end if one of them happened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.e2e.running import PASSWORD, USER, Console, start
from tests.fleet import Fleet
from tests.fleet import start as start_fleet

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
]  # fmt: skip
AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
WIDE, NARROW = 1440, 390
PATIENCE_MS = 30_000


@dataclass
class Site:
    """A console with its machines, and the cookies of somebody who has signed in."""

    console: Console
    fleet: Fleet
    names: list[str]
    cookies: list[Any] = field(default_factory=list)


@dataclass
class Tab:
    """A page of the browser, with all that went wrong in it."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def watch(self) -> None:
        page = self.page
        page.on("console", lambda said: said.type == "error" and self.faults.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: self.faults.append(f"thrown: {error}"))
        page.on("request", self._asked)
        page.on("response", lambda got: got.status >= 500 and self.faults.append(f"{got.status} for {got.url}"))

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.url + "/", "data:", "blob:")):
            self.faults.append(f"a request off the origin: {request.url}")

    def scrolls_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def inaccessible(self) -> list[str]:
        """What axe-core finds: the rule and where. Evaluated over the debugger, so the page's policy stays as it is."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{v['id']}: {v['help']} at {[n['target'] for n in v['nodes']][:4]}" for v in found["violations"]]


def _chromium() -> str:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not found:
        reason = "no chromium is installed: apt-get install chromium"
        # In CI a browser that is missing must not look like tests that passed.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Of a module, not of the session: while it lives, an event loop runs in this thread, which other tests' can't.
    path = _chromium()
    with sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=path, args=FLAGS)
        # On a slow box that is busy a page takes its time.
        expect.set_options(timeout=PATIENCE_MS)
        yield made
        made.close()


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """A console and two bare simulated machines that it knows and has probed; the second lacks the kernel headers."""
    _chromium()
    fleet = start_fleet(folder / "fleet", machines=2, faults=["kunpeng-02=no-headers"])
    try:
        console = start(folder / "var")
        try:
            yield Site(console, fleet, _enrolled(console, fleet))
        finally:
            console.stop()
    finally:
        fleet.stop()


def _enrolled(console: Console, fleet: Fleet) -> list[str]:
    client, names = console.client, []
    client.post("/credentials/", json={"name": "fleet", "password": fleet.machines[0]["password"]}).raise_for_status()
    for entry in fleet.machines:
        name = str(entry["name"])
        fields = {"name": name, "host": entry["host"], "port": entry["port"], "site": "lab", "credential": "fleet"}
        client.post("/machines/", json=fields).raise_for_status()
        client.post(f"/machines/{name}/confirm/", json={"fingerprint": entry["fingerprint"]}).raise_for_status()
        client.post(f"/machines/{name}/probe/").raise_for_status()
        names.append(name)
    return names


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site that most tests share: they may add to it, but leave its machines bare."""
    with running_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@dataclass
class Desk:
    """Opens tabs as somebody who has signed in, in a language and a theme."""

    browser: Browser
    site: Site
    tabs: list[Tab] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def tab(self, *, language: str = "en", theme: str = "light", width: int = WIDE, signed_in: bool = True) -> Tab:
        context = self.browser.new_context(
            viewport={"width": width, "height": 900},
            locale="en-GB",
            timezone_id="Asia/Shanghai",
            reduced_motion="reduce",
        )
        self.contexts.append(context)
        url = self.site.console.url
        wishes = {"django_language": language, "theme": theme}
        context.add_cookies([{"name": name, "value": value, "url": url} for name, value in wishes.items()])
        tab = Tab(context.new_page(), url)
        if signed_in:
            self._sign_in(context, tab)
        tab.watch()
        self.tabs.append(tab)
        return tab

    def _sign_in(self, context: BrowserContext, tab: Tab) -> None:
        if not self.site.cookies:
            page = tab.open("/login/")
            page.fill("#id_username", USER)
            page.fill("#id_password", PASSWORD)
            page.click("button.btn-go")
            page.wait_for_url(tab.url + "/")
            self.site.cookies = [cookie for cookie in context.cookies() if cookie["name"] in ("sessionid", "csrftoken")]
        context.add_cookies(self.site.cookies)


@pytest.fixture
def desk(browser: Browser, site: Site) -> Iterator[Desk]:
    made = Desk(browser, site)
    yield made
    for context in made.contexts:
        context.close()
    assert [fault for tab in made.tabs for fault in tab.faults] == []
