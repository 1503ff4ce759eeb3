"""The page of a quantization, from a job that a worker carried out on real models."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.models import Job
from jobs.quantization import Options, quantize
from jobs.services import launch
from tests.jobs.conversion.decoders.tiny import LLAMA, save, weights_of
from tests.jobs.quantization import models
from tests.jobs.quantization.sensitive import chain, coarse, labelled
from tests.worker import work


@pytest.fixture
def depot(settings, tmp_path: Path, transactional_db) -> None:
    settings.DEPOT_DIR = tmp_path / "depot"


@pytest.fixture
def person(depot) -> Client:
    made = Client()
    made.force_login(User.objects.create_user("ada"))
    return made


def store(path: Path, type: str, **meta) -> Artifact:
    with path.open("rb") as file:
        return ingest(file, name=path.name, type=type, actor="ada", meta=meta)


def quantized(**params) -> Job:
    return work(launch("quantize", params, [], actor="ada"))


def words_of(person: Client, job: Job) -> str:
    answer = person.get(f"/jobs/{job.pk}/report/")
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_a_labelled_set_and_a_budget_are_told_in_figures_and_in_bytes(person, tmp_path: Path):
    source, profile, asked, _ = labelled(tmp_path)
    known = store(profile, "profile")
    model = store(source, "model", format="onnx", profile=known.sha256)
    texts = store(asked, "calibration")
    job = quantized(model=model.pk, budget=0.05, calibration=texts.pk)
    assert job.state == "succeeded", job.failure
    report = job.result["report"]
    page = words_of(person, job)
    # Accuracy, as it was measured.
    assert f"Top-1 before {report['agreement']['accuracy_before']:.1%}".replace("%", " %") in page
    assert "Generated inputs" not in page and "asked.jsonl" in page
    # The budget, and what it cost.
    assert "Held May be lost 5.0 % of the right answers" in page
    assert f"{report['budget']['bytes_more']:,} bytes" in page and "kept in float" in page
    # Sizes add up to the files'.
    assert f"{report['bytes_before']:,} bytes to {report['bytes_after']:,}" in page and "Embedding tables" in page
    # The manual beside it, with what its claim is.
    assert "98.7 %" in page and "13 GB → 1.6 GB" in page and "It is 4 bit from FP32: 13 GB / 8." in page
    assert "of the right answers kept" in page
    # Where it was measured, and from what.
    assert report["latency"]["processor"] in page and "It says nothing about an NPU." in page
    for digest in (model.sha256, texts.sha256, known.sha256, report["sha256"]):
        assert digest[:12] in page
    assert (
        "python -m jobs.quantization model.onnx" in page and f"onnxruntime {report['versions']['onnxruntime']}" in page
    )
    # In Chinese nothing of it is left in English.
    person.cookies["django_language"] = "zh-hans"
    chinese = words_of(person, job)
    for english in ("Budget", "Held", "Latency", "Sensitivity", "Embedding", "bias", "Provenance", "Measured on"):
        assert english not in chinese
    # The figures at the top are those of the answers, in either language.
    top = re.search(r'<dl class="strip">.*?</dl>', person.get(f"/jobs/{job.pk}/report/").content.decode(), re.DOTALL)
    assert top is not None and top[0].count("<dt>") == 6 and "余弦" not in top[0]


def test_without_samples_the_page_says_that_inputs_were_generated_and_claims_no_accuracy(person, tmp_path: Path):
    content = models.shared()
    job = quantized(model=store(models.save(content, tmp_path / "a<b.onnx"), "model").pk, scheme="int4", block="32")
    assert job.state == "succeeded", job.failure
    page = words_of(person, job)
    assert "Measured on generated inputs, not on real ones." in page and "Top-1" not in page
    assert "4-bit weights in blocks" in page and "blocks of 32" in page and "block 32" in page
    assert "which is not accuracy" in page and "memory_mib" not in page
    # The file's name is a person's: it is text on the page, never markup.
    assert b"a<b.onnx" not in person.get(f"/jobs/{job.pk}/report/").content


def test_every_layer_is_on_the_page_although_the_logs_last_line_has_the_worst_only(person, tmp_path: Path):
    made = [models.weight(f"layer{n:02}", 96, 96, seed=n) for n in range(70)]
    job = quantized(model=store(models.save(chain(*made), tmp_path / "deep.onnx"), "model").pk)
    assert job.state == "succeeded", job.failure
    assert len(job.result["report"]["layers"]) == 60
    page = words_of(person, job)
    assert "70 layers · As table" in page and all(f" layer{n:02} " in page for n in range(70))
    source = person.get(f"/jobs/{job.pk}/report/").content.decode()
    shown = [float(one) for one in re.findall(r">([\d.]+) dB</td>", source)]
    assert len(shown) == 70 and shown == sorted(shown)
    file = person.get(f"/jobs/{job.pk}/report.json")
    assert file["Content-Disposition"] == f'attachment; filename="job-{job.pk}-report.json"'
    assert len(json.loads(file.content)["layers"]) == 70
    assert person.get(f"/api/v1/jobs/{job.pk}/report/").json() == json.loads(file.content)
    # When the depot has lost the file, the page says that it shows less.
    Artifact.objects.get(type="quantization-report").path.unlink()
    page = words_of(person, job)
    assert "60 of 70 layers · As table" in page and "these are the layers that its log named" in page


def test_ranges_from_samples_are_told_with_what_they_clip(person, tmp_path: Path):
    source = models.save(models.matmul(), tmp_path / "m.onnx")
    rows = np.random.default_rng(0).standard_normal((40, models.SIZE)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    options = Options(calibration=tmp_path / "rows.npz", calibrate="percentile", percentile=99.0)
    report = quantize(source, tmp_path / "out.onnx", "int8-static", options).to_json()
    job = launch("quantize", {"model": store(source, "model").pk}, [], actor="ada")
    Job.objects.filter(pk=job.pk).update(state="succeeded", result={"report": report})
    page = words_of(person, job)
    assert "8-bit weights and calibrated activations" in page and "rows.npz, 40 rows" in page
    assert "Ranges from samples Method percentile 99.0" in page and "block 128" not in page
    widest = report["calibration"]["activations"][0]
    assert f"{widest['name']} {widest['clipped'] * 100:.1f} %, kept" in page and widest["clipped"] > 0


def test_a_lower_signal_to_noise_is_explained_where_the_method_makes_it(person, tmp_path: Path):
    source = models.save(models.matmul(), tmp_path / "m.onnx")
    rows = np.random.default_rng(0).standard_normal((40, models.SIZE)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", x=rows)
    job = launch("quantize", {"model": store(source, "model").pk}, [], actor="ada")
    told = {}
    for method in ("rtn", "gptq"):
        options = Options(calibration=tmp_path / "rows.npz", block=32, method=method)
        report = quantize(source, tmp_path / f"{method}.onnx", "int4", options).to_json()
        Job.objects.filter(pk=job.pk).update(state="succeeded", result={"report": report})
        told[method] = "off their nearest steps on purpose" in words_of(person, job)
    assert told == {"rtn": False, "gptq": True}


def test_a_budget_that_is_not_held_has_a_page_that_says_the_best_that_was_reached(person, tmp_path: Path):
    source = models.save(chain(coarse("a", 1), coarse("b", 2)), tmp_path / "m.onnx")
    job = quantized(model=store(source, "model").pk, budget=0)
    assert (job.state, job.failure["code"]) == ("failed", "budget-not-held")
    page = words_of(person, job)
    assert "Best reached" in page and "of 2 weights kept at higher precision" in page
    assert "Cost in bytes none: there is no result" in page and "16 generated inputs" in page
    # What to do is to run it again with other parameters: that is a click away.
    assert f"/jobs/new/?retry_of={job.pk}" in person.get(f"/jobs/{job.pk}/report/").content.decode()
    assert person.get(f"/jobs/{job.pk}/report.json").status_code == 404


def test_the_job_and_the_depot_lead_to_the_page_and_a_job_without_one_has_none(person, tmp_path: Path):
    link = 'href="/jobs/{}/report/"'
    job = quantized(model=store(models.save(models.matmul(), tmp_path / "m.onnx"), "model").pk)
    for path in (f"/jobs/{job.pk}/", f"/jobs/{job.pk}/?part=live", "/depot/?q=m-int8-weight.onnx"):
        assert link.format(job.pk) in person.get(path).content.decode(), path
    damaged = tmp_path / "no.onnx"
    damaged.write_bytes(b"no model")
    failed = quantized(model=store(damaged, "model").pk)
    assert failed.state == "failed"
    assert link.format(failed.pk) not in person.get(f"/jobs/{failed.pk}/").content.decode()
    for path in (f"/jobs/{failed.pk}/report/", f"/jobs/{failed.pk}/report.json", "/jobs/999999/report/"):
        assert person.get(path).status_code == 404
    assert Client().get(f"/jobs/{job.pk}/report/").status_code == 302


def test_a_job_calibrates_on_a_set_of_the_depot_and_its_page_says_what_was_cut_off(person, tmp_path: Path):
    source = models.save(chain(models.weight("a", models.SIZE, models.SIZE)), tmp_path / "net.onnx")
    rows = np.random.default_rng(5).standard_normal((300, models.SIZE)).astype(np.float32)
    rows[0, 1] = 900
    np.savez(tmp_path / "rows.npz", x=rows)
    model, samples = store(source, "model", format="onnx"), store(tmp_path / "rows.npz", "calibration")
    job = quantized(model=model.pk, scheme="int8-static", calibration=samples.pk, calibrate="percentile")
    assert job.state == "succeeded", job.failure
    told = job.result["report"]["calibration"]
    assert (told["method"], told["samples"], told["tensors"]) == ("percentile", 300, 1)
    page = words_of(person, job)
    assert "percentile 99.99" in page and "calibration.npz, 300 rows" in page
    [activation] = told["activations"]
    assert activation["clipped"] > 0.9 and f"Clipped most {activation['name']}" in page


def test_a_conversion_that_quantizes_in_the_same_pass_has_the_page_as_well(person, tmp_path: Path):
    config = LLAMA | {"hidden_size": 128, "intermediate_size": 192, "vocab_size": 256, "num_hidden_layers": 9}
    folder = save(tmp_path / "tiny", config, weights_of(config))
    with tarfile.open(tmp_path / "tiny.tar", "w") as archive:
        archive.add(folder, "tiny")
    checkpoint = store(tmp_path / "tiny.tar", "checkpoint")
    params = {"to": "onnx", "name": "tiny", "checkpoint": checkpoint.pk, "quantize": "int4", "block": "32"}
    job = work(launch("convert", params, [], actor="ada"))
    assert job.state == "succeeded", job.failure
    for path in (f"/jobs/{job.pk}/", "/depot/?q=tiny.onnx"):
        assert f'href="/jobs/{job.pk}/report/"' in person.get(path).content.decode(), path
    page = words_of(person, job)
    assert "Quantization report" in page and "4-bit weights in blocks" in page and "65 layers · As table" in page
    assert "Measured on generated inputs, not on real ones." in page and "Output cosine, mean" in page
    assert "python -m jobs.conversion checkpoint.tar tiny.onnx" in page and "model.safetensors" in page
    assert len(json.loads(person.get(f"/jobs/{job.pk}/report.json").content)["layers"]) == 65
    person.cookies["django_language"] = "zh-hans"
    shown = person.get(f"/jobs/{job.pk}/").content.decode()
    assert "16 个生成的输入" in shown and f"{job.result['report']['quantization']['ratio']:.2f} x" in shown
    del person.cookies["django_language"]
    # The job itself has the conversion's report, and in it what its log's last line named of this one.
    Artifact.objects.get(type="quantization-report").path.unlink()
    assert job.result["report"]["architecture"] == "llama" and "60 of 65 layers · As table" in words_of(person, job)
    plain = work(launch("convert", {**params, "quantize": "", "name": "plain"}, [], actor="ada"))
    assert plain.state == "succeeded" and person.get(f"/jobs/{plain.pk}/report/").status_code == 404
