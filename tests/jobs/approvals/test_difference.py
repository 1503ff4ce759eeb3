from __future__ import annotations

import json
from typing import Any

from django.utils import translation

from jobs.approvals import shown
from jobs.approvals.difference import differences
from jobs.plan import Lane, LocalCommand, Plan, ReadFacts, RunCommand, SendArtifact, Stage, Step


def plan(*lanes: Lane, **more: Any) -> dict[str, Any]:
    return Plan([Stage("Run", list(lanes))], **more).to_json()


def lane(machine: str | None, *steps: Step, undo: tuple[Step, ...] = ()) -> Lane:
    return Lane(machine, list(steps), list(undo))


def step(key: str, command: str = "true", **more: Any) -> Step:
    return Step(key, key.capitalize(), RunCommand(command, **more))


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(d["machine"], d["step"], d["field"], d["before"], d["after"]) for d in differences(before, after)]


def test_the_same_plan_has_no_difference():
    assert told(plan(lane("a", step("x"))), plan(lane("a", step("x")))) == []


def test_a_plan_that_was_stored_does_not_differ_from_itself_as_it_is_made():
    made = plan(lane("a", Step("free", "Nobody holds it", ReadFacts({"free": {"npus": (), "replaces": ("x",)}}))))
    assert told(json.loads(json.dumps(made)), made) == []


def test_differences_are_shown_in_the_readers_language():
    before, after = ("npu-smi lists 4 healthy NPUs", "npu-smi lists 2 healthy NPUs")
    title = {"machine": "a", "step": "verify", "field": "title", "before": before, "after": after}
    gone = {"machine": "b", "step": "", "field": "machine", "before": "2 steps", "after": None}
    with translation.override("zh-hans"):
        verify, machine = shown.changes([title, gone])
    assert (verify.before, verify.after) == ("npu-smi 列出 4 个健康的 NPU", "npu-smi 列出 2 个健康的 NPU")
    assert (machine.before, machine.after) == ("2 个步骤", None)


def test_each_field_that_differs_is_told_with_its_machine_and_step():
    before = plan(lane("a", step("x", "one")), lane("b", step("x")))
    after = plan(lane("a", step("x", "two", timeout_s=5)), lane("b", step("x")))
    assert told(before, after) == [("a", "x", "command", "one", "two"), ("a", "x", "timeout_s", 1800, 5)]


def test_other_bytes_under_the_same_name_are_told_by_their_hash():
    one, two = SendArtifact("a" * 64, "f", 5, "/f"), SendArtifact("b" * 64, "f", 6, "/f")
    before, after = (plan(lane("m", Step("send", "Send f", action))) for action in (one, two))
    assert told(before, after) == [("m", "send", "sha256", "a" * 64, "b" * 64), ("m", "send", "size", 5, 6)]


def test_steps_that_come_go_or_change_places_are_told_once():
    before = plan(lane("a", step("x"), step("y"), step("z")))
    assert told(before, plan(lane("a", step("x"), step("y")))) == [("a", "z", "step", "Z", None)]
    assert told(plan(lane("a", step("x"))), plan(lane("a", step("x"), step("y")))) == [("a", "y", "step", None, "Y")]
    turned = told(plan(lane("a", step("x"), step("y"))), plan(lane("a", step("y"), step("x"))))
    assert turned == [("a", "x", "position", 1, 2), ("a", "y", "position", 2, 1)]


def test_what_only_runs_after_a_failure_is_told_apart():
    before, after = plan(lane("a", step("x"), undo=(step("x", "back"),))), plan(lane("a", step("x")))
    assert told(before, after) == [("a", "x (only after a failure)", "step", "X", None)]


def test_a_machine_that_comes_or_goes_is_one_difference():
    both = plan(lane("a", step("x")), lane("b", step("x"), step("y")))
    assert told(both, plan(lane("a", step("x")))) == [("b", "", "machine", "2 steps", None)]
    assert told(plan(lane("a", step("x"))), both) == [("b", "", "machine", None, "2 steps")]


def test_other_batches_notes_and_tolerance_are_the_plans_own_differences():
    one = Plan([Stage("Run", [lane("a", step("x")), lane("b", step("x"))])], ["old"]).to_json()
    two = Plan([Stage("1 of 2", [lane("a", step("x"))]), Stage("2 of 2", [lane("b", step("x"))])], ["new"]).to_json()
    found = told(one, {**two, "tolerate": 1})
    assert ("", "", "notes", ["old"], ["new"]) in found and ("", "", "tolerate", 0, 1) in found
    assert ("", "", "stages", ["Run"], ["1 of 2", "2 of 2"]) in found and ("b", "x", "stage", 1, 2) in found


def test_another_order_of_the_machines_is_told():
    before, after = plan(lane("a", step("x")), lane("b", step("x"))), plan(lane("b", step("x")), lane("a", step("x")))
    assert told(before, after) == [("", "", "order of the machines", ["a", "b"], ["b", "a"])]


def test_the_consoles_own_steps_are_told_without_a_machine():
    before, after = (plan(lane(None, Step("q", "Q", LocalCommand(["python", name])))) for name in ("a", "b"))
    assert told(before, after) == [("", "q", "arguments", ["python", "a"], ["python", "b"])]
