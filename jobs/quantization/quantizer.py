"""`quantize`: one ONNX model in, a smaller one out, with what that did to its answers."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from jobs.conversion.checks import inspect, opset_of
from jobs.conversion.files import sha256_of
from jobs.conversion.graph import INLINE_LIMIT
from jobs.conversion.skeleton import extent_of, read_skeleton, tensors_of
from jobs.quantization.choice import Chosen, choose
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.kernel import Kernel, NotFinite, Result, write_all
from jobs.quantization.measure import Agreement, Latency, Unloadable, compare, peak_memory
from jobs.quantization.meter import Meter
from jobs.quantization.output import Output, put_in_place
from jobs.quantization.report import Remainder, Report, groups_of, layers_of, ratio, remainders_of
from jobs.quantization.rewrite import FORMS, SCHEMES, Planned, Rewriter
from jobs.quantization.samples import Samples, made_up, read_calibration

Progress = Callable[[float, str], None]
# DynamicQuantizeLinear came with it.
DYNAMIC_OPSET = 11
WHENS = ("before", "after")


def quantize(
    source: Path,
    destination: Path,
    scheme: str,
    calibration: Path | None = None,
    progress: Progress | None = None,
    *,
    profile: Path | None = None,
    threads: int = 0,
    inline_limit: int = INLINE_LIMIT,
    measure: bool = True,
    form: str = "plain",
) -> Report:
    """Quantizes the ONNX model `source` to `destination`; weights over `inline_limit` bytes go beside it.

    `calibration` is a .jsonl of texts (then `profile` says how they are tokenized) or an .npz of inputs; both models
    are compared on it, or on made-up inputs without it. `progress` gets a share from 0 to 1 and a line. `threads` is 0
    for one a core. `form` is how an int8 weight becomes float again: `plain` for atc and every runtime, `dequantize`
    for runtimes that look for DequantizeLinear. `source` is never written to; `destination` is there whole or not at
    all. Raises ConversionRefused.
    """
    work = Quantization(source, destination, scheme, form, progress, threads, inline_limit)
    return work.run(calibration, profile, measure)


class Quantization:
    """One quantization from its checks to its report."""

    def __init__(
        self,
        source: Path,
        destination: Path,
        scheme: str,
        form: str,
        progress: Progress | None,
        threads: int,
        inline_limit: int,
    ) -> None:
        self.started = time.monotonic()
        self.source = source
        self.destination = destination
        self.scheme = scheme
        self.form = form
        self.tell = progress or (lambda share, line: None)
        self.threads = threads or max(1, min(16, _cores()))
        self.inline_limit = inline_limit
        self.warnings: list[str] = []

    def run(self, calibration: Path | None, profile: Path | None, measure: bool) -> Report:
        for what, given, known in (("scheme", self.scheme, SCHEMES), ("form", self.form, FORMS)):
            if given not in known:
                raise QuantizationRefused(
                    "scheme-unknown", f"There is no {what} {given!r}.", f"Choose {' or '.join(known)}."
                )
        model = read_skeleton(self.source)
        self.opset = opset_of(model)
        if self.scheme == "int8-dynamic" and self.opset < DYNAMIC_OPSET:
            raise QuantizationRefused(
                "opset-too-old",
                f"{self.source.name} is opset {self.opset}; int8-dynamic needs operators of opset {DYNAMIC_OPSET}.",
                "Take int8-weight, which any opset has, or export the model with opset 13.",
            )
        self._refuse_overwriting(model, profile, calibration)
        inputs = inspect(self.source).inputs
        samples = read_calibration(calibration, inputs, profile) if calibration else made_up(model, inputs)
        folder = self.destination.with_name(f"{self.destination.name}.part")
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            return self._into(folder, model, samples, measure)
        except OSError as error:
            raise QuantizationRefused(
                "not-writable",
                f"{self.destination} cannot be written: {error.strerror or error}.",
                "Check the folder, its rights and the free space.",
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _refuse_overwriting(self, model: onnx.ModelProto, *others: Path | None) -> None:
        self.files = sorted(
            {self.source} | {extent.path for tensor in tensors_of(model) if (extent := extent_of(tensor, self.source))}
        )
        targets = (self.destination, _beside(self.destination))
        for path in (*self.files, *(other for other in others if other)):
            if any(path.resolve() == target.resolve() or _same(path, target) for target in targets):
                raise QuantizationRefused(
                    "output-is-input", f"{self.destination} would overwrite {path.name}.", "Name another output."
                )

    def _into(self, folder: Path, model: onnx.ModelProto, samples: Samples, measure: bool) -> Report:
        began = time.monotonic()
        without: frozenset[str] = frozenset()
        while True:
            try:
                done, left, planned, output, products = self._write(folder, model, without)
                break
            except NotFinite as found:
                # Seen only when it is read. Rare: a mask of -inf that is looked up as a table, or a broken export.
                self.warnings.append(f"{found.name} holds NaN or infinity and was left as it is.")
                without |= {found.name}
                for path in folder.iterdir():
                    path.unlink()
        spent = time.monotonic() - began
        before, after = sum(path.stat().st_size for path in self.files), output.bytes
        peak = peak_memory() >> 20
        self.tell(0.7, f"{before} -> {after} bytes, {ratio(before, after)} x smaller, in {spent:.1f} s")
        self._check(output, folder)
        agreement, latency = self._measure(output, samples, measure)
        self.tell(0.95, "hashing")
        layers = layers_of(
            [
                (weight, result, sum(plan.bytes for plan in planned if plan.weight is weight), _type(weight))
                for weight, result in done
            ]
        )
        weights_before, weights_after = (sum(getattr(layer, f"bytes_{when}") for layer in layers) for when in WHENS)
        report = Report(
            scheme=self.scheme,
            form=self.form,
            source=str(self.source),
            destination=str(self.destination),
            bytes_before=before,
            bytes_after=after,
            ratio=ratio(before, after),
            weights_bytes_before=weights_before,
            weights_bytes_after=weights_after,
            weights_ratio=ratio(weights_before, weights_after),
            opset=self.opset,
            tensors_quantized=len(layers),
            tensors_left=sum(group.tensors for group in left),
            groups=groups_of(layers),
            left=left,
            layers=layers,
            integer_products=products,
            agreement=agreement,
            latency=latency,
            source_sha256={path.name: sha256_of(path) for path in self.files},
            sha256=sha256_of(output.path),
            external_data=None if output.inline else output.data.name,
            external_sha256=None if output.inline else sha256_of(output.data),
            seconds=round(time.monotonic() - self.started, 3),
            quantize_seconds=round(spent, 3),
            gb_per_s=round(before / spent / 1e9, 3),
            threads=self.threads,
            peak_rss_mb=peak,
            warnings=self.warnings,
            versions={
                "onnx": onnx.__version__,
                "onnxruntime": onnxruntime.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        )
        put_in_place(output.path, self.destination, _beside)
        self.tell(1.0, f"wrote {self.destination.name}")
        return report

    def _write(
        self, folder: Path, model: onnx.ModelProto, without: frozenset[str]
    ) -> tuple[list[tuple[Chosen, Result]], list[Remainder], list[Planned], Output, int]:
        work = onnx.ModelProto()
        work.CopyFrom(model)
        chosen, left = choose(work, self.source, without)
        if not chosen:
            done_before = any(one.reason == "already quantized" for one in left)
            raise QuantizationRefused(
                "nothing-to-quantize",
                f"{self.source.name} has no weight that {self.scheme} covers"
                + (": it is quantized already." if done_before else "."),
                "Give a model with MatMul, Gemm, Conv or Gather weights in float32, float16 or bfloat16.",
            )
        rewriter = Rewriter(work, {weight.name: weight for weight in chosen}, self.scheme, self.opset, self.form)
        planned = rewriter.run()
        work.metadata_props.add(key="quantization", value=self.scheme)
        self.folds = any(node.op_type == "DequantizeLinear" for node in work.graph.node) and not any(
            node.op_type == "QuantizeLinear" for node in work.graph.node
        )
        output = Output(folder, self.destination.name, work, self.source, planned, self.inline_limit)
        copies = output.copies()
        self.tell(0.05, f"{len(chosen)} weights to {self.scheme}, {len(left)} left, {output.bytes} bytes to write")
        total = sum(weight.bytes for weight in chosen) + sum(piece.length for piece, _ in copies)
        meter = Meter(total, self.tell, 0.05, 0.7)
        done: list[tuple[Chosen, Result]] = []
        with output.opened() as file, Kernel(self.threads) as kernel:
            for weight in chosen:
                mine = [plan for plan in planned if plan.weight is weight]
                at = next(output.pieces[plan.name].offset for plan in mine if not plan.is_scale)
                result = kernel.quantize(weight, file, at, meter.add)
                for plan in mine:
                    if plan.is_scale:
                        write_all(file, result.scales.data.cast("B"), output.pieces[plan.name].offset)
                done.append((weight, result))
            for piece, extent in copies:
                kernel.copy(str(extent.path), extent.offset, extent.length, file, piece.offset, meter.add)
        return done, remainders_of(left), planned, output, rewriter.integer_products

    def _check(self, output: Output, folder: Path) -> None:
        """onnx.checker on the result; its weights, which it does not look at, are left out of memory."""
        path = output.path
        try:
            if output.inline:
                path = folder / "skeleton.onnx"
                path.write_bytes(read_skeleton(output.path).SerializeToString())
            onnx.checker.check_model(str(path))
        except onnx.checker.ValidationError as error:
            reason = " ".join(str(error).split())[:300]
            try:
                onnx.checker.check_model(str(self.source))
            # Whatever the checker cannot take, this source included, was so before.
            except Exception:
                raise QuantizationRefused(
                    "model-invalid", f"{self.source.name} is not valid ONNX: {reason}", "Export the model again."
                ) from error
            raise QuantizationRefused(
                "result-invalid", f"What was made of {self.source.name} is not valid ONNX: {reason}", "Report this."
            ) from error
        finally:
            if path is not output.path:
                path.unlink(missing_ok=True)

    def _measure(self, output: Output, samples: Samples, measure: bool) -> tuple[Agreement, Latency | None]:
        if not measure:
            return Agreement(False, "not measured: not asked for"), None
        self.tell(0.75, f"comparing on {samples.origin}")
        try:
            return compare(self.source, output.path, samples, lambda line: self.tell(0.85, line), folds=self.folds)
        except Unloadable as error:
            raise QuantizationRefused(
                "result-invalid",
                f"ONNX Runtime runs {self.source.name} and does not run what was made of it: {error}",
                "Report this, and take the other scheme meanwhile.",
            ) from error


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.data")


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _type(weight: Chosen) -> str:
    return str(onnx.TensorProto.DataType.Name(weight.tensor.data_type)).lower()
