"""What the probe prints on a bare machine of the manual's base configuration, with knobs for what tests vary."""

from __future__ import annotations

from hardware.inventory.facts.probe import MARK

KERNEL = "4.19.90-24.4.v2101.ky10.aarch64"


_RULE = "+======================+===============+====================================================+"
_CHIP = """\
| {0}     910A           | OK            | 67.2        36                15   / 15            |
| 0                    | 0000:{1}:00.0  | 0           1274 / 15171      1    / 32768         |
{rule}
"""


def npu_smi_text(chips: int = 4) -> str:
    """``npu-smi info`` of first-generation 910 chips."""
    rows = "".join(_CHIP.format(n, slot, rule=_RULE) for n, slot in enumerate(("01", "41", "81", "c1")[:chips]))
    return f"""\
+-------------------------------------------------------------------------------------------+
| npu-smi 21.0.4                   Version: 21.0.4                                          |
+----------------------+---------------+----------------------------------------------------+
| NPU   Name           | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                 | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
{_RULE}
{rows}"""


def probe_text(
    *,
    headers: bool = True,
    driver: str = "",
    firmware: str = "",
    npus: bool = False,
    cann: str = "",
    docker: bool = False,
) -> str:
    sections: dict[str, tuple[int, str]] = {
        "hostname": (0, "sim-01"),
        "boot_id": (0, "0b1c7a3e-1111-4222-8333-944455556666"),
        "clock": (0, "1764000000"),
        "simulated": (0, "simulated"),
        "kernel": (0, KERNEL),
        "architecture": (0, "aarch64"),
        "os-release": (
            0,
            'NAME="Kylin Linux Advanced Server"\nVERSION="V10 (Sword)"\nID="kylin"\nVERSION_ID="V10"\n'
            'PRETTY_NAME="Kylin Linux Advanced Server V10 (Sword)"',
        ),
        "lscpu": (
            0,
            "Architecture:        aarch64\nCPU(s):              128\nThread(s) per core:  1\nCore(s) per socket:  64\n"
            "Socket(s):           2\nNUMA node(s):        4\nVendor ID:           HiSilicon\n"
            "Model name:          Kunpeng-920\nCPU max MHz:         3000.0000",
        ),
        "meminfo": (0, "MemTotal:       536870912 kB\nMemAvailable:   500000000 kB"),
        "mdstat": (
            0,
            "Personalities : [raid6] [raid5] [raid4]\nmd0 : active raid5 nvme3n1[3] nvme2n1[2] nvme1n1[1] nvme0n1[0]\n"
            "      2813315072 blocks super 1.2 level 5, 512k chunk, algorithm 2 [4/4] [UUUU]\n\nunused devices: <none>",
        ),
        "df": (
            1,
            "Filesystem     1024-blocks      Used Available Capacity Mounted on\n"
            "/dev/sda2        209611776  41943040 167668736      21% /\n"
            "/dev/md0        2813315072 104857600 2708457472       4% /data\ndf: /nowhere: No such file or directory",
        ),
        "links": (
            0,
            "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\n2: enp125s0f0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n"
            "3: enp129s0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500",
        ),
        "addresses": (0, "2: enp125s0f0    inet 10.1.1.5/24 brd 10.1.1.255 scope global enp125s0f0"),
        "speeds": (0, "/sys/class/net/enp125s0f0/speed 1000\n/sys/class/net/enp129s0/speed 25000"),
        "lspci": (0, "\n".join(f"{slot}:00.0 1200: 19e5:d801 (rev 20)" for slot in ("01", "41", "81", "c1"))),
        "npu-smi": (127, "sh: npu-smi: command not found"),
        "packages": (1, "dkms 2.8.4-2.ky10\ngcc 7.3.0-20190804.h31.ky10\nmake 4.2.1-15.ky10"),
        "headers": (0, f"/usr/src/kernels/{KERNEL}") if headers else (2, "ls: cannot access"),
    }
    if driver:
        sections["driver"] = (0, f"Version={driver}\ncompatible_version_fw=[7.0.0,7.5.99]\npackage_version={driver}")
    if firmware:
        sections["firmware"] = (0, f"Version={firmware}\nfirmware_version=1.0")
    if npus:
        sections["npu-smi"] = (0, npu_smi_text())
        sections["davinci"] = (0, "\n".join(f"/dev/davinci{n}" for n in range(4)))
    if cann:
        sections["toolkit"] = (0, f"package_name=Ascend-cann-toolkit\nversion={cann}\narch=aarch64")
    if docker:
        sections["runtimes"] = (0, "Docker version 18.09.0, build 172f8da")
    return "".join(f"{MARK} {name}\n{body}\n{MARK} = {status}\n" for name, (status, body) in sections.items())
