from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token

from console.demo.supportbot.ask import questions
from hardware.inventory.models import Machine
from jobs.depot.models import Artifact
from jobs.rollout.models import Deployment, Release
from tests.console.demo.service import served
from tests.console.pages import Page, sign_in

ANSWER = {
    "results": [
        {
            "label": "change_pin",
            "confidence": 0.97,
            "top": [{"label": "change_pin", "confidence": 0.97}, {"label": "pin_blocked", "confidence": 0.02}],
        }
    ],
    "latency_ms": 1.4,
    "model": {"name": "support-bot", "sha256": "0" * 64},
    "engine": "onnxruntime",
    "simulated": False,
}


@pytest.fixture
def client(live_server, machine) -> Iterator[httpx.Client]:
    token = Token.objects.create(user=User.objects.create_user("robot"))
    headers = {"Authorization": f"Token {token.key}"}
    with httpx.Client(base_url=f"{live_server.url}/api/v1/scenarios", headers=headers, timeout=30) as made:
        yield made


def serve(machine: Machine, port: int, state: str = "serving") -> Deployment:
    image, _ = Artifact.objects.get_or_create(sha256="1" * 64, defaults={"type": "image", "name": "i.tar", "size": 1})
    release = Release.objects.create(
        name="support-bot", version=f"1.0.{machine.pk}", image=image, port=port, smoke_text="a", smoke_label="b"
    )
    return Deployment.objects.create(machine=machine, release=release, state=state)


def ask(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/support-bot/ask/", json=body)


def test_a_question_is_answered_by_the_release_on_the_machine_and_says_which(client, machine):
    with served(200, ANSWER) as (port, asked):
        serve(machine, port)
        answer = ask(client, text="How do I change my PIN?").raise_for_status().json()
    assert asked == [{"texts": ["How do I change my PIN?"]}]
    assert (answer["intent"], answer["confidence"], answer["latency_ms"]) == ("change_pin", 0.97, 1.4)
    assert (answer["machine"], answer["release"]) == ("host-1", f"support-bot:1.0.{machine.pk}")
    assert answer["round_trip_ms"] > 0 and answer["simulated"] is False and len(answer["top"]) == 2


def test_an_answer_of_a_simulated_machine_says_so(client, machine):
    machine.simulated = True
    machine.save()
    with served(200, ANSWER) as (port, _):
        serve(machine, port)
        assert ask(client, text="hello").json()["simulated"] is True


def test_where_nothing_serves_the_problem_says_what_to_do(client, machine):
    problem = ask(client, text="hello")
    assert (problem.status_code, problem.json()["code"]) == (409, "nothing-serves")
    assert problem.json()["mend"] and problem.headers["content-type"] == "application/problem+json"
    serve(machine, 9, state="changing")
    named = ask(client, text="hello", machine="host-1")
    assert named.status_code == 409 and "host-1" in named.json()["title"]


def test_a_machine_that_does_not_answer_is_named(client, machine):
    serve(machine, 1)
    problem = ask(client, text="hello")
    assert (problem.status_code, problem.json()["machine"]) == (502, "host-1")
    assert problem.json()["mend"]


@pytest.mark.parametrize(("status", "answer"), [(503, {"title": "The model is loading"}), (200, b"oops"), (200, {})])
def test_an_answer_that_is_none_is_a_problem_and_never_a_crash(client, machine, status, answer):
    with served(status, answer) as (port, _):
        serve(machine, port)
        problem = ask(client, text="hello")
    assert (problem.status_code, problem.json()["code"]) == (502, "serving-failed")
    assert problem.json()["title"].startswith("host-1: support-bot")


def test_another_machine_answers_when_one_is_down(client, machine, second):
    with served(200, ANSWER) as (port, _):
        serve(machine, 1)
        serve(second, port)
        assert {ask(client, text="hello", machine="").json()["machine"] for _ in range(6)} == {"host-2"}


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001])
def test_an_empty_or_endless_question_is_refused_at_its_field(client, text):
    refused = ask(client, text=text)
    assert refused.status_code == 400 and "text" in refused.json()["errors"]


def test_the_sample_questions_are_ten_and_each_has_its_intent():
    assert len(questions()) == 10 and all(set(question) == {"text", "intent"} for question in questions())


def test_the_page_says_what_serves_and_what_to_do_when_nothing_does(live_server, machine):
    site = sign_in(live_server.url, User.objects.create_user("ada"))
    assert "No machine serves the support bot" in Page(site.get("/scenarios/support-bot/")).text
    machine.simulated = True
    machine.save()
    serve(machine, 8000)
    page = Page(site.get("/scenarios/support-bot/"))
    assert "A figure from a simulated machine is not an NPU figure." in page.text
    assert page.source.count("data-sample=") == 10 and "support-bot:1.0" in page.text
