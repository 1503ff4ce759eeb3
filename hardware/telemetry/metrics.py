"""The newest readings as Prometheus series, under npu-exporter's own names, so that its boards work.

Names, labels and units are those of mind-cluster's npu-exporter, with one label more, ``machine``: this exports many
hosts. What npu-smi does not say is absent, never 0; a reading older than three intervals is absent, too. ``id`` is the
chip's place in npu-smi's list, which is the order of ``/dev/davinciN``. ``vdie_id``, ``container_id`` and the labels of
pods are empty: the console knows none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from hardware.inventory.models import Machine
from hardware.telemetry.samples import fresh, latest, taken_at

CHIP_LABELS = (
    "machine", "id", "model_name", "vdie_id", "pcie_bus_info", "namespace", "pod_name", "container_name",
)  # fmt: skip
ERROR_CODES = ("npu_chip_info_error_code", *(f"npu_chip_info_error_code_{number}" for number in range(1, 10)))
# name -> what it is, as the exporter says it
CHIP_GAUGES = {
    "npu_chip_info_temperature": "the npu temperature, in degrees Celsius",
    "npu_chip_info_power": "the npu power, in watts",
    "npu_chip_info_health_status": "the npu health status, 1 healthy, 0 unhealthy",
    "npu_chip_info_utilization": "the ai core utilization, in percent",
    "npu_chip_info_hbm_used_memory": "the npu hbm used memory, in MB",
    "npu_chip_info_hbm_total_memory": "the npu hbm total memory, in MB",
    "npu_chip_info_hbm_utilization": "the npu hbm utilization, in percent",
    "npu_chip_info_used_memory": "the npu used memory, in MB",
    "npu_chip_info_total_memory": "the npu total memory, in MB",
    "npu_chip_info_link_status": "the npu link status, 1 up, 0 down",
    "npu_chip_info_process_info_num": "the npu process num",
    **dict.fromkeys(ERROR_CODES, "an error code of the npu; absent when there is none"),
}
# Series that say who or what, by labels of their own.
NAMED = {
    "npu_chip_info_name": "the npu name with value '1'",
    "npu_chip_info_process_info": "the npu process info, used memory in MB",
}
NODE_GAUGES = {
    "machine_npu_nums": "Amount of npu installed on the machine",
    "machine_card_nums": "Amount of npu card installed on the machine",
    "machine_healthy_npu_nums": "Healthy amount of npu installed on the machine",
    "machine_unhealthy_npu_nums": "Unhealthy amount of npu installed on the machine",
    "machine_unknown_npu_nums": "Unknown-health amount of npu installed on the machine",
}


def families() -> Iterator[GaugeMetricFamily]:
    """Every series there is now."""
    chips = {name: GaugeMetricFamily(name, said, labels=CHIP_LABELS) for name, said in CHIP_GAUGES.items()}
    names = ["name" if label == "model_name" else label for label in CHIP_LABELS]
    held = (*CHIP_LABELS, "process_id", "container_id")
    named, processes = (
        GaugeMetricFamily(name, said, labels=labels)
        for (name, said), labels in zip(NAMED.items(), (names, held), strict=True)
    )
    nodes = {name: GaugeMetricFamily(name, said, labels=["machine"]) for name, said in NODE_GAUGES.items()}
    simulated = GaugeMetricFamily(
        "console_machine_simulated", "1: what this machine reports comes from no NPU", labels=["machine"]
    )
    machines = Machine.objects.exclude(state=Machine.State.RETIRED).order_by("name")
    known = {one.name: one for one in machines.only("name", "facts", "simulated")}
    for name, sample in latest(known).items():
        if not fresh(sample):
            continue
        machine, stamp = known[name], taken_at(sample).timestamp()
        if machine.simulated:
            simulated.add_metric([name], 1, timestamp=stamp)
        if sample["state"] != "ok":
            continue
        _node(nodes, name, sample["chips"], stamp)
        for place, chip in enumerate(sample["chips"]):
            fact = _fact(machine.facts, chip)
            model = str(fact.get("name") or "")
            labels = [name, str(place), model, "", str(fact.get("bus_id") or ""), "", "", ""]
            for gauge, value in _values(chip, hbm=fact.get("hbm_total_mb") is not None or not fact):
                chips[gauge].add_metric(labels, value, timestamp=stamp)
            if model:
                named.add_metric(labels, 1, timestamp=stamp)
            for pid, memory in chip.get("process_list") or ():
                if pid is not None and memory is not None:
                    processes.add_metric([*labels, str(pid), ""], memory, timestamp=stamp)
    every = (*nodes.values(), named, *chips.values(), processes, simulated)
    yield from (family for family in every if family.samples)


def _fact(facts: Mapping[str, Any], chip: Mapping[str, Any]) -> dict[str, Any]:
    """What the last probe read of a chip."""
    for npu in facts.get("npus", ()):
        if (npu.get("npu_id"), npu.get("chip_id")) == (chip["npu_id"], chip["chip_id"]):
            return dict(npu)
    return {}


def _node(nodes: Mapping[str, GaugeMetricFamily], name: str, chips: list[dict[str, Any]], stamp: float) -> None:
    health = [_health(chip) for chip in chips]
    cards = len({chip["npu_id"] for chip in chips})
    counts = (len(chips), cards, health.count(1), health.count(0), health.count(None))
    for family, count in zip(nodes.values(), counts, strict=True):
        family.add_metric([name], count, timestamp=stamp)


def _health(chip: Mapping[str, Any]) -> int | None:
    said = chip.get("health")
    return None if said is None else int(said == "OK")


def _code(said: str) -> int | None:
    """The exporter gives a code as a number, npu-smi as hexadecimal digits."""
    try:
        return int(said, 16)
    except ValueError:
        return None


def _values(chip: Mapping[str, Any], *, hbm: bool) -> Iterator[tuple[str, float]]:
    """The gauges of a chip that were read; boards with DDR have their memory under other names."""
    used, total = chip.get("hbm_used_mb"), chip.get("hbm_total_mb")
    memory = "npu_chip_info_hbm_" if hbm else "npu_chip_info_"
    read = {
        "npu_chip_info_temperature": chip.get("temp_c"),
        "npu_chip_info_power": chip.get("power_w"),
        "npu_chip_info_health_status": _health(chip),
        "npu_chip_info_utilization": chip.get("aicore_percent"),
        f"{memory}used_memory": used,
        f"{memory}total_memory": total,
        "npu_chip_info_link_status": chip.get("link"),
        "npu_chip_info_process_info_num": chip.get("processes"),
    }
    read |= zip(ERROR_CODES, map(_code, chip.get("fault_codes") or ()), strict=False)
    if hbm and used is not None and total:
        read["npu_chip_info_hbm_utilization"] = round(100 * used / total, 2)
    for name, value in read.items():
        if value is not None:
            yield name, float(value)
