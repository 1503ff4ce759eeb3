"""The probe: one read-only POSIX sh text that asks a machine everything at once, in sections.

Each section is ``MARK name`` on a line, the output, then ``MARK = status``. A missing tool leaves its section empty.
What takes long on a real machine (``npu-smi``, ``docker``) runs beside the rest; its sections come after it.
"""

from __future__ import annotations

import re

MARK = "@@console-probe@@"

# What a driver's installer calls, beside update-rc.d or chkconfig.
INSTALLER_CALLS = (
    "which test groups awk chattr lsattr ldconfig wc lspci ifconfig chown chmod find sed ln modprobe cksum tail head "
    "udevadm modinfo useradd expr basename tty dirname rev id touch grep ps systemctl readlink"
)

Sections = tuple[tuple[str, str], ...]

_TOOLS = "PATH=$PATH:/usr/local/bin:/usr/local/sbin"
# The machine's clock before everything else and after it, so that both sides of the answer bound what it differs by.
_CLOCK = "date +%s.%N"

_SECTIONS: Sections = (
    ("clock", _CLOCK),
    ("hostname", "hostname"),
    ("boot_id", "cat /proc/sys/kernel/random/boot_id"),
    ("simulated", "cat /etc/simulated-machine"),
    ("kernel", "uname -r"),
    ("architecture", "uname -m"),
    ("os-release", "cat /etc/os-release"),
    ("kylin-release", "cat /etc/kylin-release"),
    ("lscpu", "LC_ALL=C lscpu"),
    ("meminfo", "cat /proc/meminfo"),
    ("mdstat", "cat /proc/mdstat"),
    ("lsblk", "lsblk -b -d -n -P -e 1,7,11 -o NAME,TYPE,SIZE,ROTA,TRAN,VENDOR,MODEL"),
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
    # Since 8.5 CANN lies in cann, before that in ascend-toolkit; where both are, the jobs load the newer one, too.
    (
        "toolkit",
        "for f in /usr/local/Ascend/cann/*-linux/ascend_toolkit_install.info"
        " /usr/local/Ascend/ascend-toolkit/latest/*-linux/ascend_toolkit_install.info; "
        'do [ ! -f "$f" ] || break; done; cat "$f"',
    ),
    # --version ends before an interpreter starts up; what it has is read off its folders, which costs nothing.
    (
        "pythons",
        "PATH=$PATH:/usr/local/bin; for v in 3 3.7 3.8 3.9 3.10 3.11 3.12; do p=python$v; "
        'command -v $p >/dev/null && echo "$p $($p --version)"; done; true',
    ),
    (
        "mindspore",
        "ls -d /usr/lib*/python3.*/site-packages/mindspore-*.dist-info"
        " /usr/local/lib*/python3.*/*-packages/mindspore-*.dist-info"
        " /opt/*/lib/python3.*/site-packages/mindspore-*.dist-info; true",
    ),
    # MindSpore Lite is unpacked, not installed: on PATH, or where such archives are put.
    (
        "converter-lite",
        "PATH=$PATH:/usr/local/bin; command -v converter_lite; "
        "ls -d /usr/local/mindspore-lite-*/tools/converter/converter/converter_lite"
        " /opt/mindspore-lite-*/tools/converter/converter/converter_lite 2>/dev/null; true",
    ),
    (
        "python-packages",
        "for p in torch torch_npu msmodelslim; do ls -d /usr/lib*/python3.*/site-packages/$p-*.dist-info"
        " /usr/local/lib*/python3.*/*-packages/$p-*.dist-info"
        " /usr/local/python3.*/lib/python3.*/*-packages/$p-*.dist-info"
        " /opt/*/lib/python3.*/site-packages/$p-*.dist-info 2>/dev/null; done; true",
    ),
    ("user", "id HwHiAiUser"),
    (
        "tools",
        f"PATH=$PATH:/usr/sbin:/sbin; for t in {INSTALLER_CALLS}; do command -v $t >/dev/null || echo $t; done; "
        "command -v update-rc.d >/dev/null || command -v chkconfig >/dev/null || echo chkconfig",
    ),
    ("headers", 'ls -d "/lib/modules/$(uname -r)/build/." "/usr/src/kernels/$(uname -r)"'),
    ("packages", 'rpm -q --qf "%{NAME} %{VERSION}-%{RELEASE}\\n" dkms gcc make kernel-devel'),
    ("hccn-conf", "cat /etc/hccn.conf"),
)

# A driver that is ill makes npu-smi hang: the rest is read all the same.
_NPU_SMI = (
    f"smi=$(exec 2>&1; {_TOOLS}; command -v npu-smi >/dev/null || {{ npu-smi info; exit; }}; timeout 20 npu-smi info); "
    "said=$?; printf '%s\\n' \"$smi\"; (exit $said)"
)

# Who has a device node open, and what is known of each such process and of each that npu-smi named: its parents, the
# container whose id its control group carries ("machine" is what pid 1's carries), its name.
_HOLDERS = r"""
ls /dev/davinci* >/dev/null 2>&1 || exit 0
open=$(find /proc/[0-9]*/fd -maxdepth 1 -lname '/dev/davinci*' -printf '%p %l\n' 2>/dev/null |
  sed 's,^/proc/\([0-9]*\)/fd/[0-9]* ,\1 ,' | sort -u)
[ -z "$open" ] || printf '%s\n' "$open" | sed 's/^/node /'
named=$(printf '%s\n' "$smi" | awk -F'|' '$2 ~ /^ *[0-9]+( +[0-9]+)? *$/ && $3 ~ /^ *[0-9]+ *$/ { print $3 + 0 }')
echo "user $(id -u)"
echo "machine $(grep -o '[0-9a-f]\{64\}' /proc/1/cgroup | head -n 1)"
for p in $(printf '%s\n' "$open" "$named" | cut -d' ' -f1 | sort -u); do
  name=
  IFS= read -r name <"/proc/$p/comm" || continue
  parents= one=$p
  while [ "${one:-0}" -gt 1 ] && [ "${#parents}" -lt 400 ]; do
    parents=$parents,$one up=
    while read -r key value; do [ "$key" = PPid: ] && up=$value && break; done <"/proc/$one/status" || break
    one=$up
  done
  id=$(grep -o '[0-9a-f]\{64\}' "/proc/$p/cgroup" | head -n 1)
  echo "process $p ${parents#,} ${id:--} $name"
done
"""

# Of a container's environment only the one variable that gives it NPUs leaves the machine: the others hold secrets.
_CONTAINERS = r"""
command -v docker >/dev/null || exit 0
ids=$(docker ps -q --no-trunc) || exit 1
[ -n "$ids" ] || exit 0
docker inspect -f 'container {{.Id}} {{.State.Pid}} {{.HostConfig.Privileged}} {{.State.Status}} {{.Name}}
image {{.Config.Image}}
runtime {{.HostConfig.Runtime}}
devices {{json .HostConfig.Devices}}
env {{json .Config.Env}}' $ids | awk '/^env /{
  if (match($0, /"ASCEND_VISIBLE_DEVICES=[^"]*"/)) print "env " substr($0, RSTART, RLENGTH)
  next
} { print }'
"""

_RUNTIMES = r"""
docker --version
for s in /run/containerd/containerd.sock /run/docker/containerd/containerd.sock; do
  [ -S "$s" ] && containerd --version && break
done
[ -S /run/isulad.sock ] && isula --version
[ -S /run/crio/crio.sock ] && crio --version | head -n 1
[ -e /usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime ] && echo ascend-docker-runtime
sed -n 's/.*"default-runtime" *: *"\([^"]*\)".*/default-runtime \1/p' /etc/docker/daemon.json
true
"""

# All ports at once: a tool that has to wait for one NPU does not make the others wait.
_PORTS = rf"""
{_TOOLS}:/usr/local/Ascend/driver/tools
command -v hccn_tool >/dev/null || exit 0
for node in /dev/davinci[0-9]*; do
  [ -e "$node" ] || continue
  ( n=${{node#/dev/davinci}}; said=$(timeout 10 hccn_tool -i "$n" -link -g 2>&1); printf 'npu %s\n%s\n' "$n" "$said" ) &
done
wait
"""

_TOPOLOGY = f"[ ! -e /dev/davinci_manager ] || ({_TOOLS}; timeout 20 npu-smi info -t topo)"

_NPUS: Sections = (("npu-smi", _NPU_SMI), ("holders", f"({_HOLDERS})"))
_DOCKER: Sections = (("containers", f"({_CONTAINERS})"),)


def _text(sections: Sections) -> str:
    return "\n".join(
        f'echo "{MARK} {name}"\n{{ {command}; }} 2>&1 </dev/null\necho "{MARK} = $?"' for name, command in sections
    )


def _beside(slow: str, rest: str) -> str:
    """Both run at once; what the slow one says comes last, through a pipe that keeps it until then."""
    return f"{{\n{slow}\n}} | {{\n{rest}\ncat\n}}"


PROBE = "\n".join(
    (
        _beside(
            _text(_NPUS),
            _beside(
                _text((("topology", _TOPOLOGY), ("ports", f"({_PORTS})"))),
                _beside(_text((*_DOCKER, ("runtimes", f"({_RUNTIMES})"))), _text(_SECTIONS)),
            ),
        ),
        _text((("clock-after", _CLOCK),)),
    )
)

# Who holds which NPU, and nothing else.
LOOK = _beside(_text(_NPUS), _beside(_text(_DOCKER), _text(tuple(one for one in _SECTIONS if one[0] == "davinci"))))

_SECTION = re.compile(rf"^{re.escape(MARK)} (\S+)\n(.*?)^{re.escape(MARK)} = (\d+)$", re.M | re.S)


def sections(text: str) -> dict[str, tuple[int, str]]:
    """Name -> (exit status, output) of what a probe printed; a section that was cut off is left out."""
    return {name: (int(status), body) for name, body, status in _SECTION.findall(text.replace("\r\n", "\n"))}
