from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.inventory.facts import Cpu
from hardware.inventory.facts.processor import read_cpuinfo, read_lscpu
from tests.shared import FOLDER, needs_shared

OTHER = FOLDER / "ascend/other"
CHINESE = """\
架构：                              aarch64
CPU 运行模式：                      64-bit
字节序：                            Little Endian
CPU:                                128
在线 CPU 列表：                     0-127
每个核的线程数：                    1
每个座的核数：                      64
座：                                2
NUMA 节点：                         4
厂商 ID：                           HiSilicon
BIOS Vendor ID：                    HiSilicon
型号：                              0
型号名称：                          Kunpeng-920
步进：                              0x1
CPU 最大 MHz：                      2600.0000
NUMA 节点0 CPU：                    0-31
"""


def test_a_chinese_lscpu_reads_like_an_english_one():
    assert read_lscpu(CHINESE) == Cpu("Kunpeng-920", "HiSilicon", 2, 128, 128, 4, 2600.0)
    assert read_lscpu(CHINESE.replace("\n", "\r\n")) == read_lscpu(CHINESE)


def test_where_sockets_are_hidden_cores_are_counted_by_cluster():
    cpu = read_lscpu(
        "CPU(s):                          8\nThread(s) per core:              1\nCore(s) per cluster:             4\n"
        "Socket(s):                       -\nCluster(s):                      2\nModel name:  Kunpeng-920\n"
    )
    assert (cpu.sockets, cpu.cores, cpu.threads, cpu.model) == (None, 8, 8, "Kunpeng-920")


def test_two_threads_a_core_are_not_two_cores():
    cpu = read_lscpu("CPU(s): 128\nThread(s) per core: 2\nSocket(s): -\n")
    assert (cpu.cores, cpu.threads) == (64, 128)


def test_nothing_is_made_of_nothing():
    assert read_lscpu("") == Cpu() == read_lscpu("sh: lscpu: command not found\n")


@needs_shared
@pytest.mark.parametrize(
    ("file", "cpu"),
    [
        ("lscpu--kunpeng920--ubuntu18-old-layout.txt", Cpu(None, "HiSilicon", 4, 192, 192, 8, 2600.0)),
        ("lscpu--kunpeng920--ubuntu22-host.txt", Cpu("Kunpeng-920", "HiSilicon", 4, 192, 192, None, 2600.0)),
        (
            "lscpu--kunpeng920-5250-4socket-192core.txt",
            Cpu("HUAWEI Kunpeng 920 5250", "HiSilicon", 4, 192, 192, 8, 2600.0),
        ),
    ],
)
def test_each_layout_of_lscpu_is_read(file, cpu):
    assert read_lscpu((OTHER / file).read_text()) == cpu


@needs_shared
def test_the_kernel_names_a_kunpeng_by_implementer_and_part():
    assert read_cpuinfo((OTHER / "proc-cpuinfo--kunpeng920-taishan2280.txt").read_text()) == Cpu(
        "Kunpeng-920", "HiSilicon", threads=1
    )


@given(st.text() | st.text("CPU()s:座- 0123456789\n"))
def test_no_text_raises(text):
    read_lscpu(text)
    read_cpuinfo(text)


def test_cores_are_not_guessed_from_threads():
    assert read_lscpu("CPU(s): 128\nVendor ID: HiSilicon\n").cores is None
