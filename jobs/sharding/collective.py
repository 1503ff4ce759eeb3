"""What an exchange costs: the latency-bandwidth (alpha-beta) model, fitted to what was measured.

``n`` bytes over ``p`` ranks, latency ``a`` seconds, ``B`` bytes a second:

- ring all-reduce: each rank sends 2 (p-1)/p n, in 2 (p-1) messages: 2 (p-1) a + 2 (p-1)/p n/B
  (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC 2009; Thakur et al., IJHPCA 2005).
- parameter server, p workers and one server of its own: each worker sends n and receives n; the server's port takes p n
  in, then gives p n out: 2 a + 2 p n/B (Li et al., "Scaling distributed machine learning with the parameter server",
  OSDI 2014, with one server). Spread over all workers, a parameter server has the ring's bytes: 2 (p-1)/p n a rank.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jobs.sharding.errors import ShardingRefused
from jobs.sharding.site import Link

CLAIM = 0.60
_ROW = re.compile(r"^\s*(\d+)\s*\|\s*([\d.]+)\s*\|\s*([\d.]+)\s*\|\s*(\w+)\s*$", re.M)


@dataclass(frozen=True)
class Exchange:
    """Bytes that one rank sends, that the busiest port sends, and seconds (``None``: the link was not measured)."""

    sent: int
    busiest: int
    seconds: float | None


def ring(size: int, ranks: int, link: Link | None) -> Exchange:
    """A ring all-reduce of ``size`` bytes."""
    if ranks < 2:
        return Exchange(0, 0, 0.0)
    sent = round(2 * (ranks - 1) / ranks * size)
    seconds = None if link is None else 2 * (ranks - 1) * link.latency_s + sent / link.bytes_per_s
    return Exchange(sent, sent, seconds)


def server(size: int, ranks: int, link: Link | None) -> Exchange:
    """The same through one parameter server that is no worker itself; its port is the busiest."""
    if ranks < 2:
        return Exchange(0, 0, 0.0)
    seconds = None if link is None else 2 * link.latency_s + 2 * ranks * size / link.bytes_per_s
    return Exchange(size, ranks * size, seconds)


def hop(size: int, link: Link | None) -> float | None:
    """Seconds of one message of ``size`` bytes."""
    return None if link is None else link.latency_s + size / link.bytes_per_s


def compare(size: int, ranks: int, link: Link | None) -> dict[str, Any]:
    """Ring against one parameter server for ``size`` bytes of gradients, and whether the manual's 60 % less holds.

    ``saved`` are shares: of all bytes on the network, 1/p; of those that the busiest port sends, 1 - 2 (p-1)/p^2; of
    the time, when the server answers after it has everything. ``even_bytes`` is the size below which the server is
    faster, because it takes fewer messages.
    """
    if ranks < 2:
        said = "One replica exchanges no gradients with others: there is nothing to save."
        return {"ranks": ranks, "bytes": size, "claimed": CLAIM, "holds": {}, "said": said}
    by_ring, by_server = ring(size, ranks, link), server(size, ranks, link)
    saved = {
        "all_bytes": round(1 / ranks, 4),
        "busiest_port": round(1 - 2 * (ranks - 1) / ranks**2, 4),
    }
    even = None
    if link is not None and by_ring.seconds is not None and by_server.seconds:
        saved["seconds"] = round(1 - by_ring.seconds / by_server.seconds, 4)
        even = round((ranks - 2) * link.latency_s * link.bytes_per_s / (ranks - (ranks - 1) / ranks))
    return {
        "ranks": ranks,
        "bytes": size,
        "ring": asdict(by_ring),
        "server": asdict(by_server),
        "saved": saved,
        "even_bytes": even,
        "claimed": CLAIM,
        "holds": {name: share >= CLAIM for name, share in saved.items()},
        "said": _said(ranks, saved),
    }


def _said(ranks: int, saved: dict[str, float]) -> str:
    time = (
        f"and {saved['seconds']:.1%} of the time on the measured link"
        if "seconds" in saved
        else "how much of the time only a measured link can say"
    )
    right = {"all_bytes": "all bytes", "busiest_port": "the busiest port", "seconds": "the time"}
    met = [right[name] for name, share in saved.items() if share >= CLAIM]
    verdict = f"is reached here for {' and '.join(met)}" if met else "is reached here for none of them"
    if len(met) < len(saved) and met:
        verdict += ", not for " + " and ".join(right[name] for name, share in saved.items() if share < CLAIM)
    return (
        f"Against one parameter server, a ring over {ranks} replicas saves {saved['all_bytes']:.1%} of all bytes, "
        f"{saved['busiest_port']:.1%} of what the busiest port sends, {time}; against a server spread over the workers "
        f"it saves nothing. The manual's {CLAIM:.0%} {verdict}. It is a matter of training: who serves exchanges no "
        "gradients."
    )


def read_hccl_test(text: str) -> list[tuple[int, float]]:
    """(bytes, seconds) of each row that ``all_reduce_test`` printed.

    Columns as hccl_test prints them: data_size(Bytes), avg_time(us) (``aveg_time`` in most versions),
    alg_bandwidth(GB/s), check_result. Raises ShardingRefused (`measurement-invalid`).
    """
    rows = _ROW.findall(text)
    if any(result == "failed" for *_, result in rows):
        raise ShardingRefused(
            "measurement-invalid", "all_reduce_test says of a row that its result is wrong.",
            "Mend the network first (hccn_tool -i N -link -g), then measure again.",
        )  # fmt: skip
    points = [(int(size), float(micros) / 1e6) for size, micros, _, _ in rows if int(size) and float(micros) > 0]
    if len({size for size, _ in points}) < 2:
        raise ShardingRefused(
            "measurement-invalid", "There is no table of all_reduce_test with two sizes or more.",
            "Run all_reduce_test -b 8K -e 64M -f 2 -d fp32 -o sum -p CHIPS and give all that it prints.",
        )  # fmt: skip
    return points


def fit(points: list[tuple[int, float]], ranks: int) -> Link:
    """The link of a ring of ``ranks`` that explains the measured all-reduces best, by relative error.

    Raises ShardingRefused (`measurement-invalid`).
    """
    if ranks < 2:
        raise ShardingRefused(
            "measurement-invalid", "An exchange has two ranks or more.", "Say how many were measured."
        )
    sizes, seconds = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    columns = np.stack([np.full_like(sizes, 2 * (ranks - 1)), 2 * (ranks - 1) / ranks * sizes], axis=1)
    (latency, per_byte), *_ = np.linalg.lstsq(columns / seconds[:, None], np.ones_like(seconds), rcond=None)
    if latency < 0:
        latency, share = 0.0, columns[:, 1] / seconds
        per_byte = share.sum() / (share @ share)
    if per_byte <= 0:
        raise ShardingRefused(
            "measurement-invalid", "The measured times do not grow with the size.",
            "Measure up to a larger size, such as -e 1G.",
        )  # fmt: skip
    return Link(float(latency), float(1 / per_byte))
