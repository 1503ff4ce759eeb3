from __future__ import annotations

import pytest

from hardware.npu import parse
from tests.hardware.npu.texts import HBM


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("DrvMngGetConsoleLogLevel failed. (ret=4)\ndcmi module initialize failed. ret is -8005\n", "-8005", 1),
        ("node1 | FAILED | rc=187 >>\ndcmi module initialize failed. ret is -8005non-zero return code\n", "-8005", 1),
        ("dcmi model initialized failed, because the device is used. ret is -8020\n", "-8020", 0),
        ("npu get board type failed. ret is -9005\n", "-9005", 0),
        ("Failed to execute npu-smi info. ret is -8255.\n", "-8255", 0),
        ("npu_get_card_device_id failed. err is -8006\n", "-8006", 0),
        ("sh: 1: npu-smi: not found\n", "npu-smi-missing", 0),
        ("bash: npu-smi: command not found...\n", "npu-smi-missing", 0),
        ("bash: /usr/local/bin/npu-smi: 没有那个文件或目录\n", "npu-smi-missing", 0),
        ("-bash: npu-smi：未找到命令\n", "npu-smi-missing", 0),
        ('OCI runtime exec failed: exec: "npu-smi": executable file not found in $PATH\n', "npu-smi-missing", 0),
        ("npu-smi: error while loading shared libraries: libc_sec.so: cannot open shared object file: No such file "
         "or directory\n", "library-missing", 0),
        ("npu-smi: error while loading shared libraries: libdcmi.so: 无法打开共享对象文件: 没有那个文件或目录\n",
         "library-missing", 0),
        ("Invalid card id.\nError parameter of -i\nUsage: npu-smi info <watch|proc|-h|-m|-l|-t type> [Options...]\n",
         "invalid-card", 0),
        ("Error parameter of -t\n", "invalid-parameter", 0),
        ("Input parameter format error.\n", "invalid-parameter", 0),
        ("Command or option is not found.\nUsage: npu-smi <Command|-h|-v> [Options...]\n", "unknown-option", 0),
        ("This device does not support querying p2p-enable.\n", "unsupported", 0),
        ("This command cannot be executed on a VM or container.\n", "not-here", 0),
        ("There is no NPU card on this server.\n", "no-npu", 0),
        ("There is no NPU chip on this card.\n", "no-chip", 0),
        ("bash: /usr/local/bin/npu-smi: Permission denied\n", "not-permitted", 0),
        ("bash: /usr/local/sbin/npu-smi: 权限不够\n", "not-permitted", 0),
        ("This device does not exist.\n", "invalid-device", 0),
        ("npu-smi: /lib64/libc.so.6: version `GLIBC_2.34' not found (required by npu-smi)\n", "wrong-system", 0),
        ("Segmentation fault (core dumped)\n", "crashed", 0),
        ("Failed to get device pcie information.\n", "failed", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_an_error_on_stdout_has_a_code_the_line_and_a_likely_cause(text, code, line, encoding):
    report = parse(text.encode(encoding))
    assert report.error is not None
    assert report.error.code == code and report.error.likely_cause
    assert report.error.text == text.splitlines()[line].replace("：", ":")
    assert (report.layout, report.chips) == ("error", [])


def test_of_several_errors_the_others_are_warnings():
    report = parse("This device does not support querying product.\nError parameter of -t\n")
    assert report.error is not None and report.error.text == "This device does not support querying product."
    assert report.warnings == ["Error parameter of -t"]


def test_the_noise_of_every_start_is_no_error():
    report = parse("DrvMngGetConsoleLogLevel failed. (ret=4)\n")
    assert report.error is None


def test_an_error_beside_a_table_hides_no_chip():
    report = parse(HBM + "Failed to execute npu-smi info. ret is -8006.\n")
    assert [chip.npu_id for chip in report.chips] == [0, 3] and report.layout == "hbm"
    assert report.error is not None and report.error.code == "-8006"
