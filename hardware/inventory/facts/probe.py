"""The probe: one read-only POSIX sh text that asks a machine everything at once, in sections.

Each section is ``MARK name`` on a line, the output, then ``MARK = status``. A missing tool leaves its section empty.
"""

from __future__ import annotations

import re

MARK = "@@console-probe@@"

_SECTIONS: tuple[tuple[str, str], ...] = (
    ("hostname", "hostname"),
    ("boot_id", "cat /proc/sys/kernel/random/boot_id"),
    ("clock", "date +%s"),
    ("simulated", "cat /etc/simulated-machine"),
    ("kernel", "uname -r"),
    ("architecture", "uname -m"),
    ("os-release", "cat /etc/os-release"),
    ("kylin-release", "cat /etc/kylin-release"),
    ("lscpu", "LC_ALL=C lscpu"),
    ("meminfo", "cat /proc/meminfo"),
    ("mdstat", "cat /proc/mdstat"),
    ("df", "df -P -k / /data /usr/local /usr/local/Ascend /var /var/lib/docker /var/tmp"),
    ("links", "ip -o link"),
    ("addresses", "ip -o -4 addr"),
    ("speeds", 'for f in /sys/class/net/*/speed; do echo "$f $(cat "$f")"; done'),
    (
        "ethtool",
        "for n in $(ip -o link | cut -d: -f2 | cut -d@ -f1); do "
        '[ "$n" = lo ] || echo "$n $(ethtool "$n" | grep -i "speed:")"; done',
    ),
    ("lspci", "lspci -n -d 19e5:"),
    ("lspci-names", "lspci"),
    ("davinci", "ls -d /dev/davinci[0-9]* /dev/davinci_manager /dev/devmm_svm /dev/hisi_hdc"),
    ("driver", "cat /usr/local/Ascend/driver/version.info"),
    ("firmware", "cat /usr/local/Ascend/firmware/version.info"),
    ("install-info", "cat /etc/ascend_install.info"),
    ("toolkit", "cat /usr/local/Ascend/ascend-toolkit/latest/*-linux/ascend_toolkit_install.info"),
    ("npu-smi", "PATH=$PATH:/usr/local/bin:/usr/local/sbin npu-smi info"),
    ("user", "id HwHiAiUser"),
    ("headers", 'ls -d "/lib/modules/$(uname -r)/build/." "/usr/src/kernels/$(uname -r)"'),
    ("packages", 'rpm -q --qf "%{NAME} %{VERSION}-%{RELEASE}\\n" dkms gcc make kernel-devel'),
    ("docker", "docker --version"),
)

PROBE = "\n".join(
    f'echo "{MARK} {name}"\n{{ {command}; }} 2>&1 </dev/null\necho "{MARK} = $?"' for name, command in _SECTIONS
)

_SECTION = re.compile(rf"^{re.escape(MARK)} (\S+)\n(.*?)^{re.escape(MARK)} = (\d+)$", re.M | re.S)


def sections(text: str) -> dict[str, tuple[int, str]]:
    """Name -> (exit status, output) of what a probe printed; a section that was cut off is left out."""
    return {name: (int(status), body) for name, body, status in _SECTION.findall(text.replace("\r\n", "\n"))}
