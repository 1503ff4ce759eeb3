"""The format of a row: samples of a period, or the figures of one, as few bytes.

Columns are series: eight metrics an NPU, then the machine's vitals. Values are whole numbers of a fixed resolution,
laid out series by series and byte plane by byte plane, so that what hardly changes hardly takes room, then deflated
with the words that every row repeats as a preset dictionary. ``docs/decisions`` tells what was measured.
"""

from __future__ import annotations

import math
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.telemetry.rollups.records import HEALTH, METRICS, SILENT, Stat
from hardware.telemetry.samples import Sample

# The first byte of a row. What the words and the resolutions below are belongs to it.
VERSION = 1
STATES = ("ok", "no-driver", "stuck", "error", SILENT)
# Values a unit: percent to a hundredth, degrees and watts to a tenth.
RESOLUTION = {"aicore_percent": 100, "temp_c": 10, "power_w": 10, "hbm_used_percent": 100}
VITAL_RESOLUTION = 1000
_WORDS = (
    b"latency_spread_percent,latency_p95_ms,latency_ms,requests_per_s,requests_waiting,out_of_memory,max_batch,"
    b"preprocessing_workers,clock_skew_s,disk_used_percent,links_down,npus_listed,npus_on_bus,"
    b"clock_skew_s,disk_used_percent,links_down,npus_listed,npus_on_bus|0.0 1.0 2.0 3.0 4.0 5.0 6.0 7.0|"
)
_LOW, _HIGH = -(2**31) + 1, 2**31 - 2
MISSING = -(2**31)
_HEAD = struct.Struct("<HH")

Npu = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Which series there are, in which order."""

    npus: tuple[Npu, ...] = ()
    vitals: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        return len(self.npus) * len(METRICS) + len(self.vitals)

    @property
    def series(self) -> list[tuple[Npu | None, str]]:
        return [(npu, name) for npu in self.npus for name in METRICS] + [(None, name) for name in self.vitals]


@lru_cache(maxsize=4096)
def layout(npus: tuple[Npu, ...], vitals: tuple[str, ...]) -> Layout:
    """The same object for the same series: thousands of machines have the same."""
    return Layout(npus, vitals)


@lru_cache(maxsize=4096)
def _resolutions(of: Layout) -> NDArray[np.float64]:
    a_chip = [RESOLUTION.get(name, 1) for name in METRICS]
    return np.array(a_chip * len(of.npus) + [VITAL_RESOLUTION] * len(of.vitals), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample as whole numbers: ``at`` in ms since 1970, ``values`` as int32 in the order of the layout."""

    at: int
    state: str
    layout: Layout
    values: bytes


def reading(sample: Sample) -> Reading:
    """What of a sample goes into a row."""
    values: list[int] = []
    add = values.append
    npus: list[Npu] = []
    for chip in sample.chips:
        npus.append((chip["npu_id"] or 0, chip["chip_id"] or 0))
        used, total = chip["hbm_used_mb"], chip["hbm_total_mb"]
        add(MISSING if (value := chip["aicore_percent"]) is None else int(value * 100 + 0.5))
        add(MISSING if (value := chip["temp_c"]) is None else int(value * 10 + 0.5))
        add(MISSING if (value := chip["power_w"]) is None else int(value * 10 + 0.5))
        add(MISSING if used is None or not total else int(used * 10000 / total + 0.5))
        add(HEALTH.get(chip["health"], MISSING))
        for name in ("ecc_errors", "link", "processes"):
            value = chip.get(name)
            add(MISSING if value is None else int(value))
    vitals = tuple(sorted(name for name, value in sample.vitals.items() if value is not None and math.isfinite(value)))
    values += [round(sample.vitals[name] * VITAL_RESOLUTION) for name in vitals]
    try:
        packed = array("i", values)
    except OverflowError:
        packed = array("i", [value if value == MISSING else min(max(value, _LOW), _HIGH) for value in values])
    return Reading(round(sample.at * 1000), sample.state, layout(tuple(npus), vitals), packed.tobytes())


@dataclass(frozen=True)
class Samples:
    """The samples of one machine in one period, by time. ``values`` is [sample, series] of whole numbers."""

    times: NDArray[np.uint32]
    states: bytes
    layout: Layout
    values: NDArray[np.int32]

    @property
    def state(self) -> str:
        return STATES[self.states[-1]] if self.states else SILENT

    def stats(self) -> list[Stat | None]:
        """One a series, in the order of the layout; ``None`` where nothing was read."""
        return stats(self.values, self.layout)


NOTHING = Samples(np.empty(0, np.uint32), b"", Layout(), np.empty((0, 0), np.int32))


def gathered(readings: Iterable[Reading], begin: int) -> Samples:
    """Readings of a period that began at ``begin`` (s), each once, in the order of time."""
    once = {reading.at: reading for reading in readings}
    if not once:
        return NOTHING
    ordered = [once[at] for at in sorted(once)]
    layouts = dict.fromkeys(reading.layout for reading in ordered)
    times = np.fromiter((reading.at - begin * 1000 for reading in ordered), np.uint32, len(ordered))
    states = bytes(_state(reading.state) for reading in ordered)
    if len(layouts) == 1:
        whole = ordered[0].layout
        values = np.frombuffer(b"".join(reading.values for reading in ordered), np.int32)
        return Samples(times, states, whole, values.reshape(len(ordered), whole.width))
    whole = together(layouts)
    values = np.full((len(ordered), whole.width), MISSING, np.int32)
    for row, one in enumerate(ordered):
        values[row, places(one.layout, whole)] = np.frombuffer(one.values, np.int32)
    return Samples(times, states, whole, values)


def _state(name: str) -> int:
    return STATES.index(name) if name in STATES else STATES.index("error")


def together(layouts: Iterable[Layout]) -> Layout:
    """A layout that holds the series of all of them."""
    those = list(layouts)
    npus = sorted({npu for one in those for npu in one.npus})
    return layout(tuple(npus), tuple(sorted({name for one in those for name in one.vitals})))


@lru_cache(maxsize=4096)
def places(narrow: Layout, wide: Layout) -> NDArray[np.intp]:
    """Where the series of one layout stand in another."""
    where = {one: at for at, one in enumerate(wide.series)}
    return np.array([where[one] for one in narrow.series], dtype=np.intp)


def union(one: Samples, other: Samples) -> Samples:
    """The samples of both, each once: that two collectors read at the same time, or the same again."""
    if not one.states or not other.states:
        return one if one.states else other
    whole = together((one.layout, other.layout))
    values = np.full((len(one.states) + len(other.states), whole.width), MISSING, np.int32)
    values[: len(one.states), places(one.layout, whole)] = one.values
    values[len(one.states) :, places(other.layout, whole)] = other.values
    times, first = np.unique(np.concatenate((one.times, other.times)), return_index=True)
    states = np.frombuffer(one.states + other.states, np.uint8)[first]
    return Samples(times, states.tobytes(), whole, values[first])


def joined(parts: Sequence[tuple[int, Samples]], begin: int) -> Samples:
    """Periods in a row as one that began at ``begin`` (s). ``parts`` are when each began, and its samples."""
    told = [(at, samples) for at, samples in parts if samples.states]
    if not told:
        return NOTHING
    whole = together(dict.fromkeys(samples.layout for _, samples in told))
    values = [samples.values if samples.layout is whole else _widened(samples, whole) for _, samples in told]
    times = np.concatenate([samples.times + np.uint32((at - begin) * 1000) for at, samples in told])
    states = b"".join(samples.states for _, samples in told)
    return Samples(times, states, whole, np.concatenate(values))


def _widened(samples: Samples, whole: Layout) -> NDArray[np.int32]:
    values = np.full((len(samples.states), whole.width), MISSING, np.int32)
    values[:, places(samples.layout, whole)] = samples.values
    return values


def stats(values: NDArray[np.int32], of: Layout) -> list[Stat | None]:
    """Figures of each series of [sample, series]."""
    if not values.size:
        return [None] * of.width
    ranked = values.T.astype(np.int64)
    ranked[ranked == MISSING] = 2**40
    ranked.sort(axis=1)
    held = ranked < 2**40
    counts = held.sum(axis=1)
    row, last = np.arange(len(ranked)), np.maximum(counts, 1) - 1
    by = _resolutions(of)
    # The nearest rank, so that it is a value that was read.
    rank = np.maximum(np.ceil(counts * 0.95).astype(np.int64), 1) - 1
    mean = np.where(held, ranked, 0).sum(axis=1) / np.maximum(counts, 1) / by
    columns = (ranked[:, 0] / by, mean, ranked[row, last] / by, ranked[row, rank] / by, counts)
    made = map(Stat, *(column.tolist() for column in columns))
    return [stat if stat.count else None for stat in made]


def pack(samples: Samples) -> bytes:
    """Empty for a period without a sample."""
    if not samples.states:
        return b""
    planes = np.ascontiguousarray(samples.values.T, "<i4").view(np.uint8).reshape(-1, 4).T
    return _deflated(
        samples.layout, len(samples.states), samples.times.astype("<u4").tobytes() + samples.states + planes.tobytes()
    )


def unpack(data: bytes | memoryview) -> Samples:
    """What ``pack`` made. Raises ``ValueError`` on what it has not."""
    if not data:
        return NOTHING
    of, count, body = _inflated(data)
    times = np.frombuffer(body, "<u4", count)
    states = body[4 * count : 5 * count]
    planes = np.frombuffer(body, np.uint8, offset=5 * count).reshape(4, -1)
    values = np.ascontiguousarray(planes.T).view("<i4").reshape(of.width, count).T
    return Samples(times, states, of, values)


def pack_stats(of: Layout, figures: Sequence[Stat | None]) -> bytes:
    """The figures of a period, one a series of the layout."""
    columns = np.array([stat or (math.nan,) * 4 + (0,) for stat in figures], dtype="<f4").reshape(-1, 5)
    return _deflated(of, 0, columns.T.copy().view(np.uint8).reshape(-1, 4).T.tobytes())


def unpack_stats(data: bytes | memoryview) -> tuple[Layout, list[Stat | None]]:
    """What ``pack_stats`` made, to seven digits. Raises ``ValueError`` on what it has not."""
    if not data:
        return Layout(), []
    of, _count, body = _inflated(data)
    planes = np.frombuffer(body, np.uint8).reshape(4, -1)
    table = np.ascontiguousarray(planes.T).view("<f4").reshape(5, of.width).astype(np.float64)
    made = map(Stat, *(column.tolist() for column in table[:4]), table[4].astype(int).tolist())
    return of, [stat if stat.count else None for stat in made]


def _deflated(of: Layout, count: int, body: bytes) -> bytes:
    words = (",".join(of.vitals) + "|" + " ".join(f"{npu}.{chip}" for npu, chip in of.npus) + "|").encode()
    deflate = zlib.compressobj(6, zdict=_WORDS)
    return bytes([VERSION]) + deflate.compress(_HEAD.pack(len(words), count) + words + body) + deflate.flush()


def _inflated(data: bytes | memoryview) -> tuple[Layout, int, bytes]:
    if data[0] != VERSION:
        raise ValueError(f"a rollup of format {data[0]}; this console reads {VERSION}")
    try:
        whole = zlib.decompressobj(zdict=_WORDS).decompress(data[1:])
    except zlib.error as wrong:
        raise ValueError(f"a rollup that can't be inflated ({wrong})") from wrong
    size, count = _HEAD.unpack_from(whole)
    return _named(whole[_HEAD.size : _HEAD.size + size]), count, whole[_HEAD.size + size :]


@lru_cache(maxsize=4096)
def _named(words: bytes) -> Layout:
    vitals, npus, _ = words.decode().split("|")
    chips: Any = (one.split(".") for one in npus.split())
    return layout(tuple((int(npu), int(chip)) for npu, chip in chips), tuple(vitals.split(",")) if vitals else ())
