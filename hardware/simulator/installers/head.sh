#!/bin/sh
# A stand-in for @NAME@: it installs nothing but version files and links to other stand-ins.
# Its texts follow those of the real package; it runs on simulated machines only.
if [ ! -f /etc/simulated-machine ] || [ ! -d /usr/local/simulated ]; then
  echo "$0: this is a stand-in for demonstrations and tests; it runs on simulated machines only." >&2
  exit 1
fi

NAME='@NAME@'
VERSION='@VERSION@'
ROOT=/usr/local/Ascend
INFO=/etc/ascend_install.info
LOGS=/var/log/ascend_seclog
LOG=$LOGS/ascend_install.log
SIMULATED=/usr/local/simulated
RED=$(printf '\033[31m') GREEN=$(printf '\033[32m') RESET=$(printf '\033[0m')

payload() { tail -c "@SIZE@" "$0"; }

verify() {
  printf 'Verifying archive integrity...'
  sum=$(payload | sha256sum | cut -d' ' -f1)
  if [ "$sum" != '@SHA256@' ]; then
    printf '\nError in SHA256 checksums: %s is different from %s\n' "$sum" '@SHA256@' >&2
    exit 2
  fi
  echo '  100%   SHA256 checksums are OK. All good.'
}

stamp() { date '+%Y-%m-%d %H:%M:%S'; }

# say LEVEL TEXT: to the terminal and, without colours, to the log.
say() {
  now=$(stamp)
  echo "[$COMPONENT] [$now] [$1]$2"
  note "$1" "$2" "$now"
}
# note LEVEL TEXT [TIME]: to the log alone.
note() { echo "[$COMPONENT] [${3:-$(stamp)}] [$1]$2" | sed 's/\x1b\[[0-9;]*m//g' >>"$LOG"; }

begin() {
  mkdir -p "$LOGS" && chmod 750 "$LOGS"
  say INFO "Start time: $(stamp)"
  say INFO "LogFile: $LOG"
  say INFO "OperationLogFile: $LOGS/operation.log"
  echo "$1 MINOR root $(stamp) 127.0.0.1 $NAME start installmode=${mode#--}; cmdlist=$cmdlist" >>"$LOGS/operation.log"
}

finish() {
  say INFO "End time: $(stamp)"
  release
  exit "$1"
}

refuse() {
  say ERROR "$1"
  finish 1
}

# One installer at a time on a machine; a lock whose owner is gone is nobody's.
LOCK=/run/ascend_installer.lock
take() {
  if ! (set -C; echo $$ >$LOCK) 2>/dev/null; then
    owner=$(cat $LOCK)
    if kill -0 "$owner" 2>/dev/null; then
      say ERROR 'ERR_NO:0x0094;ERR_DES:There is already a process being executed,please do not execute multiple tasks at the same time'
      say INFO "End time: $(stamp)"
      exit 1
    fi
    echo $$ >$LOCK
  fi
  held=1
}
release() { [ -z "$held" ] || rm -f $LOCK; }
trap 'release; exit 143' TERM INT

fault() { grep -qx "$1\(=.*\)\?" $SIMULATED/faults 2>/dev/null; }

require_root() {
  [ "$(id -u)" -eq 0 ] || refuse 'ERR_NO:0x0093;ERR_DES:do not have root permission, operation failed, please use root permission!'
}

# Remembers KEY=VALUE in the install info.
remember() {
  touch $INFO
  grep -v "^$1=" $INFO >$INFO.new
  echo "$1=$2" >>$INFO.new
  mv -f $INFO.new $INFO
}

# within VERSION LOW HIGH: a bound of n parts speaks of the first n parts.
within() {
  awk -v v="$1" -v low="$2" -v high="$3" '
    function part(text, n,  parts, count) {
      count = split(text, parts, ".")
      if (n > count) return 0
      return parts[n] ~ /^rc/ ? -1 + substr(parts[n], 3) / 1000 : parts[n] + 0
    }
    function compare(a, b, n,  i) {
      for (i = 1; i <= n; i++) if (part(a, i) != part(b, i)) return part(a, i) < part(b, i) ? -1 : 1
      return 0
    }
    BEGIN { exit !(compare(v, low, split(low, x, ".")) >= 0 && compare(v, high, split(high, x, ".")) <= 0) }'
}

value() { sed -n "s/^$2=//p" "$1" 2>/dev/null | head -n 1; }
chips() { lspci -n -d 19e5:d801 | wc -l; }
