"""Plan how a large model is laid over machines' NPUs, on the console itself; the machines are not touched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from jobs.conversion.errors import ConversionRefused
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.kinds.shard.machines import site_of
from jobs.kinds.shard.report import shown
from jobs.models import Job
from jobs.plan import Lane, LocalCommand, Plan, Product, Stage, Step
from jobs.sharding.memory import CACHE, WEIGHTS, Request
from jobs.sharding.ranktable import rank_table, version_for
from jobs.sharding.report import plan as lay_out
from jobs.sharding.shape import read_shape, shape_of_size
from jobs.sharding.site import Site, read_site

# A 33B model in 16 bits at the rate of a slow disk, twice read and once written.
SPLIT_SECONDS = 6 * 3600


class SuperPod(serializers.Serializer[Any]):
    super_pod_id = serializers.CharField(default="0")
    super_device_ids = serializers.ListField(child=serializers.RegexField(r"^\d{1,12}$"))


class Params(serializers.Serializer[Any]):
    name = serializers.RegexField(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$", label=_("Name of the model"))
    size = serializers.CharField(
        required=False, max_length=12, label=_("Parameters"), help_text=_("Such as 13B, when there is no config.json.")
    )
    config = serializers.JSONField(
        required=False,
        label=_("config.json of the model"),
        help_text=_("Its content; then heads and layers are known."),
    )
    weights = serializers.ChoiceField(
        [(name, name) for name in WEIGHTS], default="bf16", label=_("Weights are stored as")
    )
    cache = serializers.ChoiceField([(name, name) for name in CACHE], default="bf16", label=_("Key-value cache as"))
    batch = serializers.IntegerField(min_value=1, max_value=65536, default=16, label=_("Sequences at once"))
    length = serializers.IntegerField(
        min_value=1, max_value=1_000_000, default=4096, label=_("Tokens of a sequence at most")
    )
    inside = serializers.FloatField(
        required=False, min_value=0.001, max_value=10_000, label=_("GB/s between chips of a machine, as measured")
    )
    across = serializers.FloatField(
        required=False, min_value=0.001, max_value=10_000, label=_("GB/s between machines, as measured"),
        help_text=_("200 Gbit/s, as hccn_tool shows a port, are 25. Empty: bytes are given, times are not."),
    )  # fmt: skip
    hccl_across = serializers.IntegerField(
        required=False, min_value=1, label=_("hccl_test over all these chips"),
        help_text=_("What all_reduce_test printed; the link is fitted to it."),
    )  # fmt: skip
    super_pods = serializers.DictField(
        child=SuperPod(), required=False, label=_("Super pods (Atlas A3)"),
        help_text=_("By machine: super_pod_id, and super_device_ids (SDID) in the order of its NPUs."),
    )  # fmt: skip
    checkpoint = serializers.IntegerField(min_value=1, required=False, label=_("Checkpoint to split"))
    tensor = serializers.IntegerField(min_value=1, max_value=64, default=1, label=_("Split it for tensor ranks"))
    pipeline = serializers.IntegerField(min_value=1, max_value=64, default=1, label=_("Split it for pipeline stages"))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("size" in attrs) == ("config" in attrs):
            raise serializers.ValidationError({"size": _("Give either the number of parameters or a config.json.")})
        if "config" in attrs and not isinstance(attrs["config"], dict):
            raise serializers.ValidationError({"config": _("This is no config.json.")})
        ranks = attrs["tensor"] * attrs["pipeline"]
        if "checkpoint" in attrs and not 2 <= ranks <= 64:
            raise serializers.ValidationError({"tensor": _("To split is to make 2 to 64 parts.")})
        return attrs


class Shard(Kind):
    slug = "shard"
    title = _("Plan a parallel model")
    summary = _("Tensor, pipeline and data degrees that fit, with rank table and launch parameters; changes nothing.")
    mutates = False
    artifacts = {"checkpoint": "checkpoint", "hccl_across": "measurement"}
    report_title = _("Parallel plan")
    report_template = "sharding/plan.html"
    Params = Params

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        described = site_of(targets, params.get("super_pods", {}))
        name, field = params["name"], "config" if "config" in params else "size"
        try:
            site = read_site(json.dumps(described))
            shape = read_shape(params["config"], name) if field == "config" else shape_of_size(params["size"])
        except ConversionRefused as wrong:
            raise PlanRefused(wrong.code, wrong.message, wrong.mend, field) from wrong
        try:
            # The command does this again with what was measured; whether it fits is known now.
            request = Request(params["weights"], params["cache"], params["batch"], params["length"])
            _best, report = lay_out(shape, site, request)
            if _has_table(site):
                rank_table(site.used, version_for(site.nodes))
        except ConversionRefused as wrong:
            raise PlanRefused(wrong.code, wrong.message, wrong.mend, "targets") from wrong
        steps = [
            Step("plan", f"Lay {name} over {len(targets)} machines", self._command(params, described, site, depot))
        ]
        if "checkpoint" in params:
            steps.append(self._split(params, depot))
        return Plan([Stage("Plan", [Lane(None, steps)])], notes=[report["why"], report["gradients"]["said"]])

    def _command(self, params: dict[str, Any], described: dict[str, Any], site: Site, depot: DepotView) -> LocalCommand:
        name = params["name"]
        model = ["--config", _text(params["config"])] if "config" in params else ["--size", params["size"]]
        arguments = ["python", "-m", "jobs.sharding", "plan", *model, "--name", name, "--site", _text(described)]
        for option in ("weights", "cache", "batch", "length", "inside", "across"):
            if option in params:
                arguments += [f"--{option}", str(params[option])]
        inputs = {}
        if "hccl_across" in params:
            inputs["hccl.txt"] = depot.get(params["hccl_across"], "measurement").sha256
            arguments += ["--hccl-across", f"{len(site.nodes) * site.chips_per_node}:hccl.txt"]
        meta = {"model": name, "machines": [node.name for node in site.nodes]}
        products = [
            Product("plan.json", "parallel-plan", f"{name}-plan.json", meta=meta),
            Product("launch.json", "launch-parameters", f"{name}-launch.json", meta=meta),
        ]
        arguments += ["--model-path", f"/models/{name}", "--plan", "plan.json", "--launch", "launch.json"]
        if _has_table(site):
            arguments += ["--ranktable", "ranktable.json"]
            version = version_for(site.nodes)
            products.append(Product("ranktable.json", "rank-table", f"{name}-ranktable.json", version, meta))
        return LocalCommand([*arguments, "--json"], inputs, products, timeout_s=600)

    def _split(self, params: dict[str, Any], depot: DepotView) -> Step:
        checkpoint = depot.get(params["checkpoint"], "checkpoint")
        tensor, pipeline = params["tensor"], params["pipeline"]
        count = tensor * pipeline
        arguments = [
            "python", "-m", "jobs.sharding", "split", "checkpoint.tar", "shards", "--tensor", str(tensor),
            "--pipeline", str(pipeline), "--json",
        ]  # fmt: skip
        meta = {"from": checkpoint.sha256, "tensor": tensor, "pipeline": pipeline}
        files = [f"model-rank-{rank:02}-of-{count:02}.safetensors" for rank in range(count)]
        products = [
            Product(f"shards/{file}", "shard", f"{params['name']}-{file}", meta={**meta, "rank": rank})
            for rank, file in enumerate(files)
        ]
        products.append(Product("shards/shards.json", "shard-list", f"{params['name']}-shards.json", meta=meta))
        command = LocalCommand(arguments, {"checkpoint.tar": checkpoint.sha256}, products, SPLIT_SECONDS)
        return Step("split", f"Split {checkpoint.name} into {count} shards", command)

    def summarize(self, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The plan's report; what the split proved stands in it."""
        made = super().summarize(results)
        reports = [result["report"] for result in results if result.get("report")]
        if len(reports) > 1:
            made["report"] = {**reports[0], "shards": reports[-1]}
        return made

    def report_page(self, job: Job, report: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        return shown(job, report)


def _text(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), sort_keys=True)


def _has_table(site: Site) -> bool:
    """Chips of one machine find each other without a rank table, and may have no addresses."""
    return len(site.nodes) > 1 or all(chip.address for node in site.nodes for chip in node.chips)
