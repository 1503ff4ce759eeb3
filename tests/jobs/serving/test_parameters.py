"""Serving parameters of a real server, and what it does when there is no memory."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests import tiny_model

# With more rows than this the model asks for 128 TiB.
ROOM = 4


def greedy(folder: Path) -> Path:
    """The tiny model, adding the sum of a tensor of zeros that has no room beyond `ROOM` rows."""
    made = tiny_model.model()
    graph = made.graph
    graph.node[-1].output[0] = "sums"
    numbers = {"room": ROOM, "none": 0, "huge": 1 << 45, "one": 1}
    graph.initializer.extend(numpy_helper.from_array(np.array([n], dtype=np.int64), k) for k, n in numbers.items())
    fill = numpy_helper.from_array(np.zeros(1, dtype=np.float32))
    graph.node.extend(
        [
            helper.make_node("Shape", ["input_ids"], ["shape"]),
            helper.make_node("Gather", ["shape", "none"], ["rows_there"]),
            helper.make_node("Sub", ["rows_there", "room"], ["over"]),
            helper.make_node("Max", ["over", "none"], ["beyond"]),
            helper.make_node("Mul", ["beyond", "huge"], ["wide"]),
            helper.make_node("Add", ["wide", "one"], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["zeros"], value=fill),
            helper.make_node("ReduceSum", ["zeros", "none"], ["nothing"], keepdims=1),
            helper.make_node("Add", ["sums", "nothing"], ["logits"]),
        ]
    )
    onnx.checker.check_model(made)
    folder.mkdir()
    onnx.save_model(made, str(folder / "model.onnx"))
    (folder / "profile.json").write_text(json.dumps(tiny_model.profile()))
    return folder


def test_a_batch_without_memory_is_answered_503_and_counted_and_the_server_lives_on(serve, tmp_path: Path):
    served = serve(greedy(tmp_path / "model"), SERVING_MAX_BATCH="8").ready()
    refused = served.ask(*["lost card"] * 6)
    assert refused.status_code == 503 and refused.json()["code"] == "out-of-memory", refused.text
    assert refused.headers["retry-after"] == "1" and "max_batch" in refused.json()["mend"]
    assert served.ask("lost card").json()["results"][0]["label"] == "card"
    told = served.client.get("/v1/vitals").json()
    assert told["out_of_memory"] == 1 and served.metric("serving_out_of_memory_total") == 1
    assert (told["max_batch"], told["preprocessing_workers"], told["release"]) == (8, 1, "tiny 1")


def test_a_lower_max_batch_is_what_the_same_requests_have_room_in(serve, tmp_path: Path):
    served = serve(greedy(tmp_path / "model"), SERVING_MAX_BATCH=str(ROOM)).ready()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: served.ask(*["open account"] * 6), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert served.client.get("/v1/vitals").json()["out_of_memory"] == 0
    assert served.client.get("/healthz").json()["max_batch"] == ROOM


def test_a_process_above_its_budget_refuses_and_says_that_it_is_failing(serve, tmp_path: Path):
    served = serve(tiny_model.release(tmp_path / "model"), SERVING_MEMORY_BUDGET_MB="20").ready()
    assert served.ask("card").json()["code"] == "out-of-memory"
    assert served.client.get("/healthz").json()["status"] == "failing"
    assert "budget is 20 MB" in served.output()


def test_a_parameter_that_cannot_be_ends_the_start_with_one_line(serve, tmp_path: Path):
    served = serve(tiny_model.release(tmp_path / "model"), SERVING_PREPROCESSING_WORKERS="many")
    assert served.process.wait(timeout=20) == 2
    assert served.output().startswith("serving: parameter-invalid: SERVING_PREPROCESSING_WORKERS is 'many'")
