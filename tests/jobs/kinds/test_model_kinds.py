from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from hardware.inventory.facts import read
from jobs import registry
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.failures import JobFailed, PlanRefused
from jobs.plan import FetchArtifact, LocalCommand, RunCommand, Step
from jobs.rollout.models import Deployment, Release
from jobs.rollout.services import make_release
from jobs.services import launch, plan
from tests.jobs.kinds.test_install_kinds import with_facts
from tests.probe_text import probe_text
from tests.shared import FOLDER, needs_shared


def store(name: str, type: str, **meta) -> Artifact:
    return ingest(BytesIO(name.encode()), name=name, type=type, actor="ada", meta=meta)


@pytest.fixture
def depot(settings, tmp_path: Path, transactional_db) -> None:
    settings.DEPOT_DIR = tmp_path / "depot"


@pytest.fixture
def ready(machine):
    """A machine with driver, CANN and docker, as its facts say."""
    return with_facts(machine, read(probe_text(driver="24.1.0", npus=True, cann="8.0.0", docker=True)))


def model(**meta) -> Artifact:
    profile = store("profile.json", "profile")
    return store("m.onnx", "model", format="onnx", max_length=64, profile=profile.sha256, **meta)


def test_a_checkpoint_becomes_onnx_on_the_console_itself(depot):
    checkpoint, head = store("c.tar", "checkpoint"), store("h.npz", "head")
    params = {"to": "onnx", "name": "bot", "checkpoint": checkpoint.pk, "head": head.pk}
    made, _ = plan("convert", params, [])
    (lane,) = made.stages[0].lanes
    action = lane.steps[0].action
    assert lane.machine is None and isinstance(action, LocalCommand) and made.queue == "compute"
    assert action.arguments == [
        "python", "-m", "jobs.conversion", "checkpoint.tar", "bot.onnx", "--head", "head.npz",
        "--profile", "bot-profile.json", "--name", "bot", "--max-length", "64", "--json",
    ]  # fmt: skip
    assert action.inputs == {"checkpoint.tar": checkpoint.sha256, "head.npz": head.sha256}
    assert action.products[1].links == {"profile": "bot-profile.json"}


def test_a_checkpoint_without_a_head_has_no_profile_and_one_that_is_too_large_is_refused(depot):
    checkpoint = store("c.tar", "checkpoint")
    params = {"to": "onnx", "name": "bot", "checkpoint": checkpoint.pk}
    made, _ = plan("convert", params, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand) and "--profile" not in action.arguments
    assert [(product.type, product.links) for product in action.products] == [("model", {})]
    Artifact.objects.filter(pk=checkpoint.pk).update(size=2_000_000_000)
    with pytest.raises(PlanRefused, match="would be two files") as refused:
        plan("convert", params, [])
    assert refused.value.field == "checkpoint"


def test_the_inputs_of_a_script_are_handed_on_and_read_before_it_is_queued(depot):
    params = {"to": "onnx", "name": "net", "checkpoint": store("net.pt", "checkpoint").pk, "input_shape": "ids:-1,8"}
    made, _ = plan("convert", {**params, "input_type": "ids:int64"}, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand)
    assert action.arguments[5:] == ["--input-shape", "ids:-1,8", "--input-type", "ids:int64", "--json"]
    for wrong, field in (
        ({"input_type": "x:int64"}, "input_type"), ({"input_shape": "ids"}, "input_shape"),
        ({"input_shape": "", "input_type": "ids:int64"}, "input_type"),
    ):  # fmt: skip
        with pytest.raises(PlanRefused) as refused:
            plan("convert", {**params, **wrong}, [])
        assert refused.value.field == field


def test_a_checkpoint_that_is_quantized_in_the_same_pass_may_be_larger(depot):
    checkpoint = store("c.tar", "checkpoint")
    Artifact.objects.filter(pk=checkpoint.pk).update(size=2_000_000_000)
    given = {"to": "onnx", "name": "bot", "checkpoint": checkpoint.pk, "quantize": "int4", "block": "64"}
    made, _ = plan("convert", given, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand)
    assert action.arguments[5:] == [
        "--quantize", "int4", "--block", "64", "--zero-points", "--report", "report.json", "--json",
    ]  # fmt: skip
    assert action.products[0].meta["scheme"] == "int4" and action.products[1].links == {"of": "bot.onnx"}


def test_what_it_costs_to_quantize_in_the_same_pass_is_measured_on_a_set_of_the_depot(depot):
    head, texts = store("h.npz", "head").pk, store("asked.txt", "calibration").pk
    given = {"to": "onnx", "name": "bot", "checkpoint": store("c.tar", "checkpoint").pk, "calibration": texts}
    made, _ = plan("convert", {**given, "quantize": "int8-weight", "head": head}, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand) and "calibration.jsonl" in action.inputs
    assert action.arguments[7:9] == ["--calibration", "calibration.jsonl"]
    for more, mend in (({"quantize": "int8-weight"}, "inputs (.npz)"), ({"head": head}, "")):
        with pytest.raises(PlanRefused) as refused:
            plan("convert", {**given, **more}, [])
        assert refused.value.field == "calibration" and mend in refused.value.mend


def test_onnx_becomes_om_for_the_chip_of_the_machine_that_converts(depot, ready):
    source = model()
    made, _ = plan("convert", {"to": "om", "name": "bot", "model": source.pk}, [ready])
    assert made.queue == "compute" and [lane.machine for stage in made.stages for lane in stage.lanes] == [
        None,
        "host-1",
    ]
    steps = {step.key: step.action for step in made.stages[1].lanes[0].steps}
    assert isinstance(steps["atc"], RunCommand) and steps["atc"].command.endswith(
        " && atc --model=model.onnx --framework=5 --output=bot --input_format=ND "
        "--input_shape='input_ids:1,64;attention_mask:1,64;token_type_ids:1,64' --soc_version=Ascend910A --log=error "
        "&& { test -s bot.om || exit 73; }"
    )
    assert isinstance(steps["fetch"], FetchArtifact)
    meta = steps["fetch"].product.meta
    assert (meta["format"], meta["soc_version"], meta["simulated"]) == ("om", "Ascend910A", True)


@pytest.mark.parametrize(
    ("params", "on_machine", "field"),
    [
        ({"to": "onnx", "name": "bot"}, False, "checkpoint"),
        ({"to": "om", "name": "bot"}, True, "model"),
        ({"to": "om", "name": "bot", "model": "MODEL"}, False, "targets"),
        ({"to": "om", "name": "b o t", "model": "MODEL"}, True, "name"),
        ({"to": "caffe", "name": "bot"}, False, "to"),
        ({"to": "om", "name": "bot", "model": "MODEL", "quantize": "int4"}, True, "quantize"),
    ],
)
def test_a_conversion_that_can_not_be_is_refused_with_its_field(depot, ready, params, on_machine, field):
    given = {key: model().pk if value == "MODEL" else value for key, value in params.items()}
    with pytest.raises(PlanRefused) as refused:
        plan("convert", given, [ready] if on_machine else [])
    assert refused.value.field == field and refused.value.mend


def test_a_machine_without_cann_is_stopped_by_preflight_before_a_byte_is_copied(depot, machine):
    with_facts(machine, read(probe_text(driver="24.1.0", npus=True)))
    with pytest.raises(PlanRefused, match="host-1: CANN is not installed"):
        launch("convert", {"to": "om", "name": "bot", "model": model().pk}, [machine], actor="ada")


ATC = Step("atc", "Convert for Ascend910A", RunCommand("atc"))


@needs_shared
@pytest.mark.parametrize(
    ("sample", "said", "mend"),
    [
        ("atc-FAIL-E10007-framework-required--CANN8.0.0.txt", "E10007: [--framework] is required", "Give the option"),
        ("atc-FAIL-E19010-no-parser.txt", "E19010: No parser is registered for Op", "Replace the operator"),
        ("atc-FAIL-EZ3003-no-kernel.txt", "EZ3003: No supported Ops kernel", "no kernel"),
        ("atc-FAIL-EC0010-python-module--2025.txt", "EC0010: Failed to import Python module", "Python module"),
        ("atc-FAIL-missing-libascend_hal--8.0.0.txt", "libascend_hal.so", "driver"),
    ],
)
def test_what_atc_refuses_is_told_in_its_own_words_with_what_to_do(sample, said, mend):
    log = (FOLDER / "ascend" / "other" / sample).read_text()
    with pytest.raises(JobFailed) as failed:
        registry.get("convert").judge(ATC, 1, log)
    assert failed.value.code == "atc-refused" and said in failed.value.cause and mend in failed.value.mend


@needs_shared
def test_an_exit_code_of_0_counts_only_with_atcs_closing_line():
    log = (FOLDER / "ascend" / "other" / "atc-SUCCESS.txt").read_text()
    assert registry.get("convert").judge(ATC, 0, log) == {}
    with pytest.raises(JobFailed):
        registry.get("convert").judge(ATC, 0, "ATC start working now, please wait for a moment.")


def test_quantizing_holds_the_result_against_texts_by_the_models_own_tokenizer(depot):
    source, texts = model(), store("texts.jsonl", "calibration")
    made, _ = plan("quantize", {"model": source.pk, "calibration": texts.pk}, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand)
    assert action.arguments[3:] == [
        "model.onnx", "m-int8-weight.onnx", "--scheme", "int8-weight",
        "--calibration", "calibration.jsonl", "--profile", "profile.json", "--report", "report.json", "--json",
    ]  # fmt: skip
    assert action.products[0].meta["profile"] == source.meta["profile"]
    without = store("n.onnx", "model", format="onnx")
    with pytest.raises(PlanRefused, match=r"no profile of n\.onnx"):
        plan("quantize", {"model": without.pk, "calibration": texts.pk}, [])


def test_a_quantization_takes_a_method_that_suits_the_rest(depot):
    source, texts = model(), store("q.jsonl", "calibration")
    given = {"model": source.pk, "scheme": "int4", "method": "gptq", "calibration": texts.pk}
    made, _ = plan("quantize", given, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand)
    assert action.arguments[5:] == [
        "--scheme", "int4", "--block", "128", "--zero-points", "--method", "gptq",
        "--calibration", "calibration.jsonl", "--profile", "profile.json", "--report", "report.json", "--json",
    ]  # fmt: skip
    for params, field in (
        ({"scheme": "int4", "method": "gptq"}, "calibration"),
        ({"scheme": "int8-weight", "method": "hqq"}, "method"),
        ({"scheme": "int4", "method": "awq"}, "method"),
    ):
        with pytest.raises(PlanRefused) as refused:
            plan("quantize", {"model": source.pk, **params}, [])
        assert refused.value.field == field and refused.value.mend


def test_what_is_simulated_stays_marked_in_the_image_that_holds_it(depot):
    base = store("base.tar", "base-image", simulated=True)
    params = {"model": model().pk, "base": base.pk, "name": "console/bot", "tag": "1.0"}
    made, _ = plan("package-image", params, [])
    (product,) = made.stages[0].lanes[0].steps[0].action.products
    assert product.meta["simulated"] and product.meta["image"] == "console/bot:1.0"
    with pytest.raises(PlanRefused, match=r"^name:"):
        plan("package-image", {**params, "name": "Not/An Image"}, [])


def release(version: str = "1.0.0") -> Release:
    image = store(f"image-{version}.tar", "image", image=f"console/bot:{version}")
    return make_release(
        actor="ada",
        name="bot",
        version=version,
        image=image,
        port=8000,
        devices=[0],
        smoke_text="hello",
        smoke_label="hi",
    )


def test_a_rollout_goes_in_batches_and_each_machine_has_two_gates(depot, ready, second):
    with_facts(second, ready.read)
    made, _ = plan("rollout", {"release": release().pk, "batch_size": 1}, [ready, second])
    assert [[lane.machine for lane in stage.lanes] for stage in made.stages] == [["host-1"], ["host-2"]]
    lane = made.stages[0].lanes[0]
    assert [step.key for step in lane.steps] == ["free", "send", "load", "start", "health", "smoke", "clean"]
    start = next(step.action for step in lane.steps if step.key == "start")
    assert isinstance(start, RunCommand) and start.repeatable
    for part in ("--device /dev/davinci0 ", "--device /dev/davinci_manager ", "-v /usr/local/dcmi:/usr/local/dcmi:ro "):
        assert part in start.command
    assert [step.key for step in lane.on_failure] == ["remove"]


def test_a_machine_that_serves_already_goes_back_to_what_it_served(depot, ready):
    old, new = release("1.0.0"), release("1.1.0")
    Deployment.objects.create(machine=ready, release=old, state="serving")
    made, _ = plan("rollout", {"release": new.pk}, [ready])
    lane = made.stages[0].lanes[0]
    assert next(s.action for s in lane.steps if s.key == "stop").command == "docker stop -t 30 console-bot-1.0.0"
    assert [step.key for step in lane.on_failure] == ["remove", "restore", "restored"]
    assert lane.on_failure[1].action.command == "docker start console-bot-1.0.0"


def test_a_release_never_changes_and_its_name_is_given_once(depot):
    made = release()
    made.port = 9000
    with pytest.raises(ValueError, match="immutable"):
        made.save()
    with pytest.raises(PlanRefused, match="already"):
        release()


def test_a_release_needs_the_npus_that_the_machine_has(depot, machine):
    with_facts(machine, read(probe_text(docker=True)))
    with pytest.raises(PlanRefused, match="host-1 has no /dev/davinci0"):
        plan("rollout", {"release": release().pk}, [machine])


def test_4_bit_is_quantized_in_blocks_of_the_size_that_was_asked_for(depot):
    made, _ = plan("quantize", {"model": model().pk, "scheme": "int4", "block": "32"}, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand)
    assert action.arguments[5:-3] == ["--scheme", "int4", "--block", "32", "--zero-points"]
    assert action.products[0].meta["scheme"] == "int4"
    with pytest.raises(PlanRefused) as refused:
        plan("quantize", {"model": model().pk, "scheme": "int4", "block": "48"}, [])
    assert refused.value.field == "block"


def test_calibrated_activations_need_samples_and_are_told_how_pictures_become_numbers(depot):
    source = store("net.onnx", "model", format="onnx")
    with pytest.raises(PlanRefused, match="no calibration set") as refused:
        plan("quantize", {"model": source.pk, "scheme": "int8-static"}, [])
    assert refused.value.field == "calibration" and refused.value.mend
    pictures = store("boards.zip", "calibration")
    asked = {"model": source.pk, "scheme": "int8-static", "calibration": pictures.pk, "calibrate": "entropy"}
    made, _ = plan("quantize", {**asked, "pictures": "imagenet"}, [])
    action = made.stages[0].lanes[0].steps[0].action
    assert isinstance(action, LocalCommand) and action.inputs["calibration.zip"] == pictures.sha256
    assert action.arguments[5:-3] == [
        "--scheme", "int8-static", "--calibration", "calibration.zip",
        "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--calibrate", "entropy",
    ]  # fmt: skip
    arrays = store("rows.npz", "calibration")
    made, _ = plan("quantize", {**asked, "calibration": arrays.pk}, [])
    assert made.stages[0].lanes[0].steps[0].action.arguments[7:-3] == [
        "--calibration", "calibration.npz", "--calibrate", "entropy",
    ]  # fmt: skip
    with pytest.raises(PlanRefused) as refused:
        plan("quantize", {**asked, "calibrate": "guess"}, [])
    assert refused.value.field == "calibrate"


def test_a_budget_goes_to_the_command_and_one_that_is_not_held_fails_with_cause_and_mend(depot):
    made, _ = plan("quantize", {"model": model().pk, "budget": 0.02}, [])
    step = made.stages[0].lanes[0].steps[0]
    assert isinstance(step.action, LocalCommand) and step.action.arguments[-5:-3] == ["--budget", "0.02"]
    said = "[ 90 %] ...\nm.onnx loses 0.1 of accuracy at best on texts.jsonl; 0.02 may be lost. Allow more.\n"
    with pytest.raises(JobFailed) as failed:
        registry.get("quantize").judge(step, 3, said)
    assert failed.value.code == "budget-not-held" and "loses 0.1 of accuracy" in str(failed.value)
    assert "smaller blocks" in failed.value.mend
    with pytest.raises(PlanRefused) as refused:
        plan("quantize", {"model": model().pk, "budget": 1.5}, [])
    assert refused.value.field == "budget"
