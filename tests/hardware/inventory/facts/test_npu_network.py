from __future__ import annotations

from hardware.inventory.facts import NpuPort, Topology
from hardware.inventory.facts.npu_network import read_ports, read_topology
from tests.shared import FOLDER, needs_shared


@needs_shared
def test_each_pair_of_npus_is_told_once_with_the_processors_near_each():
    found = read_topology((FOLDER / "ascend/npu-smi/info-t-topo-UB2--950--doc.txt").read_text())
    assert found.links["NPU0"] == {"NPU1": "UB", **{f"NPU{n}": "SYS" for n in range(2, 8)}}
    assert found.links["NPU6"] == {"NPU7": "UB"} and "NPU7" not in found.links
    assert found.cpus["NPU7"] == "64-127,192-255"


def test_a_tool_that_refuses_leaves_no_topology():
    assert read_topology("This device does not support querying topo.\n") == Topology()
    assert read_topology("") == Topology()


@needs_shared
def test_ports_have_the_address_of_their_file_and_the_link_of_the_tool():
    conf = (FOLDER / "ascend/other/hccn.conf--8card-4subnets.txt").read_text()
    up = (FOLDER / "ascend/other/hccn_tool-link-UP--910.txt").read_text()
    refused = (FOLDER / "ascend/other/hccn_tool-ERROR-wrong-device-310.txt").read_text()
    found = read_ports(conf, f"npu 0\n{up}\nnpu 5\nlink status: DOWN\nnpu 9\n{refused}\nnpu 8\nlink status: UP\n")
    assert found[0] == NpuPort(0, "192.168.10.21", "255.255.255.0", None, "UP")
    assert (found[5].address, found[5].link) == ("192.168.20.22", "DOWN")
    assert found[7].link is None and found[8] == NpuPort(8, link="UP") and len(found) == 9
