"""What the probe asks in each section, in POSIX sh that dash, bash and busybox understand.

A program costs the machine a millisecond and more, the shell's own words next to nothing: files are read all at once
by one ``grep``, what is there is looked at with ``[ -e`` and patterns, and a tool is asked only where it can know more.
"""

from __future__ import annotations

from hardware.inventory.facts.network import ENDS

Sections = tuple[tuple[str, str], ...]

# What a driver's installer calls, beside update-rc.d or chkconfig.
INSTALLER_CALLS = (
    "which test groups awk chattr lsattr ldconfig wc lspci ifconfig chown chmod find sed ln modprobe cksum tail head "
    "udevadm modinfo useradd expr basename tty dirname rev id touch grep ps systemctl readlink"
)

# Since 8.5 CANN lies in cann, before that in ascend-toolkit; where both are, the jobs load the newer one, too.
TOOLKIT = "ascend_toolkit_install.info"
_TOOLKITS = (f"/usr/local/Ascend/cann/*-linux/{TOOLKIT}", f"/usr/local/Ascend/ascend-toolkit/latest/*-linux/{TOOLKIT}")
# Files that are read as they are, and the sections that they stand for.
FILES = {
    "/proc/sys/kernel/hostname": "hostname",
    "/proc/sys/kernel/osrelease": "kernel",
    "/proc/sys/kernel/random/boot_id": "boot_id",
    "/etc/os-release": "os-release",
    "/etc/kylin-release": "kylin-release",
    "/proc/meminfo": "meminfo",
    "/proc/mdstat": "mdstat",
    "/usr/local/Ascend/driver/version.info": "driver",
    "/usr/local/Ascend/firmware/version.info": "firmware",
    "/etc/hccn.conf": "hccn-conf",
}

# ``base`` is the login's own path, and ``status`` gives a section's status without a subshell. ``where`` finds a
# program's file, ``beside`` runs two at once: what the slow one says comes last, kept until then.
WORDS = r"""
base=$PATH tools=$PATH:/usr/local/bin:/usr/local/sbin
nl='
'
has() { command -v "$1" >/dev/null; }
status() { return "$1"; }
there() { for one in "$@"; do [ ! -e "$one" ] || echo "$one"; done; }
where() {
  at= IFS=:
  for one in $PATH; do [ -f "$one/$1" ] && [ -x "$one/$1" ] && at=$one/$1 && break; done
  unset IFS
  [ -n "$at" ]
}
has_npus() { PATH=$tools; has npu-smi || [ -e /dev/davinci_manager ]; }
beside() { "$2" & said=$("$1"); wait; printf '%s\n' "$said"; }
"""

# The machine's clock before everything else. How much later everything was said, its uptime tells: no second program.
CLOCK: Sections = (
    ("clock", "date +%s.%N"),
    ("uptime", 'read -r up idle </proc/uptime && echo "$up"'),
)
CLOCK_AFTER: Sections = (("uptime-after", CLOCK[1][1]),)

NODES: Sections = (("davinci", "there /dev/davinci[0-9]* /dev/davinci_manager /dev/devmm_svm /dev/hisi_hdc"),)

# The kernel's own figure counts for more, so a tool is asked only where there is none.
_SPEEDS = rf"""
for link in /sys/class/net/*; do
  name=${{link##*/}} speed=
  case $name in lo|{"|".join(f"{end}*" for end in ENDS)}) continue ;; esac
  {{ read -r speed <"$link/speed"; }} 2>/dev/null
  case $speed in
    [1-9]*) echo "$link/speed $speed" ;;
    *)
      has ethtool || continue
      told=$(ethtool "$name" 2>&1) speed=${{told#*Speed: }}
      [ "$speed" = "$told" ] || echo "$name Speed: ${{speed%%"$nl"*}}" ;;
  esac
done
true"""

# Names come out of a file of a megabyte: they are wanted of RAID controllers (class 0104) alone.
_BUS = r"""
named=
if has lspci; then
  list=$(lspci -n)
  code=$? IFS=$nl
  for line in $list; do case $line in *" 19e5:"*) echo "$line" ;; esac; done
  unset IFS
  case $code$list in 0*" 0104: "*|[!0]*) named=1 ;; esac
  status $code
else
  status 127
fi"""

# --version ends before an interpreter starts up; what it has is read off its folders, which costs nothing. One that
# python3 is a link to is not asked again.
_PYTHONS = r"""
PATH=$base:/usr/local/bin usual= usually=
for v in 3 3.7 3.8 3.9 3.10 3.11 3.12; do
  where python$v || continue
  if [ "$at" -ef "$usual" ]; then version=$usually; else version=$("$at" --version); fi
  [ $v != 3 ] || usual=$at usually=$version
  echo "python$v $version"
done
PATH=$base"""

_PACKAGES = r"""
mindspore=
for site in /usr/lib*/python3.*/site-packages /usr/local/lib*/python3.*/*-packages \
  /usr/local/python3.*/lib/python3.*/*-packages /opt/*/lib/python3.*/site-packages; do
  for one in "$site"/*.dist-info; do
    case ${one##*/} in
      torch-*|torch_npu-*|msmodelslim-*) echo "$one" ;;
      mindspore-*) case $one in /usr/local/python3.*) ;; *) mindspore=$mindspore$one$nl ;; esac ;;
    esac
  done
done"""

MACHINE: Sections = (
    ("simulated", "[ -r /etc/simulated-machine ]"),
    # Each line with its file's name; one that is not there is left out.
    ("files", f"grep -a -s -H '' {' '.join((*FILES, *_TOOLKITS))}; true"),
    # lscpu begins with what ``uname -m`` says.
    ("lscpu", "LC_ALL=C lscpu"),
    ("architecture", "has lscpu || uname -m"),
    ("lsblk", "lsblk -b -d -n -P -e 1,7,11 -o NAME,TYPE,SIZE,ROTA,TRAN,VENDOR,MODEL"),
    ("df", "df -P -k / /data /usr/local /usr/local/Ascend /var /var/lib/docker /var/tmp"),
    ("links", "ip addr"),
    ("speeds", _SPEEDS),
    ("lspci", _BUS),
    ("lspci-names", '[ -z "$named" ] || lspci'),
    *NODES,
    ("pythons", _PYTHONS),
    ("python-packages", _PACKAGES),
    ("mindspore", 'printf %s "$mindspore"'),
    # MindSpore Lite is unpacked, not installed: on PATH, or where such archives are put.
    (
        "converter-lite",
        "PATH=$base:/usr/local/bin; command -v converter_lite; PATH=$base; "
        "there /usr/local/mindspore-lite-*/tools/converter/converter/converter_lite"
        " /opt/mindspore-lite-*/tools/converter/converter/converter_lite",
    ),
    # A home that the shell can name belongs to a user who is there.
    ("user", 'home=~HwHiAiUser; [ "$home" != "~HwHiAiUser" ] && id HwHiAiUser'),
    (
        "tools",
        f"PATH=$base:/usr/sbin:/sbin; {{ for t in {INSTALLER_CALLS}; do command -v $t || echo $t >&3; done; "
        "command -v update-rc.d || command -v chkconfig || echo chkconfig >&3; } 3>&1 >/dev/null; PATH=$base",
    ),
    (
        "headers",
        "read -r kernel </proc/sys/kernel/osrelease; "
        'set -- "/lib/modules/$kernel/build/." "/usr/src/kernels/$kernel"; there "$@"; [ -e "$1" ] && [ -e "$2" ]',
    ),
    ("packages", '! has rpm || rpm -q --qf "%{NAME} %{VERSION}-%{RELEASE}\\n" dkms gcc make kernel-devel'),
)

# A driver that is ill makes npu-smi hang: the rest is read all the same.
_NPU_SMI = r"""
PATH=$tools smi=
if has npu-smi; then
  smi=$(timeout 20 npu-smi info 2>&1)
  code=$?
  printf '%s\n' "$smi"
  status $code
else
  echo 'sh: npu-smi: command not found'
  status 127
fi"""

# Who has a device node open, and what is known of each such process and of each that npu-smi named: its parents, the
# container whose id its control group carries ("machine" is what pid 1's carries), its name.
HOLDERS = r"""
holders() {
set -- /dev/davinci*
[ -e "$1" ] || return 0
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
}
"""
NPUS: Sections = (("npu-smi", _NPU_SMI), ("holders", "holders"))

# All ports at once: a tool that has to wait for one NPU does not make the others wait.
_PORTS = r"""
PATH=$tools:/usr/local/Ascend/driver/tools
if has hccn_tool; then
  for node in /dev/davinci[0-9]*; do
    [ -e "$node" ] || continue
    ( n=${node#/dev/davinci}; told=$(timeout 10 hccn_tool -i "$n" -link -g 2>&1); printf 'npu %s\n%s\n' "$n" "$told" ) &
  done
  wait
fi"""
WAYS: Sections = (
    ("topology", "PATH=$tools; [ ! -e /dev/davinci_manager ] || timeout 20 npu-smi info -t topo"),
    ("ports", _PORTS),
)

# Docker's own client has nobody to ask where there is no socket, and takes a while to find that out; others that come
# under its name need none. Of a container's environment only the one variable that gives it NPUs leaves the machine:
# the others hold secrets.
CONTAINERS = r"""
answers() {
  case $docker in "Docker version"*) ;; *) return 0 ;; esac
  [ -n "$DOCKER_HOST$DOCKER_CONTEXT" ] || [ -S /var/run/docker.sock ] || [ -e ~/.docker/config.json ]
}
containers() {
has docker || return 0
answers || { echo 'there is no /var/run/docker.sock'; return 1; }
ids=$(docker ps -q --no-trunc) || return 1
[ -n "$ids" ] || return 0
docker inspect -f 'container {{.Id}} {{.State.Pid}} {{.HostConfig.Privileged}} {{.State.Status}} {{.Name}}
image {{.Config.Image}}
runtime {{.HostConfig.Runtime}}
devices {{json .HostConfig.Devices}}
env {{json .Config.Env}}' $ids | awk '/^env /{
  if (match($0, /"ASCEND_VISIBLE_DEVICES=[^"]*"/)) print "env " substr($0, RSTART, RLENGTH)
  next
} { print }'
}
"""

# One thread: starting a dozen costs a Go program more than it has to do here.
_RUNTIMES = r"""
docker=
if has docker; then
  docker=$(GOMAXPROCS=1 docker --version 2>&1)
  printf '%s\n' "$docker"
fi
for s in /run/containerd/containerd.sock /run/docker/containerd/containerd.sock; do
  [ -S "$s" ] && containerd --version && break
done
[ -S /run/isulad.sock ] && isula --version
[ -S /run/crio/crio.sock ] && crio --version | head -n 1
[ -e /usr/local/Ascend/Ascend-Docker-Runtime/ascend-docker-runtime ] && echo ascend-docker-runtime
[ -r /etc/docker/daemon.json ] &&
  sed -n 's/.*"default-runtime" *: *"\([^"]*\)".*/default-runtime \1/p' /etc/docker/daemon.json
true"""

DOCKER: Sections = (("containers", "containers"),)
ENGINES: Sections = (("runtimes", _RUNTIMES), *DOCKER)
