"""For these tests: a kind of job that says a word, and a pipeline of three, each of which says what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers

from jobs import registry as kinds
from jobs.engine.reconciler import reconcile
from jobs.engine.runner import Runner
from jobs.kind import DepotView, Kind, Target
from jobs.models import Job
from jobs.pipelines import registry
from jobs.pipelines.definition import Definition, Stage, made
from jobs.plan import Lane, Plan, RunCommand, Step
from jobs.plan import Stage as PlanStage
from tests.worker import with_pool


class WordParams(serializers.Serializer[Any]):
    word = serializers.CharField()
    command = serializers.CharField(default="true")


class Word(Kind):
    """Runs ``command`` and then says ``word``; the report holds what was said."""

    slug = "word"
    title = "Word"
    title_of_step = "Say it"
    Params = WordParams

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        command = f"{params['command']} && echo {params['word']}"
        return Plan(
            [PlanStage("Say", [Lane(t.name, [Step("say", self.title_of_step, RunCommand(command))]) for t in targets])]
        )

    def judge(self, step: Step, exit_status: int, log: str) -> dict[str, Any]:
        super().judge(step, exit_status, log)
        return {"report": {"word": log.split()[-1]}}


class ChainParams(serializers.Serializer[Any]):
    word = serializers.CharField()
    first = serializers.CharField(default="true")
    second = serializers.CharField(default="true")


class Chain(Definition):
    slug = "chain"
    title = "Chain"
    Params = ChainParams
    words = {"one": "One", "two": "Two", "three": "Three"}

    def stages(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> list[Stage]:
        everyone = [target.name for target in targets]

        def passed(stage: str) -> Any:
            # A job that failed on some of its machines has no result as a whole.
            return made(stage, "report.word") if len(targets) == 1 else params["word"]

        return [
            Stage("one", "word", {"word": params["word"], "command": params["first"]}, everyone),
            Stage("two", "word", {"word": passed("one"), "command": params["second"]}, everyone),
            Stage("three", "word", {"word": passed("two")}, everyone),
        ]


def register() -> None:
    kinds.all_kinds()["word"] = Word()
    registry.all_pipelines()["chain"] = Chain()


def drain(rounds: int = 20) -> list[int]:
    """What the workers do when the reconciler has woken them, until there is nothing left; the jobs that ran."""
    ran: list[int] = []
    for _ in range(rounds):
        found = [pk for pk in reconcile() if with_pool(lambda pool, pk=pk: Runner(pool, "worker").run(pk))]
        ran += found
        if not found and not Job.objects.filter(state__in=("queued", "waiting")).exists():
            break
    return ran
