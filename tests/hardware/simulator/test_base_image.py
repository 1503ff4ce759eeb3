from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

from hardware.simulator import base_image
from jobs.kinds.package_image.base import Base

ROOT = Path(__file__).resolve().parents[3]


def test_the_command_writes_the_same_image_every_time_and_its_labels_say_what_it_is(tmp_path: Path):
    subprocess.run(
        [sys.executable, "-m", "hardware.simulator", "base-image", str(tmp_path / "one.tar")], cwd=ROOT, check=True
    )
    base_image.write(tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    base = Base.read(tmp_path / "one.tar", "arm64")
    labels = base.config["config"]["Labels"]
    assert labels["console.simulated"] == "true" and "simulated machines only" in str(labels)


def test_it_holds_the_stand_in_of_ais_bench_and_no_program(tmp_path: Path):
    base_image.write(tmp_path / "base.tar")
    with tarfile.open(tmp_path / "base.tar") as tar:
        [saved] = json.load(tar.extractfile("manifest.json"))
        with tarfile.open(fileobj=tar.extractfile(saved["Layers"][0])) as layer:
            assert "opt/simulated/python/ais_bench/infer/interface.py" in layer.getnames()
            assert not [member.name for member in layer if member.isfile() and member.mode & 0o111]
