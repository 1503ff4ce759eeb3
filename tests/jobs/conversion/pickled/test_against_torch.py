"""Checkpoints that torch itself wrote. Runs where torch is; `test_pickled` needs none."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.pickled.load import to_safetensors

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None, reason="torch is not installed (.ci/reference-requirements.txt)"
    ),
    # Its import alone takes a minute on a busy box.
    pytest.mark.timeout(400),
]
QUIET = {"tell": lambda *told: None}


def model() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.LayerNorm(5))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_saved_comes_out_as_torch_itself_has_it(tmp_path: Path, protocol):
    import torch
    from safetensors.torch import load_file

    matrix = torch.randn(6, 4)
    state = {
        "matrix": matrix, "turned": matrix.t(), "half": torch.randn(3, 5).half(), "brain": torch.randn(7).bfloat16(),
        "ids": torch.arange(10).expand(1, -1), "scalar": torch.tensor(3.5), "flags": torch.tensor([True, False]),
        "part": torch.randn(8, 8)[2:6:2, 1::3], "empty": torch.empty(0, 3), "double": torch.randn(2).double(),
        "parameter": torch.nn.Parameter(torch.randn(3)), **model().state_dict(),
    }  # fmt: skip
    torch.save(state, tmp_path / "in.pt", pickle_protocol=protocol)
    to_safetensors(tmp_path / "in.pt", tmp_path / "out.safetensors", **QUIET)
    out = load_file(tmp_path / "out.safetensors")
    assert set(out) == set(state) and all(torch.equal(out[name], value) for name, value in state.items())
    assert all(out[name].dtype == value.dtype for name, value in state.items())


def test_a_module_s_state_dict_with_its_metadata_and_a_training_checkpoint_are_read(tmp_path: Path):
    import torch

    made = model()
    optimizer = torch.optim.Adam(made.parameters())
    made(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    torch.save(made.state_dict(), tmp_path / "plain.pt")
    torch.save({"epoch": 3, "model": made.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "training.pt")
    for name in ("plain.pt", "training.pt"):
        assert to_safetensors(tmp_path / name, tmp_path / "out", **QUIET).tensors == 4


def test_whole_modules_scripts_exports_and_the_old_format_are_each_refused_by_name(tmp_path: Path):
    import torch

    made = model()
    torch.save(made, tmp_path / "whole.pt")
    torch.save(made.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(made).save(str(tmp_path / "script.pt"))
    torch.export.save(torch.export.export(made, (torch.randn(2, 4),)), tmp_path / "export.pt2")
    for name, code, says in (
        ("whole.pt", "pickle-refused", "torch.nn.modules.container.Sequential"),
        ("old.pt", "pickle-legacy", "before 1.6"),
        ("script.pt", "torchscript", "TorchScript, a program and no table of weights"),
        ("export.pt2", "torchscript", "torch.export"),
    ):
        with pytest.raises(ConversionRefused, match=says) as refused:
            to_safetensors(tmp_path / name, tmp_path / "out", **QUIET)
        assert refused.value.code == code
