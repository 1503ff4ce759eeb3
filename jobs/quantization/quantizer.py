"""`quantize`: one ONNX model in, a smaller one out, with what that did to its answers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import onnx

from jobs.conversion.checks import inspect, opset_of
from jobs.conversion.files import refuse_no_file, sha256_of
from jobs.conversion.skeleton import read_skeleton
from jobs.quantization.blocks import SIZES, BlockKernel
from jobs.quantization.budget import Found, Search, refuse_nonsense
from jobs.quantization.calibration.ranges import Calibration, calibrated
from jobs.quantization.calibration.reading import read_calibration
from jobs.quantization.calibration.told import told
from jobs.quantization.choice import SMALLEST, Chosen, choose
from jobs.quantization.errors import QuantizationRefused
from jobs.quantization.fourbit import FORMS as FOUR_BIT_FORMS
from jobs.quantization.fourbit import FourBit
from jobs.quantization.hidden import drop_hidden
from jobs.quantization.journal import KEPT, Journal, asked_of
from jobs.quantization.kept import Kept
from jobs.quantization.kernel import NotFinite, Result
from jobs.quantization.measure import Agreement, Latency, Unloadable, peak_memory
from jobs.quantization.meter import Meter
from jobs.quantization.methods import METHODS, refuse_method
from jobs.quantization.methods.fitted import Fitted
from jobs.quantization.methods.kernels import kernel_for
from jobs.quantization.opsets import refuse_old
from jobs.quantization.options import Options
from jobs.quantization.origin import Origin
from jobs.quantization.output import Output, put_in_place
from jobs.quantization.precision import NONE, Raised
from jobs.quantization.qdq import FORMS as STATIC_FORMS
from jobs.quantization.qdq import SMALLEST as SMALLEST_STATIC
from jobs.quantization.qdq import Static, refuse_static
from jobs.quantization.report import (
    Report,
    groups_of,
    hashes_of,
    layers_of,
    parameters_of,
    ratio,
    remainders_of,
    versions,
)
from jobs.quantization.rewrite import FORMS, SCHEMES, Rewriter
from jobs.quantization.samples import Samples, made_up
from jobs.quantization.validity import check, refuse_invalid
from jobs.quantization.written import Written

Progress = Callable[[float, str], None]
WHENS = ("before", "after")
DEFAULTS = Options()
# Scales are written when they are made; kept, they would grow with the model.
NO_SCALES = np.empty(0, np.float32)
# What is multiplied in integers.
PRODUCTS = {"int8-dynamic": ("MatMul", "Gemm"), "int8-static": ("MatMul", "Gemm", "Conv")}
FORMS_OF = {"int4": FOUR_BIT_FORMS, "int8-static": STATIC_FORMS}


def quantize(
    source: Path | Origin, destination: Path, scheme: str, options: Options = DEFAULTS, progress: Progress | None = None
) -> Report:
    """Quantizes the ONNX model `source`, or what an `Origin` makes of another, to `destination`.

    `progress` gets a share from 0 to 1 and a line. `source` is never written to; `destination` is there whole or not at
    all. Raises ConversionRefused.
    """
    return Quantization(source, destination, scheme, options, progress).run()


class Quantization:
    """One quantization from its checks to its report."""

    def __init__(
        self, source: Path | Origin, destination: Path, scheme: str, options: Options, progress: Progress | None
    ) -> None:
        self.started = time.monotonic()
        self.origin = source if isinstance(source, Origin) else Origin(source)
        self.source = self.origin.model
        self.destination = destination
        self.scheme = scheme
        self.options = options
        self.forms = FORMS_OF.get(scheme, FORMS)
        self.form = options.form or self.forms[0]
        self.tell = progress or (lambda share, line: None)
        self.threads = options.threads or max(1, min(16, _cores()))
        self.warnings: list[str] = []
        self.calibration: Calibration | None = None
        self.kept: Kept | None = None

    def run(self) -> Report:
        calibration, profile = self.options.calibration, self.options.profile
        asked = (
            ("scheme", self.scheme, SCHEMES),
            ("form", self.form, self.forms),
            ("block", self.options.block, SIZES),
            ("method", self.options.method, METHODS),
        )
        for what, given, known in asked:
            if given not in known:
                raise QuantizationRefused(
                    "scheme-unknown", f"There is no {what} {given!r}.", f"Choose {' or '.join(map(str, known))}."
                )
        refuse_method(self.options, self.scheme)
        refuse_nonsense(self.options.budget, measure=self.options.measure)
        model = read_skeleton(self.source)
        self.opset = opset_of(model)
        for name in drop_hidden(model.graph):
            self.warnings.append(f"{name} is stored more than once; what ONNX Runtime reads of it was taken.")
        refuse_invalid(model, self.source.name)
        refuse_old(self.source.name, self.opset, self.scheme, self.form)
        if self.scheme == "int8-static":
            refuse_static(self.source.name, self.opset, self.options)
        inputs = inspect(self.source).inputs
        if calibration:
            samples = read_calibration(calibration, inputs, profile, self.options.pictures)
        else:
            samples = made_up(model, inputs)
        folder = self.destination.with_name(f"{self.destination.name}.part")
        try:
            self._refuse_overwriting(model, profile, calibration)
            order = asked_of(self.files, self.scheme, self.form, self.options, versions(), self.origin.mark)
            with closing(Journal(folder, order)) as self.journal:
                return self._into(folder, model, samples)
        except OSError as error:
            raise QuantizationRefused(
                "not-writable",
                f"{self.destination} cannot be written: {error.strerror or error}.",
                "Check the folder, its rights and the free space.",
            ) from error

    def _refuse_overwriting(self, model: onnx.ModelProto, *others: Path | None) -> None:
        self.files = self.origin.files(model)
        refuse_no_file(self.destination)
        targets = (self.destination, _beside(self.destination))
        for path in (*self.files, *(other for other in others if other)):
            if any(path.resolve() == target.resolve() or _same(path, target) for target in targets):
                raise QuantizationRefused(
                    "output-is-input", f"{self.destination} would overwrite {path.name}.", "Name another output."
                )

    def _into(self, folder: Path, model: onnx.ModelProto, samples: Samples) -> Report:
        if self.scheme == "int8-static":
            self.calibration = self._calibrate(folder, model, samples)
        written = self._write(folder, model, samples)
        for name in sorted(self.journal.not_finite):
            self.warnings.append(f"{name} holds NaN or infinity and was left as it is.")
        before = self.origin.bytes(model)
        peak = peak_memory() >> 20
        line = f"{before} -> {written.output.bytes} bytes, {ratio(before, written.output.bytes)} x smaller"
        self.tell(0.7, f"{line}, in {written.seconds:.1f} s")
        check(written.output, self.source.name)
        if self.options.measure and self.options.calibration is None:
            samples = self.origin.tried(model, samples)
        agreement, latency = self._measure(written, samples)
        budget, sensitivity, first = None, {}, written
        if self.options.budget is not None:
            scheme = (written, agreement)
            found = self._search(self.options.budget, folder, model, samples, scheme)
            if found.raised:
                written = self._write(folder, model, samples, found.raised)
                check(written.output, self.source.name)
                agreement, latency = self._measure(written, samples)
            budget, sensitivity = found.told(self.options.budget, scheme, (written, agreement)), found.sensitivity
            self.warnings += budget.doubts(generated=self.options.calibration is None, rows=agreement.rows)
        self.warnings += written.doubts(self.scheme)
        self.warnings += self.origin.doubts() if agreement.measured else []
        fitted = Fitted.by(self.options, samples)
        if fitted:
            self.warnings += fitted.doubts(self.journal.unfit, measured=agreement.rows)
        output, after = written.output, written.output.bytes
        self.tell(0.95, "hashing")
        layers = layers_of(written.weights, written.bytes_of, sensitivity, self.options.method, self.journal.unfit)
        weights_before, weights_after = (sum(getattr(layer, f"bytes_{when}") for layer in layers) for when in WHENS)
        report = Report(
            scheme=self.scheme,
            form=self.form,
            source=self.origin.told,
            destination=str(self.destination),
            bytes_before=before,
            bytes_after=after,
            ratio=ratio(before, after),
            weights_bytes_before=weights_before,
            weights_bytes_after=weights_after,
            weights_ratio=ratio(weights_before, weights_after),
            opset=self.opset,
            tensors_quantized=len(layers),
            tensors_left=len(written.left),
            groups=groups_of(layers),
            left=remainders_of(written.left),
            layers=layers,
            integer_products=written.integer_products,
            calibration=told(self.calibration, samples),
            agreement=agreement,
            budget=budget,
            fitted=fitted,
            latency=latency,
            source_sha256={path.name: sha256_of(path) for path in self.files},
            sha256=sha256_of(output.path),
            external_data=None if output.inline else output.data.name,
            external_sha256=None if output.inline else sha256_of(output.data),
            parameters=parameters_of(self.options),
            samples_sha256=hashes_of(self.options.calibration, self.options.profile),
            seconds=round(time.monotonic() - self.started, 3),
            quantize_seconds=round(first.seconds, 3),
            gb_per_s=round((before - first.resumed) / first.seconds / 1e9, 3),
            bytes_resumed=first.resumed,
            threads=self.threads,
            peak_rss_mb=peak,
            warnings=self.warnings,
            versions=versions(),
        )
        put_in_place(output.path, self.destination, _beside)
        self.tell(1.0, f"wrote {self.destination.name}")
        return report

    def _rewriter(self, model: onnx.ModelProto, chosen: dict[str, Chosen]) -> Rewriter:
        if self.scheme == "int4":
            block, zero_points = self.options.block, self.options.zero_points
            return FourBit(model, chosen, self.scheme, self.opset, self.form, block=block, zero_points=zero_points)
        if self.scheme == "int8-static":
            ranges = self.calibration.ranges if self.calibration else {}
            reduced = self.options.reduce_range
            return Static(
                model,
                chosen,
                self.scheme,
                self.opset,
                self.form,
                source=self.source,
                ranges=ranges,
                reduce_range=reduced,
            )
        return Rewriter(model, chosen, self.scheme, self.opset, self.form)

    def _calibrate(self, folder: Path, model: onnx.ModelProto, samples: Samples) -> Calibration:
        """The ranges of the activations, from the journal where a run that was killed had found them.

        Raises QuantizationRefused (`disk-full`) before, where not even the weights would find room.
        """
        work = onnx.ModelProto()
        work.CopyFrom(model)
        chosen, _ = choose(work, self.source, self.journal.not_finite, smallest=SMALLEST_STATIC)
        rewriter = Static(work, {weight.name: weight for weight in chosen}, self.scheme, self.opset, source=self.source)
        wanted = rewriter.wanted()
        planned = rewriter.run()
        Output(folder, self.destination.name, work, self.source, planned, self.options.inline_limit).refuse_full()
        found = calibrated(
            self.journal,
            self.source,
            wanted,
            samples,
            self.options,
            lambda s, line: self.tell(0.05 * s, line),
        )
        self.warnings += found.doubts()
        return found

    def _search(
        self, asked: float, folder: Path, model: onnx.ModelProto, samples: Samples, scheme: tuple[Written, Agreement]
    ) -> Found:
        """Which weights stay above the scheme; every trial is written to the folder in the place of the last."""
        written, agreement = scheme

        def trial(raised: Raised) -> Path:
            self.kept = self.kept or Kept(written, folder / KEPT)
            return self._write(folder, model, samples, raised, quiet=True).output.path

        search = Search(
            asked,
            self.source,
            samples,
            trial,
            lambda share, line: self.tell(0.7 + 0.2 * share, line),
        )
        names = [weight.name for weight, _ in written.weights]
        low = frozenset(weight.name for weight, _ in written.weights if self._below_int8(weight))
        with self._running():
            return search.run(agreement, names, low)

    def _below_int8(self, weight: Chosen) -> bool:
        return weight.blocks is not None or weight.kind in PRODUCTS.get(self.scheme, ())

    def _write(
        self, folder: Path, model: onnx.ModelProto, samples: Samples, raised: Raised = NONE, *, quiet: bool = False
    ) -> Written:
        """Fills the folder, with what is in it already if that was begun for the same."""
        while True:
            try:
                tell: Progress = (lambda share, line: None) if quiet else self.tell
                return self._write_once(folder, model, samples, raised, tell)
            except NotFinite as found:
                # Seen only when it is read. Rare: a mask of -inf that is looked up as a table, or a broken export.
                self.journal.found_not_finite(found.name)

    def _write_once(
        self, folder: Path, model: onnx.ModelProto, samples: Samples, raised: Raised, tell: Progress
    ) -> Written:
        began = time.monotonic()
        work = onnx.ModelProto()
        work.CopyFrom(model)
        smallest = SMALLEST_STATIC if self.scheme == "int8-static" else SMALLEST
        chosen, left = choose(work, self.source, self.journal.not_finite, raised, smallest)
        if not chosen:
            done_before = any(one.reason == "already quantized" for one in left)
            raise QuantizationRefused(
                "nothing-to-quantize",
                f"{self.source.name} has no weight that {self.scheme} covers"
                + (": it is quantized already." if done_before else "."),
                "Give a model with MatMul, Gemm, Conv or Gather weights in float32, float16 or bfloat16.",
            )
        rewriter = self._rewriter(work, {weight.name: weight for weight in chosen})
        planned = rewriter.run()
        left = [one for one in left if one.name not in rewriter.replaced]
        self.folds = any(node.op_type == "DequantizeLinear" for node in work.graph.node) and not any(
            node.op_type == "QuantizeLinear" for node in work.graph.node
        )
        output = Output(folder, self.destination.name, work, self.source, planned, self.options.inline_limit)
        copies = output.copies()
        finished = self.journal.begin(output.layout, output.data, output.data_bytes)
        places = {plan.weight.name: output.pieces[plan.name].offset for plan in planned if plan.role == "values"}
        resumed = sum(weight.bytes for weight in chosen if places[weight.name] in finished)
        resumed += sum(piece.length for piece, _ in copies if piece.offset in finished)
        total = sum(weight.bytes for weight in chosen) + sum(piece.length for piece, _ in copies) - resumed
        meter = Meter(total, tell, 0.05, 0.7)
        done: list[tuple[Chosen, Result]] = []
        if self.kept:
            # Whatever the method makes is there already.
            kernel, order = BlockKernel(self.threads), chosen
        else:
            kernel, order = kernel_for(
                self.options, self.threads, self.source, samples, rewriter, self.journal, meter.say
            )
        with output.opened() as file, kernel:
            # What is refused for want of room is one line, and no progress before it.
            tell(0.05, f"{len(chosen)} weights to {self.scheme}, {len(left)} left, {output.bytes} bytes to write")
            if finished:
                tell(0.05, f"goes on where it was killed: {resumed} bytes are done")
            self.journal.follow(file)
            for weight in order:
                at = places[weight.name]
                if at in finished:
                    done.append((weight, Result(NO_SCALES, finished[at])))
                    continue
                mine = [plan for plan in planned if plan.weight is weight]
                if self.kept and weight.blocks:
                    snr_db = self.kept.copy(weight, mine, output, file, kernel)
                else:
                    with self.origin.holding(weight.name):
                        result = kernel.quantize(weight, file, at, meter.add)
                    output.fill(file, mine, result)
                    snr_db = result.snr_db
                done.append((weight, Result(NO_SCALES, snr_db)))
                self.journal.finished(at, snr_db)
            for piece, extent in copies:
                if piece.offset not in finished:
                    with self.origin.holding(piece.name):
                        kernel.copy(str(extent.path), extent.offset, extent.length, file, piece.offset, meter.add)
                    self.journal.finished(piece.offset, 0.0)
        numbers = {weight.name: number for number, weight in enumerate(chosen)}
        done.sort(key=lambda pair: numbers[pair[0].name])
        return Written(done, left, planned, output, rewriter.integer_products, time.monotonic() - began, resumed)

    def _measure(self, written: Written, samples: Samples) -> tuple[Agreement, Latency | None]:
        if not self.options.measure:
            return Agreement(False, "not measured: not asked for"), None
        self.tell(0.75, f"comparing on {samples.origin}")
        with self._running():
            return self.origin.compare(written, samples, lambda line: self.tell(0.85, line), folds=self.folds)

    @contextmanager
    def _running(self) -> Iterator[None]:
        try:
            yield
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
