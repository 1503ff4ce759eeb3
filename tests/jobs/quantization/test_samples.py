"""What a model is calibrated and compared on: a file, a folder or a zip archive of npz, jsonl and png files."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jobs.conversion.checks import Port
from jobs.quantization.calibration import feeds
from jobs.quantization.calibration.pictures import Preprocessing, resized
from jobs.quantization.calibration.png import NotPng, decode
from jobs.quantization.calibration.reading import read_calibration
from jobs.quantization.errors import QuantizationRefused
from tests.jobs.quantization.pictures import FILTERS, noise, png

PICTURE = [Port("x", "float", ["n", 3, 8, 8])]
PLAIN = Preprocessing(scale=1.0)


def refusal(path: Path, inputs: list[Port], **settings) -> str:
    with pytest.raises(QuantizationRefused) as refused:
        list(read_calibration(path, inputs, None, **settings).feeds)
    assert refused.value.code == "calibration-invalid"
    return refused.value.message


@pytest.mark.parametrize("filters", [*((kind,) for kind in range(5)), (4, 0, 1, 3, 2)], ids=[*FILTERS, "all"])
@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_png_gives_the_pixels_that_were_stored(samples, filters):
    for height, width in ((17, 9), (5, 30), (1, 1)):
        pixels = noise(height, width, samples)
        got = decode(png(pixels, filters=filters))
        shown = pixels[:, :, :1].repeat(3, axis=2) if samples < 3 else pixels[:, :, :3]
        np.testing.assert_array_equal(got, shown)


def test_palettes_and_16_bits_are_read_and_what_is_no_whole_picture_is_named():
    deep = noise(6, 7, 3, np.uint16)
    np.testing.assert_array_equal(decode(png(deep, filters=(4, 3))), deep >> 8)
    places = noise(6, 7, 1) % 4
    colours = np.arange(12, dtype=np.uint8)
    np.testing.assert_array_equal(
        decode(png(places, palette=colours.tobytes())), colours.reshape(4, 3)[places[:, :, 0]]
    )
    whole = png(noise(6, 7))
    broken = bytearray(whole)
    broken[60] ^= 1
    for content, said in (
        (b"GIF89a", "no PNG"), (whole[:60], "damaged|cut off"), (bytes(broken), "damaged"), (whole[:33], "cut off"),
        (png(noise(6, 7), interlaced=True), "interlaced"),
    ):  # fmt: skip
        with pytest.raises(NotPng, match=said):
            decode(content)


def test_a_picture_is_resized_and_scaled_as_the_model_was_trained(tmp_path: Path):
    pixels = noise(8, 8)
    (tmp_path / "a.png").write_bytes(png(pixels))
    asked = Preprocessing(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    samples = read_calibration(tmp_path / "a.png", PICTURE, None, asked)
    wanted = (pixels / 255 - np.array(asked.mean)) / np.array(asked.std)
    np.testing.assert_allclose(samples.feeds[0]["x"][0], wanted.transpose(2, 0, 1), atol=1e-5)
    assert samples.pictures == "scale=0.00392157 mean=0.485,0.456,0.406 std=0.229,0.224,0.225 channels=rgb size=model"
    [feed] = read_calibration(tmp_path / "a.png", PICTURE, None, Preprocessing(scale=1, bgr=True)).feeds
    np.testing.assert_array_equal(feed["x"][0], pixels[:, :, ::-1].transpose(2, 0, 1))
    last = [Port("x", "uint8", [1, None, None, 3])]
    [feed] = read_calibration(tmp_path / "a.png", last, None, Preprocessing(size=(4, 6))).feeds
    assert feed["x"].shape == (1, 4, 6, 3) and feed["x"].dtype == np.uint8
    np.testing.assert_allclose(feed["x"][0], resized(pixels.astype(np.float32), 4, 6), atol=0.51)
    [feed] = read_calibration(tmp_path / "a.png", [Port("x", "float", [1, 1, 8, 8])], None, PLAIN).feeds
    np.testing.assert_allclose(feed["x"][0, 0], pixels @ [0.299, 0.587, 0.114], atol=1e-3)


def test_a_smaller_picture_is_a_mean_of_what_it_covers_and_a_flat_one_stays_flat():
    wide = np.zeros((4, 8, 1), np.float32)
    wide[:, 4:] = 100
    np.testing.assert_allclose(resized(wide, 4, 2)[:, :, 0], [[100 / 7, 600 / 7]] * 4, rtol=1e-5)
    for size in ((3, 5), (40, 9)):
        np.testing.assert_allclose(resized(np.full((13, 11, 3), 7, np.float32), *size), 7, rtol=1e-6)


def test_a_folder_and_a_zip_of_it_give_the_same_samples_in_the_order_of_their_names(tmp_path: Path):
    folder = tmp_path / "set"
    (folder / "deeper").mkdir(parents=True)
    pixels, arrays = noise(8, 8), np.random.default_rng(1).random((2, 3, 8, 8), np.float32)
    (folder / "b.png").write_bytes(png(pixels))
    np.savez(folder / "a.npz", x=arrays)
    (folder / "deeper" / "c.jsonl").write_text(json.dumps({"x": arrays[1].tolist()}) + "\n")
    (folder / "README.txt").write_text("not a sample")
    (folder / ".hidden.png").write_text("not a sample")
    shutil.make_archive(str(folder), "zip", folder)
    wanted = [arrays[0], arrays[1], pixels.transpose(2, 0, 1), arrays[1]]
    for path in (folder, tmp_path / "set.zip"):
        samples = read_calibration(path, PICTURE, None, PLAIN)
        assert samples.origin == f"{path.name} (4 rows)" and samples.labels is None
        for feed, value in zip(samples.feeds, wanted, strict=True):
            np.testing.assert_allclose(feed["x"], value[None], rtol=1e-6)
        assert [one["x"].shape for one in samples.feeds[::2]] == [(1, 3, 8, 8)] * 2


def test_what_does_not_fit_in_memory_is_read_again_when_it_is_asked_for(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(feeds, "KEPT", 2 * 3 * 8 * 8 * 4)
    pictures = [noise(8, 8, 3) for _ in range(5)]
    for number, pixels in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(png(pixels + np.uint8(number)))
    samples = read_calibration(tmp_path, PICTURE, None, PLAIN)
    for _ in range(2):
        for number, feed in enumerate(samples.feeds):
            np.testing.assert_array_equal(feed["x"][0], (pictures[number] + np.uint8(number)).transpose(2, 0, 1))
    assert len(samples.feeds._kept) == 2


def test_a_model_with_a_fixed_batch_gets_that_many_rows_at_once(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.arange(22).reshape(11, 2))
    found = read_calibration(tmp_path / "a.npz", [Port("x", "float", [4, 2])], None).feeds
    assert [feed["x"].shape for feed in found] == [(4, 2)] * 2 and found[1]["x"][0, 0] == 8
    said = refusal(tmp_path / "a.npz", [Port("x", "float", [16, 2])])
    assert said == "a.npz has 11 rows, and the model takes 16 at once."


def test_samples_that_do_not_fit_the_model_are_named_with_both_shapes(tmp_path: Path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 9, 8), np.float32), words=np.array(["a"]))
    path = tmp_path / "a.npz"
    assert refusal(path, PICTURE) == "x in a.npz has the shape 2 x 3 x 9 x 8, and the model takes n x 3 x 8 x 8."
    assert refusal(path, [Port("z", "float", [1])]) == "a.npz has no array for the input z."
    assert "words in a.npz holds no numbers" in refusal(path, [Port("words", "float", ["n"])])
    (tmp_path / "a.png").write_bytes(png(noise(8, 8)))
    two = [*PICTURE, Port("y", "float", ["n"])]
    assert "one input of four axes" in refusal(tmp_path / "a.png", two)
    assert "leaves its size open" in refusal(tmp_path / "a.png", [Port("x", "float", [1, 3, "h", "w"])])
    assert "2 values of std" in refusal(tmp_path / "a.png", PICTURE, preprocessing=Preprocessing(std=(1.0, 2.0)))
    (tmp_path / "b.png").write_bytes(png(noise(8, 8))[:70])
    assert refusal(tmp_path / "b.png", PICTURE).startswith("b.png is")
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty", PICTURE) == "empty holds no samples."
    assert "There is no file" in refusal(tmp_path / "nowhere", PICTURE)
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("a.npz", b"PK\x03\x04 no archive")
    assert "a.npz cannot be read" in refusal(tmp_path / "bad.zip", PICTURE)
    (tmp_path / "a.jsonl").write_text('{"x": [[1, 2], [3]]}\n')
    assert "Row 1 of a.jsonl" in refusal(tmp_path / "a.jsonl", PICTURE)


RECURRENT = [Port("x", "float", ["n", 512]), Port("state", "float", [2, None, 128]), Port("rate", "int64", [])]


def test_one_npz_may_be_one_sample_whose_arrays_have_the_inputs_own_shapes(tmp_path: Path):
    for number in range(2):
        state = np.full((2, 1, 128), number, np.float32)
        np.savez(tmp_path / f"{number}.npz", x=np.ones((1, 512), np.float32), state=state, rate=16000)
    feeds = read_calibration(tmp_path, RECURRENT, None).feeds
    assert [feed["state"][1, 0, 5] for feed in feeds] == [0, 1]
    assert [feed[name].shape for feed in feeds for name in ("x", "state", "rate")] == [(1, 512), (2, 1, 128), ()] * 2
    np.savez(tmp_path / "0.npz", x=np.ones((1, 512), np.float32), state=np.ones((3, 1, 128), np.float32), rate=16000)
    with pytest.raises(QuantizationRefused, match="different numbers of rows"):
        read_calibration(tmp_path, RECURRENT, None)


def test_an_input_that_is_a_number_has_one_for_each_row_or_one_for_all(tmp_path: Path):
    ports = [Port("x", "float", ["n", 4]), Port("rate", "int64", [])]
    for rates, wanted in ((np.array([8, 16, 32]), [8, 16, 32]), (np.array(7), [7, 7, 7])):
        np.savez(tmp_path / "rows.npz", x=np.ones((3, 4), np.float32), rate=rates)
        feeds = read_calibration(tmp_path / "rows.npz", ports, None).feeds
        assert [(feed["rate"].shape, int(feed["rate"])) for feed in feeds] == [((), rate) for rate in wanted]
