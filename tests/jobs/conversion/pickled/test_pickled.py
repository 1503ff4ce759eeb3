"""PyTorch checkpoints: what is in them comes out as it was, and what is more than tensors is refused and never run."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from jobs.conversion.errors import ConversionRefused
from jobs.conversion.pickled import load
from jobs.conversion.pickled.archive import Archive
from jobs.conversion.pickled.machine import Machine
from jobs.conversion.pickled.safetensors import weights_of, write
from jobs.conversion.weights import TYPES, SafetensorsFile
from tests.jobs.conversion.decoders import tiny
from tests.jobs.conversion.pickled import made
from tests.jobs.conversion.pickled.made import archive, number, ordered, pickled, storage, tensor, text, word

ROOT = Path(__file__).resolve().parents[4]
LLAMA, WEIGHTS = tiny.LLAMA, tiny.weights_of(tiny.LLAMA)
QUIET = {"tell": lambda *told: None}


def read(path: Path) -> dict[str, np.ndarray]:
    """All tensors, bfloat16 among them, which the safetensors package gives to numpy as nothing."""
    file, raw = SafetensorsFile(path), path.read_bytes()
    entries = {name: file.entry(name) for name in file}
    return {
        name: np.frombuffer(raw[one.start : one.end], TYPES[one.type]).reshape(one.shape)
        for name, one in entries.items()
    }


def test_values_of_every_type_come_out_as_they_were(tmp_path: Path):
    random = np.random.default_rng(1)
    weights = {kind: random.integers(0, 2, (3, 5)).astype(kind) for kind in made.KINDS if kind != "bfloat16"}
    weights |= {"half": random.normal(size=7).astype(ml_dtypes.bfloat16), "scalar": np.float32(2.5)}
    weights |= {"empty": np.empty((0, 4), np.float32), "名前.weight": np.ones((2, 2), np.float16)}
    loaded = load.to_safetensors(made.save(tmp_path / "in.pt", weights), tmp_path / "out.safetensors", **QUIET)
    out = read(tmp_path / "out.safetensors")
    assert list(out) == list(weights) and loaded.tensors == len(weights) and loaded.ignored == 0
    for name, values in weights.items():
        assert out[name].dtype == np.asarray(values).dtype and out[name].tobytes() == np.asarray(values).tobytes()
    # The safetensors package reads it as well.
    assert load_file(tmp_path / "out.safetensors")["float32"].tolist() == weights["float32"].tolist()


def test_views_into_one_storage_are_written_as_what_they_show(tmp_path: Path, monkeypatch):
    held = np.arange(120, dtype=np.float32)
    matrix, cube, one = held.reshape(10, 12), held[:60].reshape(3, 4, 5), storage("0", "float32", 120)
    views = {
        "whole": (0, (10, 12), (12, 1), matrix),
        "turned": (0, (12, 10), (1, 12), matrix.T),
        "part": (14, (4, 3), (24, 2), matrix[1:9:2, 2:8:2]),
        "axes": (0, (5, 3, 4), (1, 20, 5), cube.transpose(2, 0, 1)),
        "line": (3, (10,), (12,), matrix[:, 3]),
        "one of a longer row": (0, (1, 12), (7, 1), matrix[:1]),
    }
    items = {name: tensor(one, offset, shape, steps) for name, (offset, shape, steps, _) in views.items()}
    path = tmp_path / "in.pt"
    path.write_bytes(archive(pickled(ordered(items)), {"0": held.tobytes()}))
    # Blocks of 16 values and pages let go every 128 bytes, so that each view takes many.
    monkeypatch.setattr("jobs.conversion.pickled.safetensors.BLOCK", 64)
    monkeypatch.setattr("jobs.conversion.pickled.safetensors.MAPPED", 128)
    with path.open("rb") as file, (tmp_path / "out").open("wb") as out:
        opened = Archive(file, "in.pt")
        tensors, _ = weights_of(Machine().run(opened.pickle), "in.pt")
        write(opened, file.fileno(), tensors, out.fileno(), 10**6, lambda *told: None)
    written = read(tmp_path / "out")
    for name, (_, _, _, expected) in views.items():
        np.testing.assert_array_equal(written[name], expected, err_msg=name)


@pytest.mark.parametrize("around", ["state_dict", "model_state_dict", "model"])
def test_a_state_dict_is_found_in_what_a_training_script_wraps_it_in(tmp_path: Path, around):
    path = made.save(tmp_path / "in.pt", {"w": np.ones(3, np.float32)}, around)
    load.to_safetensors(path, tmp_path / "out", **QUIET)
    assert list(read(tmp_path / "out")) == ["w"]


def test_entries_that_are_no_tensors_are_counted_and_named(tmp_path: Path):
    state = ordered({"w": tensor(storage("0", "float32", 1), 0, (1,), (1,)), "step": number(3), "name": text("x")})
    (tmp_path / "in.pt").write_bytes(archive(pickled(state), {"0": bytes(4)}))
    loaded = load.to_safetensors(tmp_path / "in.pt", tmp_path / "out", **QUIET)
    assert (loaded.tensors, loaded.ignored, loaded.ignored_first) == (1, 2, ["step", "name"])


class Hostile:
    """What a pickle can have run where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_would_run_a_command_runs_nothing_and_is_refused_by_the_name_that_it_asks_for(tmp_path, protocol):
    mark, path = tmp_path / "was-run", tmp_path / "in.pt"
    content = pickle.dumps({"w": Hostile(mark)}, protocol)
    path.write_bytes(archive(content, {}))
    with pytest.raises(ConversionRefused) as refused:
        load.to_safetensors(path, tmp_path / "out", **QUIET)
    assert refused.value.code == "pickle-refused" and "system" in refused.value.message
    assert "save_file" in refused.value.mend and "\n" not in str(refused.value)
    assert [one.name for one in tmp_path.iterdir()] == ["in.pt"]
    # The sample is what it says: Python's own unpickler does run it.
    pickle.loads(content)
    assert mark.exists()


ONE = storage("0", "float32", 4)
GOOD = tensor(ONE, 0, (4,), (1,))
BROKEN = {
    "a call by INST": (b"(S'x'\nios\nsystem\n", "pickle-refused"),
    "a call by OBJ": (b"(" + word("torch", "Size") + b"o", "pickle-refused"),
    "an object by NEWOBJ": (word("torch", "Size") + b")\x81", "pickle-refused"),
    "an extension": (b"\x82\x01", "pickle-refused"),
    "a global by its two words": (text("builtins") + text("eval") + b"\x93", "pickle-refused"),
    "a name that only begins as torch's": (word("torch", "hub.load"), "pickle-refused"),
    "a name with a space": (word("torch._utils", "_rebuild_tensor_v2 x"), "pickle-refused"),
    "a call of a type": (word("torch", "FloatStorage") + b")R", "pickle-damaged"),
    "a call of a text": (text("os.system") + b")R", "pickle-damaged"),
    "a state for a tensor": (GOOD + b"}b", "pickle-refused"),
    "a type that is not read": (word("torch", "ComplexFloatStorage"), "pickle-refused"),
    "no values": (ordered({"epoch": number(1)}), "no-weights"),
    "a single tensor": (GOOD, "no-weights"),
    "a number": (number(1), "no-weights"),
    "nothing on the stack": (b"0", "pickle-refused"),
    "a memo that is empty": (b"h\x07", "pickle-damaged"),
    "a tuple out of nothing": (b"\x87", "pickle-damaged"),
    "more than its storage": (ordered({"w": tensor(ONE, 1, (4,), (1,))}), "pickle-damaged"),
    "a negative step": (ordered({"w": tensor(ONE, 3, (4,), (-1,))}), "pickle-damaged"),
    "a negative size": (ordered({"w": tensor(ONE, 0, (-4,), (1,))}), "pickle-damaged"),
    "one value many times": (ordered({"w": tensor(ONE, 0, (1 << 40,), (0,))}), "pickle-damaged"),
    "sizes beyond 64 bits": (ordered({"w": tensor(ONE, 0, (1 << 40, 1 << 40), (0, 0))}), "pickle-damaged"),
    "a huge storage": (ordered({"w": tensor(storage("0", "float32", 1 << 40), 0, (4,), (1,))}), "pickle-damaged"),
    "a storage that is not": (ordered({"w": tensor(storage("1", "float32", 4), 0, (4,), (1,))}), "pickle-damaged"),
    "a storage by a path": (ordered({"w": tensor(storage("../version", "int16", 1), 0, (1,), (1,))}), "pickle-damaged"),
    "a storage of another type": (ordered({"w": tensor(storage("0", "float64", 4), 0, (4,), (1,))}), "pickle-damaged"),
    "the name of safetensors' own entry": (ordered({"__metadata__": GOOD}), "no-weights"),
    "an axis too many": (ordered({"w": tensor(ONE, 0, (1,) * 17, (1,) * 17)}), "pickle-damaged"),
    "a step too few": (ordered({"w": tensor(ONE, 0, (4, 1), (1,))}), "pickle-damaged"),
    "a text that goes on beyond the end": (b"X\xff\xff\xff\x7fabc", "pickle-damaged"),
}  # fmt: skip


def refusal(content: bytes) -> ConversionRefused:
    """Of a checkpoint's bytes, read in this process: nothing in it is run, which is what these samples are for."""
    with pytest.raises(ConversionRefused) as refused, open(os.devnull, "wb") as out:
        opened = Archive(io.BytesIO(content), "in.pt")
        tensors, _ = weights_of(Machine().run(opened.pickle), "in.pt")
        write(opened, -1, tensors, out.fileno(), 10**6, lambda *told: None)
    return refused.value


@pytest.mark.parametrize(("value", "code"), BROKEN.values(), ids=BROKEN)
def test_what_no_table_of_weights_is_made_of_is_refused(value, code):
    refused = refusal(archive(pickled(value), {"0": bytes(16)}))
    assert refused.code == code and refused.mend and "\n" not in str(refused)


def test_values_that_are_described_many_times_over_are_refused_before_they_fill_the_disk():
    held = storage("0", "float32", 1 << 16)
    state = ordered({f"w{index}": tensor(held, 0, (1 << 16,), (1,)) for index in range(5)})
    assert refusal(archive(pickled(state), {"0": bytes(4 << 16)})).code == "checkpoint-unsafe"


def test_more_than_there_is_room_for_is_refused_before_anything_is_written(tmp_path: Path):
    path = made.save(tmp_path / "in.pt", {"w": np.ones(1000, np.float32)})
    with path.open("rb") as file, (tmp_path / "out").open("wb") as out, pytest.raises(ConversionRefused) as refused:
        opened = Archive(file, "in.pt")
        tensors, _ = weights_of(Machine().run(opened.pickle), "in.pt")
        write(opened, file.fileno(), tensors, out.fileno(), 3000, lambda *told: None)
    assert refused.value.code == "not-writable" and (tmp_path / "out").stat().st_size == 0


def zipped(compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made_by_hand:
        for name, raw in entries.items():
            made_by_hand.writestr(name, raw)
    return out.getvalue()


STATE = pickled(ordered({"w": GOOD}))
ARCHIVES = {
    "a bomb": (zipped(zipfile.ZIP_DEFLATED, **{"a/data.pkl": STATE, "a/data/0": bytes(10**7)}), "checkpoint-unsafe"),
    "a name above the folder": (zipped(**{"a/data.pkl": STATE, "a/../../data/0": bytes(16)}), "checkpoint-unsafe"),
    "an absolute name": (zipped(**{"a/data.pkl": STATE, "/etc/0": bytes(16)}), "checkpoint-unsafe"),
    "two lists": (zipped(**{"a/data.pkl": STATE, "b/data.pkl": STATE}), "not-checkpoint"),
    "an npz": (zipped(**{"weight.npy": bytes(100)}), "not-checkpoint"),
    "TorchScript": (archive(STATE, {}, **{"constants.pkl": b"x", "code/__torch__.py": b"x"}), "torchscript"),
    "torch.export": (zipped(**{"m/archive_format": b"pt2", "m/models/model.json": b"{}"}), "torchscript"),
    "another byte order": (zipped(**{"a/data.pkl": STATE, "a/byteorder": b"big"}), "not-checkpoint"),
    "a list of 65 MB": (zipped(**{"a/data.pkl": bytes(65 << 20)}), "checkpoint-unsafe"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "code"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_is_no_checkpoint_or_lies_is_refused(content, code):
    refused = refusal(content)
    assert refused.code == code and refused.mend and "\n" not in str(refused)


def test_entries_that_lie_in_one_another_are_refused(tmp_path: Path):
    content = bytearray(archive(STATE, {"0": bytes(16)}))
    # In the list at the end, the storage is said to lie where the pickle does.
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"archive/data/0"))
    content[at + 42 : at + 46] = bytes(4)
    assert refusal(bytes(content)).code in ("checkpoint-unsafe", "checkpoint-truncated")


@pytest.mark.parametrize("kept", [100, 400, -1])
def test_an_archive_that_is_cut_off_is_told_as_that(tmp_path: Path, kept):
    whole = archive(STATE, {"0": bytes(16)})
    (tmp_path / "in.pt").write_bytes(whole[:kept])
    with pytest.raises(ConversionRefused) as refused:
        load.to_safetensors(tmp_path / "in.pt", tmp_path / "out", **QUIET)
    assert refused.value.code == "checkpoint-truncated"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (load.LEGACY + b"and so on", "pickle-legacy", "before 1.6"),
        (pickle.dumps({"a": 1}), "pickle-legacy", "bare pickle"),
        (b"\x08\x07 some ONNX", "not-checkpoint", "no checkpoint"),
    ],
)
def test_what_is_no_zip_is_refused_with_its_own_reason(tmp_path: Path, content, code, says):
    (tmp_path / "in.pt").write_bytes(content)
    with pytest.raises(ConversionRefused, match=says) as refused:
        load.to_safetensors(tmp_path / "in.pt", tmp_path / "out", **QUIET)
    assert refused.value.code == code and refused.value.mend


CAGED = """
import ctypes, json, os, queue, socket, threading
from jobs.conversion.apart.sandbox import enter

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"

def wait():
    asked.get()
    answers.put(tried(lambda: open("/etc/hostname")))

asked, answers = queue.Queue(), queue.Queue()
threading.Thread(target=wait, daemon=True).start()
held = enter(1000, 60).to_json()
asked.put(True)
print(json.dumps({
    "sandbox": held,
    "open": tried(lambda: open("/etc/hostname")),
    "open in an older thread": answers.get(),
    "socket": tried(lambda: socket.socket()),
    "fork": tried(os.fork),
    "exec": tried(lambda: os.execv("/bin/true", ["true"])),
    "remove": tried(lambda: os.unlink("/nowhere")),
}), flush=True)
try:
    bytearray(3 << 30)
except MemoryError:
    print("MemoryError", flush=True)
"""


def test_the_process_that_reads_can_open_nothing_reach_nobody_and_start_nothing():
    done = subprocess.run([sys.executable, "-c", CAGED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    first, last = done.stdout.splitlines()
    told = json.loads(first)
    assert last == "MemoryError"
    if "seccomp" not in told["sandbox"]["system_calls"]:
        pytest.skip(f"this system takes no filter: {told['sandbox']['system_calls']}")
    tried = ("open", "open in an older thread", "socket", "fork", "exec", "remove")
    assert [told[what] for what in tried] == ["PermissionError"] * 6
    assert "no sockets" in told["sandbox"]["network"]


def test_a_reading_process_that_is_killed_leaves_nothing_and_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(load, "CHILD", "tests.jobs.conversion.pickled.dying")
    path = made.save(tmp_path / "in.pt", {"w": np.ones(3, np.float32)})
    with pytest.raises(ConversionRefused, match="signal 9") as refused:
        load.to_safetensors(path, tmp_path / "out", **QUIET)
    assert refused.value.code == "pickle-limits" and [one.name for one in tmp_path.iterdir()] == ["in.pt"]


def run(*arguments: object, module: str = "jobs.conversion") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SHA-256 of the ONNX that the same weights give as safetensors."""
    place = tmp_path_factory.mktemp("expected")
    done = run(tiny.save(place / "model", LLAMA, WEIGHTS), place / "out.onnx", "--json")
    return str(json.loads(done.stdout.splitlines()[-1])["sha256"])


def folder(place: Path) -> Path:
    place.mkdir()
    (place / "config.json").write_text(json.dumps(LLAMA))
    return place


def test_the_command_converts_a_folder_with_a_pickled_file_and_a_tar_of_it(expected, tmp_path: Path):
    model = folder(tmp_path / "model")
    made.save(model / "pytorch_model.bin", WEIGHTS)
    (model / "training_args.bin").write_bytes(b"\x80\x02 what a trainer leaves")
    with tarfile.open(tmp_path / "model.tar", "w") as packed:
        packed.add(model, "model")
    for given in (model, model / "pytorch_model.bin", tmp_path / "model.tar"):
        done = run(given, tmp_path / "out.onnx", "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout.splitlines()[-1])
        assert report["sha256"] == expected
        assert report["pickled"][0]["file"] == "pytorch_model.bin" and report["pickled"][0]["sandbox"]["network"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.tar", "out.onnx"]


def test_shards_with_their_index_are_each_loaded_by_a_process_of_its_own(expected, tmp_path: Path):
    model = folder(tmp_path / "model")
    placed = {name: f"pytorch_model-{index % 2 + 1:05}-of-00002.bin" for index, name in enumerate(WEIGHTS)}
    for file in set(placed.values()):
        made.save(model / file, {name: WEIGHTS[name] for name, at in placed.items() if at == file})
    index = model / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    done = run(model, tmp_path / "out.onnx", "--json")
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["sha256"] == expected and len(report["pickled"]) == 2
    index.write_text(json.dumps({"weight_map": {"w": "../elsewhere.bin"}}))
    done = run(model, tmp_path / "other.onnx")
    assert done.returncode == 2 and "no file beside it" in done.stderr


def test_a_folder_of_several_a_file_without_its_config_and_an_output_in_its_place_are_refused(tmp_path: Path):
    model = folder(tmp_path / "model")
    first, alone = made.save(model / "a.pt", WEIGHTS), made.save(tmp_path / "alone.pth", WEIGHTS)
    before = first.read_bytes()
    assert "would overwrite" in run(model, first).stderr and first.read_bytes() == before
    made.save(model / "b.pth", WEIGHTS)
    assert "a.pt, b.pth" in run(model, tmp_path / "out.onnx").stderr
    assert "config.json" in run(alone, tmp_path / "out.onnx").stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.pth", "model"]


def test_the_weights_alone_become_safetensors_by_a_command_of_their_own(tmp_path: Path):
    path = made.save(tmp_path / "in.bin", {"w": np.arange(6, dtype=np.float16).reshape(2, 3)})
    done = run(path, tmp_path / "out.safetensors", "--json", module="jobs.conversion.pickled")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["tensors"] == 1
    assert load_file(tmp_path / "out.safetensors")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
