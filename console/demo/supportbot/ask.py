"""Ask the served model what a customer wants."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from hardware.ssh import background
from hardware.ssh.errors import SSHFailure
from hardware.ssh.tunnel import http_request
from jobs.rollout.models import Deployment

LONGEST = 1000
# Machines that are tried before the question is given back: one that just went down must not fail it.
TRIES = 3
PREFERRED = "support-bot"


class NothingServes(Exception):
    """No machine serves a release now, or the one that was asked for does not."""


class AnswerRefused(SSHFailure):
    code = "serving-failed"
    mend = "Look at the log of the release's container on the machine, or roll the release out again."


@dataclass(frozen=True)
class Answer:
    """``latency_ms`` is the model's own time, ``round_trip_ms`` what it took from here to there and back."""

    intent: str
    confidence: float
    top: list[dict[str, Any]]
    latency_ms: float
    round_trip_ms: float
    machine: str
    release: str
    engine: str
    simulated: bool


def serving() -> list[Deployment]:
    """What serves now, in the order of the machines; releases called ``support-bot`` before any other."""
    found = list(
        Deployment.objects.filter(state=Deployment.State.SERVING)
        .select_related("machine__credential", "release")
        .order_by("machine__site", "machine__name")
    )
    return [one for one in found if one.release.name == PREFERRED] or found


def ask(text: str, machine: str = "") -> Answer:
    """Ask one of the serving machines; with ``machine`` that one and no other.

    Raises ``NothingServes``, and what the link raises when none of those that were tried answers.
    """
    candidates = [one for one in serving() if not machine or one.machine.name == machine]
    if not candidates:
        raise NothingServes(machine)
    return _first_answer(text, random.sample(candidates, min(len(candidates), TRIES)))


def _first_answer(text: str, candidates: Sequence[Deployment]) -> Answer:
    failure: SSHFailure | None = None
    for deployment in candidates:
        try:
            return _ask(text, deployment)
        except SSHFailure as wrong:
            failure = failure or wrong
    assert failure is not None
    raise failure


def _ask(text: str, deployment: Deployment) -> Answer:
    machine, release = deployment.machine, deployment.release
    began = time.perf_counter()
    status, body = background.call(
        http_request,
        machine.endpoint(),
        "POST",
        release.port,
        "/v1/classify",
        body=json.dumps({"texts": [text]}).encode(),
        headers={"content-type": "application/json"},
    )
    took = (time.perf_counter() - began) * 1000
    try:
        said = json.loads(body)
        if status != 200:
            raise AnswerRefused(machine.name, f"{release} answered {status}: {said.get('title', 'no reason given')}.")
        result = said["results"][0]
        return Answer(
            intent=result["label"],
            confidence=result["confidence"],
            top=result["top"],
            latency_ms=said["latency_ms"],
            round_trip_ms=round(took, 1),
            machine=machine.name,
            release=str(release),
            engine=said["engine"],
            simulated=bool(said["simulated"]) or machine.simulated,
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as wrong:
        raise AnswerRefused(machine.name, f"{release} answered {status} with something that is no answer.") from wrong


@lru_cache(maxsize=1)
def questions() -> list[dict[str, str]]:
    """Ten sample questions with the intent that is right: ``{"text", "intent"}``."""
    made: list[dict[str, str]] = json.loads((Path(__file__).parent / "questions.json").read_text(encoding="utf-8"))
    return made
