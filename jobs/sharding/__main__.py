"""``python -m jobs.sharding plan|split|verify``: a large model laid over chips, its checkpoint cut to fit."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs.conversion.checkpoint import opened_checkpoint
from jobs.conversion.commandline import Parser, carry_out, say
from jobs.conversion.files import replacing
from jobs.sharding.collective import fit, read_hccl_test
from jobs.sharding.errors import ShardingRefused
from jobs.sharding.joining import join
from jobs.sharding.launch import MODEL, mindie, vllm
from jobs.sharding.memory import CACHE, UTILIZATION, WEIGHTS, Request
from jobs.sharding.ranktable import rank_table, version_for
from jobs.sharding.report import plan
from jobs.sharding.shape import Shape, read_shape, shape_of_size
from jobs.sharding.site import Link, link_of, read_site
from jobs.sharding.split import split_by_rank, split_by_size


def main() -> int:
    parser = Parser(prog="python -m jobs.sharding", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    _plan_arguments(commands.add_parser("plan", help="splits that fit, memory a chip, exchanges, rank table"))
    _split_arguments(commands.add_parser("split", help="cut a checkpoint for ranks, or by size"))
    _verify_arguments(commands.add_parser("verify", help="prove that shards join to the original's bytes"))
    given = parser.parse_args()
    return carry_out(lambda: given.work(given), as_json=given.json)


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--config", help="config.json of the model, or its text")
    model.add_argument("--size", help="number of parameters, such as 13B: a published shape of that size stands in")
    parser.add_argument("--name", default="", help="of the model, for reports and launch parameters")
    parser.add_argument("--site", required=True, help="the machines: a JSON file or its text (docs/sharding.md)")
    parser.add_argument("--weights", default="bf16", help=" or ".join(WEIGHTS))
    parser.add_argument("--cache", default="bf16", help=" or ".join(CACHE))
    parser.add_argument("--batch", type=int, default=16, help="sequences at once, over all replicas")
    parser.add_argument("--length", type=int, default=4096, help="tokens of a sequence at most")
    parser.add_argument("--prefill", type=int, default=4096, help="tokens of one pass at most")
    parser.add_argument("--utilization", type=float, default=UTILIZATION, help="share of a chip's memory to fill")
    for way in ("inside", "across"):
        where = "chips of a node" if way == "inside" else "nodes"
        parser.add_argument(f"--{way}", help=f"GB/s,us between {where}, as measured: 25,20")
        parser.add_argument(f"--hccl-{way}", help=f"CHIPS:FILE, what all_reduce_test printed over {where}: 8:out.txt")
    parser.add_argument("--model-path", default=MODEL, help="where the machines have the weights")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--ranktable", type=Path, metavar="FILE", help="write the rank table of all chips there")
    parser.add_argument("--launch", type=Path, metavar="FILE", help="write the engines' launch parameters there")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(work=_plan)


def _split_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="MODEL", help="folder, tar of one, or .safetensors")
    parser.add_argument("destination", type=Path, metavar="FOLDER", help="that is not there yet")
    parser.add_argument("--tensor", type=int, default=1, help="ranks that each matrix is cut for")
    parser.add_argument("--pipeline", type=int, default=1, help="stages that the layers are spread over")
    parser.add_argument("--max-bytes", type=int, help="cut by size instead: bytes of tensors in a file at most")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(work=_split)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shards", type=Path, metavar="FOLDER", help="what a split wrote")
    parser.add_argument("--original", type=Path, metavar="MODEL", help="hold it against this one, too")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(work=lambda given: join(given.shards, say, given.original))


def _split(given: argparse.Namespace) -> dict[str, Any]:
    if given.source.is_dir() or given.source.suffix == ".safetensors":
        return _cut(given.source, given)
    scratch = given.destination.absolute().parent
    with opened_checkpoint(given.source, scratch) as folder:
        return _cut(folder, given)


def _cut(source: Path, given: argparse.Namespace) -> dict[str, Any]:
    if given.max_bytes is not None:
        return split_by_size(source, given.destination, given.max_bytes, say)
    return split_by_rank(source, given.destination, given.tensor, given.pipeline, say)


def _plan(given: argparse.Namespace) -> dict[str, Any]:
    shape = _shape(given)
    site = read_site(given.site)
    site = replace(site, inside=_link(given, "inside") or site.inside, across=_link(given, "across") or site.across)
    request = Request(
        given.weights, given.cache, given.batch, given.length, given.prefill, utilization=given.utilization
    )
    best, report = plan(shape, site, request)
    contents: list[tuple[Path, dict[str, Any]]] = []
    if given.ranktable:
        contents.append((given.ranktable, rank_table(site.used, version_for(site.nodes))))
    if given.launch:
        engines = {"vllm-ascend": vllm, "mindie": mindie}
        made = {name: write(best, shape, site, request, given.model_path) for name, write in engines.items()}
        contents.append((given.launch, made))
    if given.plan:
        contents.append((given.plan, report))
    for path, content in contents:
        with replacing(path) as part:
            part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def _shape(given: argparse.Namespace) -> Shape:
    if given.size:
        shape = shape_of_size(given.size)
        return replace(shape, name=given.name) if given.name else shape
    try:
        text: str = given.config
        config = json.loads(text if text.startswith("{") else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ShardingRefused(
            "config-invalid", f"config.json cannot be read: {error}.", "Give the config.json of the model."
        ) from error
    if not isinstance(config, dict):
        raise ShardingRefused("config-invalid", "config.json holds no object.", "Give the config.json of the model.")
    return read_shape(config, given.name)


def _link(given: argparse.Namespace, way: str) -> Link | None:
    """What was said wins over what was measured, and both over the site's own."""
    said, measured = getattr(given, way), getattr(given, f"hccl_{way}")
    try:
        if said:
            speed, _, latency = said.partition(",")
            return link_of(float(speed), float(latency or 0))
        if measured:
            chips, _, file = measured.partition(":")
            if not file:
                raise ValueError(measured)
            return fit(read_hccl_test(Path(file).read_text(encoding="utf-8", errors="replace")), int(chips))
    except ValueError as error:
        raise ShardingRefused(
            "request-invalid", f"--{way}: {said or measured!r} cannot be read.", "Write 25,20, or 8:FILE for --hccl."
        ) from error
    except OSError as error:
        raise ShardingRefused(
            "measurement-invalid", f"{measured} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error
    return None


if __name__ == "__main__":
    sys.exit(main())
