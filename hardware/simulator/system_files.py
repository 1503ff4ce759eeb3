"""The texts that a machine of the manual's base configuration holds in /etc, /proc and /sys.

2 x Kunpeng 920 with 64 cores, 512 GiB of memory, RAID5 of four NVMe disks, a 1 Gbit/s management and a 25 Gbit/s
service link, Kylin V10 SP2.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardware.simulator.spec import KERNEL, MachineSpec

CORES = 128
MEMORY_KB = 536870912
ARRAY_KB = 5626630144

# From a host of the same family: features, implementer and part are those of a Kunpeng 920.
_FLAGS = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma dcpop asimddp asimdfhm"
)
_PROCESSOR = f"""\
processor\t: {{number}}
BogoMIPS\t: 200.00
Features\t: {_FLAGS}
CPU implementer\t: 0x48
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd01
CPU revision\t: 0

"""

KYLIN = "Kylin Linux Advanced Server release V10 (Sword)\n"

# name, version, release: what the base installation has; rpm's stand-in keeps its own list from then on.
PACKAGES = """\
kernel 4.19.90 24.4.v2101.ky10 aarch64
kernel-core 4.19.90 24.4.v2101.ky10 aarch64
glibc 2.28 49.p01.ky10 aarch64
bash 5.0 14.ky10 aarch64
openssh-server 8.2p1 9.p03.ky10 aarch64
dkms 2.6.1 5.ky10 noarch
gcc 7.3.0 20190804.35.p02.ky10 aarch64
make 4.2.1 15.ky10 aarch64
net-tools 2.0 0.53.ky10 aarch64
pciutils 3.6.2 2.ky10 aarch64
python3 3.7.9 8.p02.ky10 aarch64
docker-engine 18.09.0 101.ky10 aarch64
"""


@dataclass(frozen=True)
class Link:
    """A network interface; ``speed`` in Mbit/s."""

    name: str
    speed: int
    address: str
    mac: str


def links(number: int) -> list[Link]:
    """Management and service link of the machine with that number."""
    return [
        Link("enp125s0f0", 1000, f"10.1.1.{10 + number}", f"44:a1:91:00:01:{number:02x}"),
        Link("enp129s0", 25000, f"10.25.1.{10 + number}", f"44:a1:91:00:19:{number:02x}"),
    ]


def etc(spec: MachineSpec) -> dict[str, str]:
    """Files of /etc by name, as a fresh installation leaves them."""
    return {
        "os-release": 'NAME="Kylin Linux Advanced Server"\nVERSION="V10 (Sword)"\nID="kylin"\nVERSION_ID="V10"\n'
        'PRETTY_NAME="Kylin Linux Advanced Server V10 (Sword)"\nANSI_COLOR="0;31"\n',
        "kylin-release": KYLIN,
        "system-release": KYLIN,
        "lsb-release": 'DISTRIB_ID=Kylin\nDISTRIB_RELEASE=V10\nDISTRIB_DESCRIPTION="Kylin V10"\n',
        # The second line is for the stand-in of the NPU's runtime, which refuses a model of another chip.
        "simulated-machine": f"simulated: {spec.name} is a set of namespaces, not a Kunpeng server.\n"
        "soc_version=Ascend910A\n",
        "hostname": f"{spec.name}\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {spec.name}\n",
        "passwd": "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1:bin:/bin:/sbin/nologin\n"
        "daemon:x:2:2:daemon:/sbin:/sbin/nologin\nnobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin\n"
        "sshd:x:74:74:Privilege-separated SSH:/var/empty/sshd:/sbin/nologin\n",
        "group": "root:x:0:\nbin:x:1:\ndaemon:x:2:\nwheel:x:10:\nsshd:x:74:\nnobody:x:65534:\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
        "resolv.conf": "",
        "profile": 'for f in /etc/profile.d/*.sh; do [ -r "$f" ] && . "$f"; done\n',
    }


def proc(spec: MachineSpec) -> dict[str, str]:
    """Files that are bound over those of /proc, by path below it."""
    members = " ".join(f"nvme{n}n1[{n}]" for n in (3, 2, 1, 0))
    return {
        "meminfo": f"MemTotal:       {MEMORY_KB} kB\nMemFree:        498216704 kB\nMemAvailable:   503316480 kB\n"
        "Buffers:          524288 kB\nCached:          8388608 kB\nSwapTotal:       4194304 kB\n"
        "SwapFree:        4194304 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n",
        "mdstat": "Personalities : [raid6] [raid5] [raid4]\n"
        f"md0 : active raid5 {members}\n"
        f"      {ARRAY_KB} blocks super 1.2 level 5, 512k chunk, algorithm 2 [4/4] [UUUU]\n\nunused devices: <none>\n",
        "cpuinfo": "".join(_PROCESSOR.format(number=number) for number in range(CORES)),
        "version": f"Linux version {KERNEL} (mockbuild@localhost) (gcc version 7.3.0 (GCC)) #1 SMP Mon Mar 1 2021\n",
    }


def network(spec: MachineSpec) -> dict[str, str]:
    """Files of /sys/class/net, by path below it."""
    files = {"lo/operstate": "unknown\n", "lo/mtu": "65536\n"}
    for link in links(spec.number):
        files |= {
            f"{link.name}/speed": f"{link.speed}\n",
            f"{link.name}/operstate": "up\n",
            f"{link.name}/address": f"{link.mac}\n",
            f"{link.name}/mtu": "1500\n",
        }
    return files
