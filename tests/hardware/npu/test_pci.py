from __future__ import annotations

import pytest

from hardware.npu import pci
from hardware.npu.pci import Node, PciNpu
from tests.shared import FOLDER, needs_shared

OTHER = FOLDER / "ascend/other"
PLAIN = "Processing accelerators: Huawei Technologies Co., Ltd."
BOTH = "Processing accelerators [1200]: Huawei Technologies Co., Ltd."


@pytest.mark.parametrize(
    ("line", "npu"),
    [
        (f"3d:00.0 {PLAIN} Device d801 (rev 20)", PciNpu("3d:00.0", "d801", "20")),
        (f"# 01:00.0 {PLAIN} Device d802 (rev 20)", PciNpu("01:00.0", "d802", "20")),
        ("0000:C1:00.0 1200: 19E5:D802 (rev 20)", PciNpu("0000:c1:00.0", "d802", "20")),
        (f"01:00.0 {BOTH} Device [19e5:d806]", PciNpu("01:00.0", "d806")),
        (f"01:00.0 {PLAIN} Ascend 910 (rev 71)", PciNpu("01:00.0", None, "71")),
    ],
)  # fmt: skip
def test_an_npu_on_the_bus_is_found_in_every_form_of_lspci(line, npu):
    assert pci.read_lspci(f"{line}\n") == (npu,)


def test_other_devices_of_the_same_vendor_are_no_npus():
    assert (
        pci.read_lspci(
            "75:00.0 1200: 19e5:a250 (rev 21)\n7d:00.0 0200: 19e5:a222 (rev 21)\n"
            "75:00.0 Processing accelerators: Huawei Technologies Co., Ltd. HiSilicon ZIP Engine (rev 21)\n"
            "81:00.0 Processing accelerators: Other Co. Device d802\nbroken\n"
        )
        == ()
    )


@needs_shared
def test_a_card_that_is_lost_is_missing_on_the_bus():
    whole = pci.read_lspci((OTHER / "lspci-accelerators--910A-8card.txt").read_bytes())
    lost = pci.read_lspci((OTHER / "lspci-accelerators--910A-7of8-cardlost.txt").read_bytes())
    assert len(whole) == 8 and {npu.device for npu in whole} == {"d801"}
    assert [npu.slot for npu in whole if npu not in lost] == ["61:00.0"]
    assert {npu.device for npu in pci.read_lspci((OTHER / "lspci-d802--910B4-8card.txt").read_bytes())} == {"d802"}
    cards = pci.read_lspci((OTHER / "lspci--300IA2-4card.txt").read_bytes())
    assert [(npu.slot, npu.device, npu.revision) for npu in cards] == [
        (slot, "d802", "20") for slot in ("01:00.0", "02:00.0", "81:00.0", "82:00.0")
    ]


@pytest.mark.parametrize(
    ("name", "device", "generation"),
    [
        ("910B", "d801", "910"),
        ("910B", "0xD802", "910B"),
        ("910B", None, None),
        ("910B4_1", None, "910B"),
        ("910B2C", "d802", "910B"),
        ("Ascend 910A", None, "910"),
        ("910ProB", None, "910"),
        ("Ascend910", None, None),
        ("Ascend910_9391", None, "A3"),
        ("Ascend950DT", None, "950"),
        ("310P3", None, "310P"),
        ("310B4", None, "310B"),
        ("310", None, "310"),
        ("MiniD", None, "310"),
        ("910PremiumA", None, "910"),
        ("Ascend910", "0xD803", "A3"),
        ("910B", "19e5:d801", "910"),
        (None, "d100", "310"),
        ("xxx", None, None),
        (None, "d806", "950"),
        (None, None, None),
    ],
)
def test_the_pci_id_counts_for_more_than_the_name(name, device, generation):
    assert pci.generation(name, device) == generation


def test_bus_addresses_of_npu_smi_and_lspci_are_compared_alike():
    assert pci.short_slot("0000:C1:00.0") == pci.short_slot("c1:00.0") == "c1:00.0"
    assert pci.short_slot("0001:C1:00.0") == "0001:c1:00.0"


def test_device_nodes_are_read_from_long_and_bare_lists():
    long = pci.read_nodes(
        "crw-rw---- 1 HwHiAiUser HwHiAiUser 236, 12 Nov 25 09:00 /dev/davinci12\n"
        "crw-rw----. 1 root root 511, 0  /dev/davinci_manager\nls: cannot access '/dev/devmm_svm'\n"
    )
    assert long == (
        Node("/dev/davinci12", 12, "crw-rw----", "HwHiAiUser", "HwHiAiUser", 236, 12),
        Node("/dev/davinci_manager", None, "crw-rw----", "root", "root", 511, 0),
    )
    bare = pci.read_nodes("/dev/davinci0  /dev/davinci1\n/dev/hisi_hdc\n/dev/sda\n")
    assert [(node.path, node.number, node.owner) for node in bare] == [
        ("/dev/davinci0", 0, None),
        ("/dev/davinci1", 1, None),
        ("/dev/hisi_hdc", None, None),
    ]


@needs_shared
def test_nodes_may_begin_at_one():
    nodes = pci.read_nodes((OTHER / "ls-dev-davinci--4card-910B.txt").read_bytes())
    assert [node.number for node in nodes] == [1, 2, 3, 4, None]
    assert nodes[0] == Node("/dev/davinci1", 1, "crw-rw----", "root", "root", 510, 1)
