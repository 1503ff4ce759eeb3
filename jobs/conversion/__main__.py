"""``python -m jobs.conversion CHECKPOINT OUT.onnx``: an encoder or a decoder becomes one ONNX, without torch; a program
of torch becomes one with it."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.conversion.checkpoint import opened_checkpoint
from jobs.conversion.commandline import Parser, carry_out, refuse_place, say, write_report
from jobs.conversion.decoders.config import is_decoder
from jobs.conversion.decoders.convert import PRECISIONS, PreparedDecoder
from jobs.conversion.decoders.mixture import FORMS
from jobs.conversion.encoder import PreparedEncoder
from jobs.conversion.errors import ConversionRefused
from jobs.conversion.files import sha256_of
from jobs.conversion.heads import OF_A_TEXT
from jobs.conversion.pickled.folder import unpickled
from jobs.conversion.pickled.load import looks_pickled
from jobs.conversion.profile import make_profile, read_tokenizer, write_profile
from jobs.conversion.programs.archive import find_program
from jobs.conversion.programs.ports import TYPES, read_ports
from jobs.conversion.writing import Prepared, write


def convert(given: Namespace) -> dict[str, Any]:
    """Converts what the checkpoint's config.json names; the report. Raises ConversionRefused."""
    inputs = {path.resolve() for path in (given.checkpoint, given.head, given.calibration) if path}
    outputs = [path.resolve() for path in (given.destination, given.profile, given.report) if path]
    if inputs & set(outputs) or len(outputs) != len(set(outputs)):
        raise ConversionRefused(
            "output-is-input", "An output would overwrite an input or the other output.", "Name another output."
        )
    with _place(given) as place:
        if found := find_program(place):
            return _program(*found, given)
        unfit = {"--input-shape": given.input_shape, "--input-type": given.input_type, "--opset": given.opset}
        _refuse_options("a checkpoint", unfit)
        folder, file = (place.parent, place) if place.is_file() else (place, None)
        # The model's folder with its weights as safetensors, and what the report says of how they came to be that.
        with unpickled(folder, given.destination, say, file) as (folder, loaded):
            return (_decoder(folder, given) if is_decoder(folder) else _encoder(folder, given)) | loaded


@contextmanager
def _place(given: Namespace) -> Iterator[Path]:
    """What torch saved as one file, else the model's folder."""
    if looks_pickled(given.checkpoint):
        yield given.checkpoint
        return
    with opened_checkpoint(given.checkpoint, given.destination.parent) as folder:
        yield folder


def _program(source: Path, kind: str, given: Namespace) -> dict[str, Any]:
    # Its answers are tried in ONNX Runtime, which converting a checkpoint does not need.
    from jobs.conversion.programs.load import to_onnx

    names = ("head", "profile", "precision", "positions", "experts", "quantize", "calibration", "report")
    _refuse_options(f"a program ({kind})", {f"--{name}": getattr(given, name) for name in names})
    if given.input_type and not given.input_shape:
        raise ConversionRefused("option-unfit", "--input-type is given without --input-shape.", "Give both.")
    ports = read_ports(given.input_shape, given.input_type or "") if given.input_shape else []
    return to_onnx(source, kind, given.destination, say, ports, given.opset).to_json()


def _decoder(folder: Path, given: Namespace) -> dict[str, Any]:
    _refuse_options("a decoder", {"--head": given.head, "--profile": given.profile})
    prepared = PreparedDecoder(
        folder, precision=given.precision or "float32", positions=given.positions, experts=given.experts
    )
    return _write(prepared, given)


def _encoder(folder: Path, given: Namespace) -> dict[str, Any]:
    unfit = {"--precision": given.precision, "--positions": given.positions, "--experts": given.experts}
    _refuse_options("an encoder", unfit)
    prepared, profile = PreparedEncoder(folder, head=given.head), given.profile
    if profile is None:
        return _write(prepared, given)
    # Whatever the profile lacks is said before the work, not after it.
    config, tokenizer = prepared.config, read_tokenizer(folder / "tokenizer.json")
    content = make_profile(
        given.name or given.destination.stem,
        list(prepared.task.labels) if prepared.task.name in OF_A_TEXT else [],
        given.max_length,
        config.longest,
        config.inputs,
        tokenizer,
    )
    with TemporaryDirectory() as place:
        # Texts that both models are compared on are read by it, before there is a result.
        made = Path(place) / profile.name
        write_profile(content, made)
        report = _write(prepared, given, made)
    write_profile(content, profile)
    return report | {"profile": str(profile), "profile_sha256": sha256_of(profile)}


def _write(prepared: Prepared, given: Namespace, profile: Path | None = None) -> dict[str, Any]:
    """The report, with what the quantization did under `quantization`."""
    started = time.monotonic()
    say(0.02, f"read the headers of {len(prepared.sources)} files: {prepared.bytes} bytes of weights as converted")
    if not given.quantize:
        unfit = {"--block": given.block, "--form": given.form, "--zero-points": given.zero_points or None}
        unfit |= {"--method": given.method, "--calibration": given.calibration, "--report": given.report}
        unfit["--no-measure"] = given.no_measure or None
        _refuse_options("a model that is not quantized (--quantize)", unfit)
        written = write(prepared, given.destination, say)
        return prepared.told(written, time.monotonic() - started).to_json()
    # Quantizing brings ONNX Runtime with it, which converting does not need.
    from jobs.quantization.onepass import quantize_checkpoint
    from jobs.quantization.options import Options
    from jobs.quantization.report import WORST

    options = Options(
        calibration=given.calibration,
        profile=profile if given.calibration else None,
        measure=not given.no_measure,
        form=given.form or "",
        block=given.block or Options.block,
        zero_points=given.zero_points,
        method=given.method or Options.method,
    )
    if given.report:
        refuse_place(given.report)
    written, report = quantize_checkpoint(
        prepared, str(given.checkpoint), given.destination, given.quantize, options, say
    )
    if given.report:
        write_report(given.report, report.to_json())
    return prepared.told(written, time.monotonic() - started).to_json() | {"quantization": report.to_json(WORST)}


def _refuse_options(model: str, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if value is not None:
            raise ConversionRefused("option-unfit", f"{option} is not for {model}, and this is one.", "Leave it out.")


def main() -> int:
    parser = Parser(prog="python -m jobs.conversion", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="model folder, a tar of it, or a file that torch saved")
    parser.add_argument("destination", type=Path, metavar="OUT.onnx")
    encoder = parser.add_argument_group("encoders (BERT, RoBERTa)")
    encoder.add_argument("--head", type=Path, help="npz with weight, bias and labels of a classifier of the vectors")
    encoder.add_argument("--profile", type=Path, help="where the profile for serving is written")
    encoder.add_argument("--name", default="", help="the model's name in the profile")
    encoder.add_argument("--max-length", type=int, default=64, help="tokens that the served model reads (64)")
    decoder = parser.add_argument_group("decoders (Llama, Qwen2, DeepSeek-V2)")
    decoder.add_argument("--precision", choices=sorted(PRECISIONS), help="of weights and cache (float32)")
    decoder.add_argument("--positions", type=int, help="the longest context (max_position_embeddings)")
    decoder.add_argument("--experts", choices=FORMS, help="a token sees those it is routed to (routed), or all of them")
    program = parser.add_argument_group("programs of torch (TorchScript, torch.export), where torch is installed")
    program.add_argument("--input-shape", help='TorchScript: "x:1,3,224,224;ids:1,-1", -1 for an open size')
    program.add_argument("--input-type", help=f'TorchScript: "ids:int64", of {", ".join(TYPES)} (float32)')
    program.add_argument("--opset", type=int, help="of the ONNX (TorchScript: 13, torch.export: 18)")
    quantized = parser.add_argument_group("quantized in the same pass")
    quantized.add_argument("--quantize", metavar="SCHEME", help="int8-weight, int8-dynamic or int4")
    quantized.add_argument("--block", type=int, help="int4: values to a scale (128)")
    quantized.add_argument("--zero-points", action="store_true", help="int4: blocks need not lie about 0")
    quantized.add_argument("--method", choices=("rtn", "hqq"), help="int4: nearest steps (rtn), or fitted ones")
    quantized.add_argument("--form", help="as python -m jobs.quantization has it")
    quantized.add_argument("--calibration", type=Path, help="texts (.jsonl) or inputs (.npz) to compare both models on")
    quantized.add_argument("--no-measure", action="store_true", help="do not run the models: no agreement, no latency")
    quantized.add_argument("--report", type=Path, metavar="FILE", help="the whole report of the quantization")
    parser.add_argument("--json", action="store_true", help="stdout is the report as JSON, progress goes to stderr")
    given = parser.parse_args()
    return carry_out(lambda: convert(given), as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
