"""A target for atheris, by hand: ``python -m tests.hardware.npu.fuzz [CORPUS...] [-max_total_time=300]``.

It needs ``pip install atheris``, which has no wheel for aarch64: the test run uses hypothesis instead. Give it a folder
for what it finds and the folders of samples.
"""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["hardware.npu", "hardware.inventory.facts"]):
    from hardware.inventory.facts import disks, modules, network, processor, system
    from hardware.npu import hccn, pci, reading, text, versions

KEYS = list(reading.read("").to_json())


def one(data: bytes) -> None:
    said = reading.read(text.decode(data)).to_json()
    assert list(said) == KEYS
    json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    assert (said["layout"] == "unknown") == ("raw" in said["fields"])
    for reader in (hccn.read_conf, hccn.read_hccn, pci.read_lspci, pci.read_nodes, versions.read_version_info):
        reader(data)
    versions.read_install_info(data)
    said_by_host = data.decode(errors="replace")
    for host in (
        processor.read_lscpu,
        processor.read_cpuinfo,
        system.read_release,
        disks.read_df,
        disks.read_mdstat,
        modules.read_dkms,
        network.read_ip,
        network.read_speeds,
    ):
        host(said_by_host)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
