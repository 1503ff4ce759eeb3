"""Asking the support bot in a real browser. What answers on the machine is a stand-in: the page is what counts here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.console.demo.service import served
from tests.console.demo.test_support_bot import ANSWER
from tests.e2e.browser import NARROW, Desk, Site
from tests.e2e.running import Console, manage
from tests.fleet import Fleet
from tests.sshd import PASSWORD, Server

pytestmark = pytest.mark.timeout(600)
SERVE = """
from hardware.inventory.models import Machine
from jobs.depot.models import Artifact
from jobs.rollout.models import Deployment, Release
image = Artifact.objects.create(type="image", name="i.tar", sha256="1" * 64, size=1)
release = Release.objects.create(name="support-bot", version="1.0.0", image=image, port={port}, smoke_text="a", smoke_label="b")
Deployment.objects.create(machine=Machine.objects.get(), release=release, state="serving")
Machine.objects.update(simulated=True)
"""  # noqa: E501 (a script, not a text)


@pytest.fixture
def desk(browser: Browser, console: Console) -> Iterator[Desk]:
    made = Desk(browser, Site(console, Fleet(None, None), []))  # type: ignore[arg-type]
    yield made
    for context in made.contexts:
        context.close()


@pytest.fixture(scope="module")
def answering(console: Console, sshd: Server) -> Iterator[None]:
    """A machine with a service on its loopback that the console takes for a release."""
    client = console.client
    client.post("/credentials/", json={"name": "lab", "password": PASSWORD}).raise_for_status()
    fields = {"name": "n1", "host": "127.0.0.1", "port": sshd.endpoint.port, "credential": "lab"}
    machine = client.post("/machines/", json=fields).raise_for_status().json()
    client.post("/machines/n1/confirm/", json={"fingerprint": machine["offered_fingerprint"]}).raise_for_status()
    with served(200, {**ANSWER, "simulated": True}) as (port, _):
        manage(console.environment, "shell", "-c", SERVE.format(port=port))
        yield


def test_a_question_is_answered_with_intent_confidence_and_time_and_says_that_it_is_simulated(desk: Desk, answering):
    tab = desk.tab()
    page = tab.open("/scenarios/support-bot/")
    expect(page.locator("main")).to_contain_text("A figure from a simulated machine is not an NPU figure.")
    page.locator("[data-sample]").nth(2).click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("Change pin")
    expect(answer).to_contain_text("97.0 %")
    expect(answer).to_contain_text("Answered by n1, release support-bot:1.0.0, engine onnxruntime")
    expect(answer.locator("[data-simulated]")).to_be_visible()
    page.fill("#text", "How do I change my PIN?")
    page.press("#text", "Enter")
    expect(page.locator("[data-asked]").first).to_contain_text("2 questions")
    assert tab.inaccessible() == []
    page.set_viewport_size({"width": NARROW, "height": 900})
    assert not tab.scrolls_sideways() and tab.faults == []


def test_when_the_service_is_gone_the_page_says_which_machine_and_what_to_do(desk: Desk, answering, console):
    script = "from jobs.rollout.models import Release; Release.objects.update(port=9)"
    manage(console.environment, "shell", "-c", script)
    page = desk.tab().open("/scenarios/support-bot/")
    page.locator("[data-sample]").first.click()
    expect(page.locator("#ask-failure")).to_contain_text("n1: nothing answers on its port 9.")
    expect(page.locator("#ask-failure")).to_contain_text("Look at the log of the service on the machine.")
