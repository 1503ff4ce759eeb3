"""The plan as one JSON object: what a page shows, and what the launch parameters are made of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from jobs.sharding.collective import compare
from jobs.sharding.memory import HALF, Request
from jobs.sharding.planner import GIB, Option, best_of, options, why
from jobs.sharding.shape import Shape
from jobs.sharding.site import Link, Site

# More rows than this tell a person nothing; the best come first.
SHOWN = 24


def plan(shape: Shape, site: Site, request: Request) -> tuple[Option, dict[str, Any]]:
    """The best option, and the report. Raises ShardingRefused (`no-room`, `request-invalid`)."""
    request = request.checked()
    made = options(shape, site, request)
    best = best_of(made, shape, site, request)
    # Each chip exchanges its share of the gradients by its own port.
    gradients = shape.parameters * HALF // site.chips_per_node
    nodes = len(site.nodes)
    return best, {
        "model": {**asdict(shape), "parameters": shape.parameters},
        "site": {
            "nodes": nodes,
            "chips_per_node": site.chips_per_node,
            "idle": site.idle,
            "hbm_gib": round(site.hbm_bytes / GIB, 2),
            "inside": _link(site.inside),
            "across": _link(site.across),
        },
        "request": asdict(request),
        "best": _row(best, shape),
        "why": why(best, made, site),
        "per_node": {"nodes": nodes, "parameters": shape.parameters // nodes},
        "options": [_row(option, shape) for option in made[:SHOWN]],
        "left_out": max(0, len(made) - SHOWN),
        "gradients": compare(gradients, nodes, site.across),
    }


def _row(option: Option, shape: Shape) -> dict[str, Any]:
    memory = option.memory
    return {
        **asdict(option.split),
        "nodes": option.nodes,
        "fits": option.fits,
        "short": memory.short,
        # An even share, and what the fullest chip has: an end of the pipeline has embeddings, too.
        "parameters_per_shard": shape.parameters // option.split.chips,
        "memory": {**asdict(memory), "needed": memory.needed},
        "decode": {"bytes": option.decode.sent, "seconds": option.decode.seconds},
        "prefill": {"bytes": option.prefill.sent, "seconds": option.prefill.seconds},
    }


def _link(link: Link | None) -> dict[str, float] | None:
    if link is None:
        return None
    return {"gbytes_per_s": round(link.bytes_per_s / 1e9, 3), "latency_us": round(link.latency_s * 1e6, 3)}
