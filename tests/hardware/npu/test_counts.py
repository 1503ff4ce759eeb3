from __future__ import annotations

import pytest

from hardware.npu import parse
from hardware.npu.counts import ecc_errors, fault_codes
from tests.shared import FOLDER, needs_shared

pytestmark = needs_shared
SAMPLES = FOLDER / "ascend" / "npu-smi"


def text(name: str) -> str:
    return (SAMPLES / name).read_text()


def test_counts_of_a_chip_are_summed_and_the_number_of_chips_is_none_of_them():
    said = text("info-t-ecc--910A--24.1.rc1.txt")
    assert ecc_errors(parse(said)) == {(1, 0): 0}
    more = said.replace("HBM Single Bit Error Count               : 0", "HBM Single Bit Error Count               : 7")
    more = more.replace("HBM Double Bit Isolated Pages Count      : 0", "HBM Double Bit Isolated Pages Count      : 2")
    assert ecc_errors(parse(more)) == {(1, 0): 9}
    assert ecc_errors(parse(text("info-t-ecc--950--doc.txt"))) == {(0, None): 0}


def test_each_chip_of_a_card_has_its_own_and_what_is_no_count_is_none():
    said = text("info-t-ecc--910A--24.1.rc1.txt")
    head, _, block = said.partition("\n\n")
    place = "Chip ID                                  : "
    two = f"{head}\n\n{block}\n{block.replace(f'{place}0', f'{place}1')}"
    two = two.replace("DDR Single Bit Error Count               : 0", "DDR Single Bit Error Count               : 3", 1)
    assert ecc_errors(parse(two)) == {(1, 0): 3, (1, 1): 0}
    assert ecc_errors(parse("This device does not support querying ecc.", "npu-smi info -t ecc")) == {}


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("info-t-health-Alarm-multicode--910A--23.0.7.txt", ["A4025021", "8C03A000", "8C084E00"]),
        ("info-t-health-OK--910A--23.0.5.txt", []),
        ("info-t-health--950--doc.txt", []),
        ("info-t-temp--950--doc.txt", None),
    ],
)
def test_fault_codes_are_as_printed_and_no_answer_is_no_list(name: str, codes: list[str] | None):
    assert fault_codes(parse(text(name))) == codes
