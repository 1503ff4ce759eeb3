from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hardware.npu import parse
from tests.hardware.npu.texts import HBM

COMMAND = [sys.executable, "-m", "hardware.npu"]


def test_the_command_line_prints_one_json_object_for_a_file(tmp_path: Path):
    file = tmp_path / "paste.txt"
    file.write_bytes(f"提示\n{HBM}".encode("gbk"))
    done = subprocess.run([*COMMAND, str(file)], capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"})
    assert done.stdout.count(b"\n") == 1 and done.stderr == b""
    said = json.loads(done.stdout)
    assert list(said) == [
        "command", "layout", "tool_version", "driver_version", "chips", "processes", "samples", "fields", "warnings",
        "error",
    ]  # fmt: skip
    assert said["chips"] == parse(HBM).to_json()["chips"]
    assert said["warnings"] == ["line not understood: 提示"]


def test_it_reads_what_is_piped_into_it_and_ends_well_whatever_that_is():
    for arguments in ([], ["-"]):
        done = subprocess.run([*COMMAND, *arguments], input=b"\xff\x00|", capture_output=True)
        assert done.returncode == 0 and json.loads(done.stdout)["layout"] == "unknown"


def test_a_file_that_is_not_there_is_said_in_one_line():
    for arguments in (["none"], ["-h"], ["a", "b"]):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
