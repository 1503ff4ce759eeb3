"""A request of each kind that there is, such as a person would make it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from hardware.inventory.credentials.services import successor
from hardware.inventory.facts import Facts, read
from hardware.inventory.facts.probe import MARK
from hardware.inventory.models import Machine
from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.rollout.models import Deployment
from jobs.rollout.services import make_release
from tests.probe_text import probe_text

Made = tuple[dict[str, Any], list[Machine]]


def facts() -> Facts:
    """Of a machine on which every kind finds what it needs."""
    text = probe_text(driver="24.1.0", firmware="7.5.0.2.220", npus=True, cann="8.0.0", docker=True)
    pythons = f"{MARK} pythons\npython3 Python 3.7.9\npython3.9 Python 3.9.9\n{MARK} = 0\n"
    mindspore = f"{MARK} mindspore\n/usr/lib/python3.9/site-packages/mindspore-2.4.10.dist-info\n{MARK} = 0\n"
    site = "/usr/local/lib/python3.9/site-packages"
    names = ("torch-2.1.0", "torch_npu-2.1.0.post10", "msmodelslim-8.3.0")
    slim = f"{MARK} python-packages\n" + "".join(f"{site}/{name}.dist-info\n" for name in names) + f"{MARK} = 0\n"
    return read(text + pythons + mindspore + slim)


def artifact(name: str, type: str, **meta: Any) -> Artifact:
    return ingest(BytesIO(name.encode()), name=name, type=type, actor="ada", meta=meta)


def onnx() -> Artifact:
    profile = artifact("profile.json", "profile")
    return artifact("m.onnx", "model", format="onnx", max_length=64, profile=profile.sha256)


def release() -> int:
    image = artifact("bot.tar", "image", image="console/bot:1")
    fields = {"name": "bot", "version": "1", "image": image, "devices": [0, 1], "smoke_text": "hi", "smoke_label": "x"}
    return make_release(actor="ada", **fields).pk


def serving(machines: list[Machine]) -> list[Machine]:
    """The machines, each with a release that it serves."""
    image = artifact("served.tar", "image", image="console/served:1")
    fields = {"name": "served", "version": "1", "image": image, "devices": [0], "smoke_text": "hi", "smoke_label": "x"}
    made = make_release(actor="ada", **fields)
    for machine in machines:
        Deployment.objects.get_or_create(machine=machine, defaults={"release": made, "state": "serving"})
    return machines


def examples(machines: list[Machine], depot: Mapping[str, int], wheels: Mapping[str, int]) -> dict[str, Made]:
    """Slug -> parameters and machines. ``depot`` and ``wheels`` are the fixtures of ``tests.fleet``."""
    one = machines[:1]
    return {
        "convert": ({"to": "om", "name": "bot", "model": onnx().pk}, one),
        "create-driver-user": ({}, machines),
        "install-cann": ({"cann": depot["cann"]}, machines),
        "install-driver": ({"driver": depot["driver"], "firmware": depot["firmware"]}, machines),
        "install-mindspore": ({"mindspore": wheels["mindspore"]}, machines),
        "install-os-packages": ({"packages": ["kernel-devel", "python39"]}, machines),
        "package-image": (
            {"model": onnx().pk, "base": artifact("base.tar", "base-image").pk, "name": "console/bot", "tag": "1"}, [],
        ),
        "mend-model": ({"model": onnx().pk, "opset": 13}, []),
        "profile": ({"seconds": 5}, machines),
        "quantize": (
            {"model": onnx().pk, "scheme": "int8-static", "calibration": artifact("texts.jsonl", "calibration").pk}, [],
        ),
        "quantize-llm": (
            {"name": "qwen-w8a8", "model_path": "/data/models/Qwen2.5-7B", "model_type": "Qwen2.5-7B-Instruct"}, one,
        ),
        "rollout": ({"release": release(), "batch_size": 1}, machines),
        "rotate-key": ({"credential": successor(machines[0].credential, actor="ada").pk}, machines),
        "set-fan": ({"rpm": 4500}, machines),
        "shard": ({"name": "deepseek-13b", "size": "13B", "batch": 4}, one),
        "tune-serving": ({"preprocessing_workers": 8, "max_batch": "remedy"}, serving(machines)),
        "verify": ({}, machines),
    }  # fmt: skip
