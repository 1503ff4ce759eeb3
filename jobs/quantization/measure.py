"""How far a quantized model answers as its original does, and how fast: measured with ONNX Runtime on this CPU.

No figure from here says anything about an NPU.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from jobs.conversion.checks.inspection import inspected
from jobs.quantization.samples import FILLS, Samples, made_up

# Makes DequantizeLinear's weights float when the model is loaded. Without it ONNX Runtime keeps them in int8 and fuses
# them with MatMul (MatMulNBits), which is faster and quantizes activations as well.
FOLD = "session.disable_quant_qdq"
WARM, TIMED, PATIENCE_S = 3, 31, 5.0
# Original and result one after the other; ONNX Runtime holds the file's bytes and its own packed copy.
MEMORY_FACTOR = 3
# Implementer and part, as the kernel and lscpu have them.
ARM = {("0x48", "0xd01"): "Kunpeng-920"}

Outputs = list[NDArray[Any]]


@dataclass(frozen=True)
class Agreement:
    """Original against result. Shares from 0 to 1; None where a figure makes no sense for this model.

    `agreement` is how often the largest output is the same; cosine is over each row's outputs together.
    `accuracy_*` is the share of right answers, where the samples come with them.
    """

    measured: bool
    on: str
    rows: int = 0
    agreement: float | None = None
    cosine_mean: float | None = None
    cosine_min: float | None = None
    largest_difference: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one inference (the median) and seconds to load, with ONNX Runtime's own defaults.

    `processor` is the CPU's name. `folded_ms` is with `option`, where the model has DequantizeLinear on weights that
    the option folds.
    """

    on: str
    processor: str
    threads: int
    before_ms: float
    after_ms: float
    folded_ms: float | None
    load_before_s: float
    load_after_s: float
    option: str | None


class Unloadable(Exception):
    """ONNX Runtime does not load or run a model."""


class Session:
    """A model that ONNX Runtime has loaded. Raises Unloadable."""

    def __init__(self, path: Path, *, fold: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads()
        # Spinning threads would measure who else is on this machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if fold:
            options.add_session_config_entry(FOLD, "1")
        began = time.perf_counter()
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes share no base below Exception
            raise Unloadable(first_line(error)) from error
        self.load_seconds = time.perf_counter() - began

    def run(self, feed: dict[str, NDArray[Any]]) -> Outputs:
        try:
            outputs = self._session.run(None, feed)
        except Exception as error:
            raise Unloadable(first_line(error)) from error
        return [array for output in outputs for array in _arrays(output)]

    def milliseconds(self, feed: dict[str, NDArray[Any]]) -> float:
        """The median of a few runs on one row."""
        for _ in range(WARM):
            self.run(feed)
        times: list[float] = []
        while len(times) < TIMED and (len(times) < 3 or sum(times) < PATIENCE_S):
            began = time.perf_counter()
            self.run(feed)
            times.append(time.perf_counter() - began)
        return round(median(times) * 1000, 3)


def _arrays(output: Any) -> Outputs:
    """A sequence's tensors, and of a map (ZipMap: each class and its probability) the values as one row."""
    if isinstance(output, np.ndarray):
        return [output]
    if isinstance(output, dict):
        return [np.array([list(output.values())])]
    return [array for one in output for array in _arrays(one)] if isinstance(output, list) else []


def compare(
    original: Path, result: Path, samples: Samples, tell: Callable[[str], None], *, folds: bool
) -> tuple[Agreement, Latency | None]:
    """Runs both on the samples, one model in memory at a time.

    Raises Unloadable when the result does not run although the original does. An original that does not run itself
    (operators of another runtime, made-up inputs that do not fit) is told as not measured.
    """
    needed = MEMORY_FACTOR * max(_size(original), _size(result))
    free = available_memory()
    if free is not None and needed > free:
        return Agreement(False, f"not measured: needs about {needed >> 20} MiB of memory, {free >> 20} are free"), None
    try:
        before = Session(original, fold=False)
        wanted = [before.run(feed) for feed in samples.feeds]
        before_ms, load_before = before.milliseconds(samples.feeds[0]), before.load_seconds
        del before
    except Unloadable as error:
        return Agreement(False, f"not measured: ONNX Runtime does not run the original on this input ({error})"), None
    tell(f"original: {before_ms} ms on this CPU")
    after = Session(result, fold=False)
    got = [after.run(feed) for feed in samples.feeds]
    after_ms, load_after = after.milliseconds(samples.feeds[0]), after.load_seconds
    del after
    folded = Session(result, fold=True).milliseconds(samples.feeds[0]) if folds else None
    latency = Latency(
        on="CPU",
        processor=processor(),
        threads=threads(),
        before_ms=before_ms,
        after_ms=after_ms,
        folded_ms=folded,
        load_before_s=round(load_before, 3),
        load_after_s=round(load_after, 3),
        option=f"{FOLD}=1" if folds else None,
    )
    return agreement_of(wanted, got, samples), latency


def runnable(original: Path, model: onnx.ModelProto, samples: Samples) -> Samples:
    """Made-up inputs of the first sizes that ONNX Runtime runs the original on, where `model`, its graph, leaves sizes
    open; `samples` where it runs on none, or there is not the memory to try."""
    ports = inspected(model, original).inputs
    free = available_memory()
    if not any(port.free for port in ports) or (free is not None and MEMORY_FACTOR * _size(original) > free):
        return samples
    with suppress(Unloadable):
        session = Session(original, fold=False)
        for fill in FILLS:
            other = made_up(model, ports, fill)
            with suppress(Unloadable):
                session.run(other.feeds[0])
                return other
    return samples


def outputs_of(path: Path, feeds: Sequence[dict[str, NDArray[Any]]]) -> list[Outputs]:
    """What the model answers to each feed. Raises Unloadable."""
    session = Session(path, fold=False)
    return [session.run(feed) for feed in feeds]


@dataclass(frozen=True)
class Row:
    """One row of both models' outputs in figures: `before` and `after` are the answers; None where there is none."""

    cosine: float | None
    difference: float | None
    before: NDArray[np.int64] | None
    after: NDArray[np.int64] | None


def row_of(wanted: Outputs, got: Outputs) -> Row:
    """What is kept of one row's outputs, which may be large."""
    differences = [float(np.abs(a - b).max()) for a, b in _floats(wanted, got)]
    return Row(_cosine(wanted, got), max(differences, default=None), *_answers(wanted, got))


def agreement_of(wanted: list[Outputs], got: list[Outputs], samples: Samples) -> Agreement:
    """The figures over rows of outputs."""
    return summed([row_of(one, other) for one, other in zip(wanted, got, strict=True)], samples)


def summed(rows: Sequence[Row], samples: Samples) -> Agreement:
    """The figures over rows."""
    known = [row.cosine for row in rows if row.cosine is not None]
    differences = [row.difference for row in rows if row.difference is not None]
    pairs = [(row.before, row.after) for row in rows if row.before is not None and row.after is not None]
    right: dict[str, float] = {}
    if samples.labels is not None and len(pairs) == len(rows):
        for name, answers in (("before", [a for a, _ in pairs]), ("after", [b for _, b in pairs])):
            hits = [answer.ravel()[0] == label for answer, label in zip(answers, samples.labels, strict=True)]
            right[name] = round(float(np.mean(hits)), 4)
    return Agreement(
        measured=True,
        on=samples.origin,
        rows=len(rows),
        agreement=round(float(np.mean(np.concatenate([(a == b).ravel() for a, b in pairs]))), 4) if pairs else None,
        cosine_mean=round(float(np.mean(known)), 6) if known else None,
        cosine_min=round(float(np.min(known)), 6) if known else None,
        largest_difference=round(max(differences), 6) if differences else None,
        accuracy_before=right.get("before"),
        accuracy_after=right.get("after"),
    )


def _answers(wanted: Outputs, got: Outputs) -> tuple[NDArray[np.int64], NDArray[np.int64]] | tuple[None, None]:
    """The largest value's place in the first output that has classes, in both; None where none has.

    Where the original gives NaN there is no answer; where the other alone does, it is a wrong one.
    """
    for one, other in zip(wanted, got, strict=False):
        if one.shape != other.shape or not np.issubdtype(one.dtype, np.floating) or one.ndim < 2 or one.shape[-1] < 2:
            continue
        told = ~np.isnan(one).any(axis=-1)
        if told.any():
            lost = np.isnan(other).any(axis=-1)
            before, after = one.argmax(axis=-1), np.where(lost, -1, other.argmax(axis=-1))
            return (before, after) if told.all() else (before[told], after[told])
    return None, None


def _cosine(wanted: Outputs, got: Outputs) -> float | None:
    pairs = list(_floats(wanted, got))
    if not pairs:
        return None
    one, other = np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / size if size else float(not one.any() and not other.any())


def _floats(wanted: Outputs, got: Outputs) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The values of outputs that can be compared, side by side.

    A mask's infinity or a NaN that both have is no difference and no figure; what one alone has counts as 0.
    """
    # A sequence may be longer in one of both.
    for a, b in zip(wanted, got, strict=False):
        if a.shape != b.shape or not np.issubdtype(a.dtype, np.floating):
            continue
        one, other = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        known = np.isfinite(one) | np.isfinite(other)
        if known.any():
            yield _tamed(one[known]), _tamed(other[known])


def _tamed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, 0.0)


def threads() -> int:
    """Half of the cores, as the serving process takes them."""
    return max(1, min(4, len(os.sched_getaffinity(0)) // 2))


def processor() -> str:
    """The CPU's name; the kernel of an ARM server has numbers in its place."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    arm = ARM.get((told.get("CPU implementer", ""), told.get("CPU part", "")))
    return told.get("model name") or arm or platform.machine()


def peak_memory() -> int:
    """The most bytes that this process has had in memory; 0 where the kernel does not say.

    Not from getrusage: its figure survives exec, so that a child starts with its parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def available_memory() -> int | None:
    """Bytes that may be taken without swapping, as the kernel estimates it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _size(path: Path) -> int:
    """The model's bytes, with those beside it that a model of ours would have."""
    beside = path.with_name(f"{path.name}.data")
    return path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)


def first_line(error: Exception) -> str:
    """What ONNX Runtime said, in a line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
