"""Programs that torch saved, turned to ONNX and held against torch's own answers. Runs where torch is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.programs.archive import EXPORTED, SCRIPT
from jobs.conversion.programs.load import to_onnx
from jobs.conversion.programs.ports import read_ports

ROOT = Path(__file__).resolve().parents[4]
pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "onnxscript")),
        reason="torch or onnxscript is not installed (.ci/reference-requirements.txt)",
    ),
    # Its import alone takes a minute on a busy box.
    pytest.mark.timeout(400),
]
QUIET = {"tell": lambda *told: None}
NETS = """
from typing import Optional

import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.layer = torch.nn.Embedding(2, 6), torch.nn.Linear(6, 4)

    def forward(self, x, ids, mask: Optional[torch.Tensor] = None, times: int = 2):
        # Into its own input, as thrifty code does.
        y = self.layer(x.add_(1) + self.words(ids))
        for _ in range(times):
            y = torch.softmax(y, -1)
        if mask is not None:
            y = y * mask
        if bool(y.sum() > 1e9):
            y = -y
        return y, y.argmax(-1)


class Thief(torch.nn.Module):
    def forward(self, x):
        return x + torch.from_file("secret", False, 4, dtype=torch.uint8)
"""


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory):
    """The module of NETS; torch.jit.script wants its source."""
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    spec = importlib.util.spec_from_file_location("nets", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_script_in_a_tar_becomes_onnx_with_its_branches_and_open_sizes(nets, tmp_path: Path):
    import torch

    torch.manual_seed(5)
    net = torch.jit.script(nets.Net().eval())
    net.save(str(tmp_path / "net.pt"))
    with tarfile.open(tmp_path / "net.tar", "w") as packed:
        packed.add(tmp_path / "net.pt", "net.pt")
    asked = ("--input-shape", "ids:-1,3;x:-1,3,6", "--input-type", "ids:int64", "--opset", "15", "--json")
    command = [sys.executable, "-m", "jobs.conversion", tmp_path / "net.tar", tmp_path / "out.onnx", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["program"] == SCRIPT and report["opset"] == 15 and report["runs"] == 2
    assert report["difference"] < 1e-5 and report["sandbox"]["filtered"]
    assert [port["shape"] for port in report["inputs"]] == [["x_0", 3, 6], ["ids_0", 3]]
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    x, ids = torch.randn(5, 3, 6), torch.randint(0, 2, (5, 3))
    for new, old in zip(session.run(None, {"x": x.numpy(), "ids": ids.numpy()}), net(x.clone(), ids), strict=True):
        np.testing.assert_allclose(new, old.detach().numpy(), atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pt", "net.tar", "out.onnx"]


def test_an_exported_program_becomes_onnx_by_its_own_example_and_open_sizes(tmp_path: Path):
    import torch

    torch.manual_seed(5)
    net = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.LayerNorm(4), torch.nn.GELU()).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(net, (torch.randn(2, 6),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    made = to_onnx(tmp_path / "net.pt2", EXPORTED, tmp_path / "out.onnx", **QUIET)
    assert made.opset == 18 and made.runs == 2 and made.difference < 1e-5
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    x = torch.randn(5, 6)
    (answer,) = session.run(None, {made.inputs[0]["name"]: x.numpy()})
    np.testing.assert_allclose(answer, net(x).detach().numpy(), atol=1e-5)


def test_a_script_whose_inputs_are_not_told_is_refused_with_what_its_forward_takes(nets, tmp_path: Path):
    import torch

    torch.jit.script(nets.Net()).save(str(tmp_path / "net.pt"))
    with pytest.raises(ConversionRefused, match=r"x: Tensor, ids: Tensor, mask: Optional\[Tensor\] = ") as refused:
        to_onnx(tmp_path / "net.pt", SCRIPT, tmp_path / "out.onnx", **QUIET, ports=read_ports("x:1,3,6"))
    assert refused.value.code == "program-inputs" and '"x:1,3,224,224;ids:1,3,224,224"' in refused.value.mend


def test_a_program_that_reads_a_file_of_the_machine_gets_nothing(nets, tmp_path: Path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(b"1234")
    thief = torch.jit.script(nets.Thief())
    assert thief(torch.zeros(4)).tolist() == [49, 50, 51, 52]
    thief.save("thief.pt")
    with pytest.raises(ConversionRefused, match="Operation not permitted") as refused:
        to_onnx(tmp_path / "thief.pt", SCRIPT, tmp_path / "out.onnx", **QUIET, ports=read_ports("x:4"))
    assert refused.value.code == "program-failed" and not (tmp_path / "out.onnx").exists()
