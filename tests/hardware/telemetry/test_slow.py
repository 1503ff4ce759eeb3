from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hardware.telemetry.samples import history
from hardware.telemetry.slow import Slow, skew, take, words
from tests.hardware.telemetry.conftest import Tool, collecting, newest, until
from tests.sshd import Server

DF = """\
Filesystem           1024-blocks         Used    Available Capacity Mounted on
/dev/sda2              209611776     41943040    167668736      21% /
/dev/md0              5626630144   5401564936    225065208      96% /data disk
tmpfs                   24684084     24684084            0     100% /run
/dev/loop3                 65000        65000            0     100% /snap/core
nas:/models           5626630144   5626630144            0     100% /models
"""
LSPCI = "c1:00.0 1200: 19e5:d801 (rev 20)\n81:00.0 1200: 19e5:d801 (rev 20)\n"
ECC = "NPU ID : 3\nChip Count : 1\nHBM Single Bit Error Count : 4\nHBM Double Bit Isolated Pages Count : 1\n"
HEALTH = "\tHealth Status                  : Alarm\n\tError Code                     : A4025021 8C03A000\n"


def chip(npu_id: int, health: str = "OK") -> dict:
    return {"npu_id": npu_id, "chip_id": 0, "health": health}


def asked(**parts: str) -> str:
    return "".join(f"@@ask {question}\n{text}\n" for question, text in parts.items())


def test_values_that_are_read_seldom_come_to_the_chip_they_are_of():
    chips = [chip(2), chip(3, "Alarm")]
    assert words(0, chips) == "0 2:0:0:OK 3:0:1:Alarm"
    found = Slow()
    output = asked(
        **{
            "df -P -k": DF, "lspci -n -d 19e5:": LSPCI, "npu-smi info -t ecc -i 3": ECC,
            "hccn_tool -i 0 -link -g": "link status: UP", "hccn_tool -i 1 -link -g": "link status: DOWN",
            "npu-smi info -t health -i 3 -c 0": HEALTH, "next ": "",
        }
    )  # fmt: skip
    assert take(output, chips, found) is None
    vitals: dict[str, float] = {}
    found.onto(chips, vitals)
    assert [(one["ecc_errors"], one["link"], one["fault_codes"]) for one in chips] == [
        (None, 1, []), (5, 0, ["A4025021", "8C03A000"]),
    ]  # fmt: skip
    assert vitals == {"disk_used_percent": 96, "npus_on_bus": 2, "npus_listed": 2, "links_down": 1}


def test_what_a_machine_can_not_tell_is_absent_and_what_it_no_longer_tells_is_forgotten():
    chips = [chip(0)]
    found = Slow(ecc={(0, 0): 3}, link={(0, 0): 1}, vitals={"npus_on_bus": 8, "links_down": 0})
    output = asked(
        **{
            "df -P -k": "df: not found", "lspci -n -d 19e5:": "", "npu-smi info -t ecc -i 0": "Error parameter of -t",
            "hccn_tool -i 0 -link -g": "hccn_tool command execute failed.", "next ": "",
        }
    )  # fmt: skip
    take(output, chips, found)
    assert (found.ecc, found.link, found.vitals) == ({}, {}, {})


def test_the_rest_is_asked_for_behind_the_next_reading():
    found = Slow()
    assert take(asked(**{"df -P -k": DF, "next 1": ""}), [chip(0)], found) == 1
    assert found.vitals["disk_used_percent"] == 96


@pytest.mark.parametrize(
    ("began", "ahead"), [(b"1005.25", 5.2), (b"1005", 5.45), (b"1005.%N", 5.45), (b"995.25", -4.8), (b"", None)]
)
def test_a_clock_is_compared_with_the_middle_of_question_and_answer(began: bytes, ahead: float | None):
    assert skew(began.split(), 1000.0, 0.1) == ahead


@pytest.mark.usefixtures("redis_server")
async def test_they_are_read_over_the_same_channel_and_carried_in_each_sample(
    server: Server, enroll, tool: Tool, tmp_path: Path
):
    table = tmp_path / "asked"
    tool.lists_two_chips()
    listing = tool.path.read_text().split("\n", 1)[1]
    tool.does(f"""case "$*" in
info) {listing} ;;
*-t\\ ecc*-i\\ 1*) printf 'NPU ID : 1\\nChip Count : 1\\nHBM Single Bit Error Count : 4\\nChip ID : 0\\n' ;;
*-t\\ health*-i\\ 1*) printf '\\tHealth Status : Warning\\n\\tError Code : 80E01801\\n' ;;
esac; echo "$*" >>{table}""")
    for name, says in (("hccn_tool", "echo 'link status: DOWN'"), ("lspci", "echo 'c1:00.0 1200: 19e5:d801'")):
        path = tool.path.with_name(name)
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)
    await asyncio.to_thread(enroll, "n1", server)
    async with collecting():
        await until(lambda: newest("n1").get("vitals", {}).get("links_down") == 2)
        await until(lambda: history("n1", 60)[-1]["vitals"].get("links_down") == 2)
    now = newest("n1")
    assert [(one["ecc_errors"], one["link"], one["fault_codes"]) for one in now["chips"]] == [
        (None, 0, []), (4, 0, ["80E01801"]),
    ]  # fmt: skip
    assert (now["vitals"]["npus_on_bus"], now["vitals"]["npus_listed"]) == (1, 2)
    assert abs(now["vitals"]["clock_skew_s"]) < 1 and 0 < now["vitals"]["disk_used_percent"] <= 100
    # A minute has not gone by: asked once, whatever the interval is.
    assert table.read_text().count("-t ecc") == 2
