"""Command lines of conversion that somebody enters: right ones fill a form in, the manuals' own are set right."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from django.utils import translation

from jobs import registry
from jobs.conversion import manual
from jobs.conversion.manual import recognise
from tests.conventions.test_project import ROOT

LITE = "converter_lite --fmk=ONNX --saveType=MINDIR --optimize=ascend_oriented"


def test_a_right_line_of_atc_fills_the_form_in():
    found = recognise(
        "source set_env.sh && atc --model=/m/resnet50.onnx --framework=5 --output=out/resnet50 --log=error \\\n"
        '  --input_shape="x:-1,3,224,224" --dynamic_batch_size="1,2" --soc_version=Ascend310P3 --buffer=f.cfg'
    )
    assert found is not None and (found.tool, found.reasons, found.lines) == ("atc", [], [])
    assert (found.kind, found.model, found.left) == ("convert", "resnet50.onnx", ["--buffer"])
    assert found.params == {
        "to": "om", "name": "resnet50", "input_shape": "x:-1,3,224,224", "dynamic_batch_size": "1,2",
        "soc_version": "Ascend310P3",
    }  # fmt: skip


def test_a_right_line_of_converter_lite_fills_the_form_in():
    found = recognise(f"./{LITE} --modelFile m.onnx --outputFile m --inputShape='x:1,3'")
    assert found is not None and (found.reasons, found.left) == ([], [])
    assert found.params == {"to": "mindir", "name": "m", "input_shape": "x:1,3"}


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("python -m mindspore.onnx_to_mindir deepseek.onnx", "no module",
         f"{LITE} --modelFile=deepseek.onnx --outputFile=deepseek"),
        ("import mindspore\nmindspore.onnx_to_mindir('m/a.onnx', 'a.mindir')", "no module",
         f"{LITE} --modelFile=m/a.onnx --outputFile=a"),
        ('atc --model=deepseek.mindir --framework=1 --output=d --input_shape="ids:1,128" --soc_version=Ascend910',
         "reads no MindIR",
         "atc --model=deepseek.onnx --framework=5 --output=d --input_shape=ids:1,128 --soc_version=Ascend910A"),
        ("atc --model=m.onnx --framework=1 --output=m", "takes only .air",
         "atc --model=m.onnx --framework=5 --output=m"),
        ("atc --model=m.onnx --output=m.om", "adds .om", "atc --model=m.onnx --output=m --framework=5"),
        ("atc --model=m.air --framework=1 --input_shape=x:1 --output=m", "ignores --input_shape",
         "atc --model=m.air --framework=1 --output=m"),
        ("atc --model=m.pb --framework=3 --output=m", "export the model",
         "atc --model=m.onnx --framework=5 --output=m"),
        ("converter_lite --fmk=ONNX --modelFile=m.onnx --outputFile=m --device=Ascend", "of the past",
         "converter_lite --fmk=ONNX --modelFile=m.onnx --outputFile=m --saveType=MINDIR --optimize=ascend_oriented"),
        ("npu-smi info --query-gpu=utilization.gpu --format=csv", "nvidia-smi", "npu-smi info"),
        ("tar -xzf A3000-npu-driver_21.0.3.tar.gz\n./install.sh --full", "come as .run", "./Ascend-hdk-910-npu-driver"),
        ("FROM x\nVOLUME /dev/davinci0", "no device", "docker run --device"),
        ("docker run --device=/dev/davinci0 -e ASCEND_DEVICE_ID=0 image", "not enough", "docker run --device"),
        ("ms_profiler --model=m.mindir", "no ms_profiler", "msprof --output"),
        ("ops.FakeQuantWithMinMaxVars(num_bits=8)", "internal class", "python -m jobs.quantization"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_told_why_and_what_to_run_in_its_place(text, says, line):
    found = recognise(text)
    assert found is not None and any(says in reason for reason in found.reasons)
    assert found.lines[0].startswith(line)
    # What is offered is right itself.
    again = recognise(found.lines[0])
    assert again is None or again.reasons == []


def test_a_family_of_chips_is_left_to_the_machine_that_converts():
    found = recognise("atc --model=m.onnx --framework=5 --output=m --soc_version=Ascend910")
    assert found is not None and "soc_version" not in found.params and "family of chips" in found.reasons[0]


@pytest.mark.parametrize(
    "text", ["", "ls -l", "patch --model=x", "docker run --device=/dev/davinci_manager image", "atc"]
)
def test_what_is_no_such_line_is_not_taken_for_one(text):
    assert recognise(text) is None


def test_quotes_that_are_not_closed_and_odd_names_do_not_stop_it():
    found = recognise("atc --model=模型 1.onnx --framework=5 --output='x y --input_shape=\"x:1,2")
    assert found is not None and found.params["to"] == "om" and found.params["name"]


def test_every_reason_has_its_chinese_and_every_kind_is_there():
    data = manual._data()
    with translation.override("zh-hans"):
        assert [one["why"] for one in data["reason"].values() if translation.gettext(one["why"]) == one["why"]] == []
    assert {line["kind"] for line in data["line"] if "kind" in line} <= set(registry.all_kinds())
    assert {line["reason"] for line in data["line"]} <= set(data["reason"])


def test_the_command_answers_as_json_and_refuses_in_one_line():
    def run(line: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jobs.conversion.manual", line, "--json"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    good = run("python -m mindspore.onnx_to_mindir x.onnx")
    assert json.loads(good.stdout.splitlines()[-1])["lines"][0].startswith(LITE)
    bad = run("ls -l")
    assert bad.returncode == 2 and len(bad.stderr.splitlines()) == 1
