"""The shell texts that start, follow and stop a detached run on a machine, in POSIX sh for dash, bash and busybox.

A run's folder, ``ROOT/RUN_ID``, mode 0700:

==============  =======================================================================================
``command``     what is run, byte for byte
``secrets/``    a file for each secret that the command reads, gone when the command has ended
``started/``    the start mark. It is a folder: making it is atomic, so exactly one starter goes on
``boot_id``     of the boot in which it was started
``supervisor``  pid of the shell that waits for the command
``pid``         pid of the command; it leads its own session, so -pid is its process group
``log``         stdout and stderr, one file
``exit``        the exit status, put there last by a rename; its room is taken before the command starts
==============  =======================================================================================

A run is begun in two moves. The first makes the folder and gives the machine's boot id, which the caller writes down.
The second makes the mark and starts the command, only where there is a folder without a mark, and in that same boot. So
a folder that was removed, or a mark that a power cut took away, is never taken for a run that was not started; and a
second move that arrives late, when the folder was discarded, starts nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

RUNS_DIR = "/var/tmp/ascend-console/runs"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

# Exit codes of the texts below, apart from those of sh itself.
NO_SPACE_OR_RIGHT = 91
NO_RUN = 93
REBOOTED = 94
SUPERVISOR_GONE = 95
LOG_CUT = 96

# The environment comes over stdin in a file that is gone before the command starts: `ps` never shows it.
_SUPERVISE = """\
trap '' HUP
cd / || exit 1
echo $$ >"$d/supervisor"
if [ -f "$d/env" ]; then . "$d/env"; rm -f "$d/env"; fi
if [ -d "$d/secrets" ]; then CONSOLE_SECRETS="$d/secrets"; export CONSOLE_SECRETS; fi
: >"$d/log"
echo "    " >"$d/exit.new"
setsid sh "$d/command" >>"$d/log" 2>&1 </dev/null &
child=$!
echo $child >"$d/pid.new"; mv -f "$d/pid.new" "$d/pid"
wait $child
status=$?
rm -rf "$d/secrets"
until printf '%-4s\n' $status 1<>"$d/exit.new" && mv -f "$d/exit.new" "$d/exit"; do
  # Without its folder there is nobody left to tell.
  [ -d "$d" ] && sleep 1 || exit 1
done
"""


def prepare_text(root: str, run_id: str, command: str) -> str:
    """For ``sh -s``: makes the run's folder if it is not there, starts nothing; prints the machine's boot id."""
    supervise = f"d={shlex.quote(f'{root}/{run_id}')}\n{_SUPERVISE}"
    return f"""\
umask 077
d={shlex.quote(f"{root}/{run_id}")}
mkdir -p {shlex.quote(root)} || exit {NO_SPACE_OR_RIGHT}
{_wipe_left(root)}mkdir "$d" 2>/dev/null || [ -d "$d" ] || exit {NO_SPACE_OR_RIGHT}
if [ ! -d "$d/started" ]; then
  printf %s {shlex.quote(command)} >"$d/command.$$" && mv -f "$d/command.$$" "$d/command" || exit {NO_SPACE_OR_RIGHT}
  printf %s {shlex.quote(supervise)} >"$d/supervise.$$" && mv -f "$d/supervise.$$" "$d/supervise" \\
    || exit {NO_SPACE_OR_RIGHT}
fi
cat {BOOT_ID}
"""


def _wipe_left(root: str) -> str:
    """Secrets of runs that a restart or a killed supervisor ended while nobody could reach the machine to remove them.

    A run without a boot id, or in this boot without a supervisor's pid, is only just being started.
    """
    return f"""\
for s in {shlex.quote(root)}/*/secrets; do
  r=${{s%/secrets}}
  [ -s "$r/boot_id" ] || continue
  if [ "$(cat "$r/boot_id")" = "$(cat {BOOT_ID})" ]; then
    p=$(cat "$r/supervisor" 2>/dev/null)
    [ -n "$p" ] && ! kill -0 "$p" 2>/dev/null || continue
  fi
  rm -rf "$s"
done
"""


def start_text(
    root: str,
    run_id: str,
    boot_id: str,
    env: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> str:
    """For ``sh -s``: starts a prepared run or attaches to it; prints ``started`` or ``attached``, then its boot id."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted((env or {}).items()))
    write_env = f'printf %s {shlex.quote(exports)} >"$d/env" || exit {NO_SPACE_OR_RIGHT}' if exports else ":"
    return f"""\
umask 077
d={shlex.quote(f"{root}/{run_id}")}
how=attached
if [ ! -d "$d/started" ]; then
  [ "$(cat {BOOT_ID})" = {shlex.quote(boot_id)} ] || exit {REBOOTED}
  [ -f "$d/supervise" ] || exit {NO_RUN}
  if mkdir "$d/started" 2>/dev/null; then
    how=started
    {write_env}
    {_write_secrets(secrets or {})}
    cat {BOOT_ID} >"$d/boot_id.new" && mv -f "$d/boot_id.new" "$d/boot_id" || exit {NO_SPACE_OR_RIGHT}
    setsid sh "$d/supervise" </dev/null >/dev/null 2>&1 &
  fi
fi
n=0
while [ ! -s "$d/boot_id" ] && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1 2>/dev/null || sleep 1; done
echo $how
cat "$d/boot_id"
"""


def _write_secrets(secrets: Mapping[str, str]) -> str:
    """Each in a file of its own, by a command of the shell itself: no process has them among its arguments.

    Only the one starter that made the mark writes them, so that none is put back after the command has ended. Where
    there is no room for them the mark is taken back: nothing was run.
    """
    if not secrets:
        return ":"
    files = [f'printf %s {shlex.quote(value)} >"$d/secrets/{name}"' for name, value in sorted(secrets.items())]
    written = " && ".join(['mkdir "$d/secrets"', *files])
    return f'{{ {written}; }} || {{ rm -rf "$d/secrets"; rmdir "$d/started"; exit {NO_SPACE_OR_RIGHT}; }}'


def follow_text(root: str, run_id: str, after: int) -> str:
    """Streams the log from byte ``after`` on until the run has ended; the caller counts what it got."""
    return f"""\
d={shlex.quote(f"{root}/{run_id}")}
[ -d "$d/started" ] || exit {NO_RUN}
if [ ! -f "$d/exit" ] && [ "$(cat "$d/boot_id")" != "$(cat {BOOT_ID})" ]; then exit {REBOOTED}; fi
n=0
while [ ! -f "$d/log" ] && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1 2>/dev/null || sleep 1; done
[ -f "$d/log" ] || exit {SUPERVISOR_GONE}
[ "$(wc -c <"$d/log")" -ge {after} ] || exit {LOG_CUT}
tail -c +{after + 1} -f "$d/log" 2>/dev/null &
t=$!
n=0
while [ ! -f "$d/exit" ]; do
  kill -0 $t 2>/dev/null || exit 1
  if ! kill -0 "$(cat "$d/supervisor" 2>/dev/null)" 2>/dev/null; then
    sleep 1
    if [ ! -f "$d/exit" ]; then
      kill $t
      [ -d "$d/started" ] || exit {NO_RUN}
      exit {SUPERVISOR_GONE}
    fi
  fi
  n=$((n + 1))
  if [ $n -lt 100 ]; then sleep 0.1 2>/dev/null || sleep 1; else sleep 1; fi
done
kill $t 2>/dev/null
exit 0
"""


def status_text(root: str, run_id: str) -> str:
    """Prints ``key=value`` lines about the run, the machine's present boot id among them."""
    return f"""\
d={shlex.quote(f"{root}/{run_id}")}
echo now=$(cat {BOOT_ID})
[ -d "$d" ] && echo exists=1
[ -d "$d/started" ] && echo started=1
echo boot=$(cat "$d/boot_id" 2>/dev/null)
echo exit=$(cat "$d/exit" 2>/dev/null)
[ -f "$d/log" ] && echo size=$(wc -c <"$d/log")
s=$(cat "$d/supervisor" 2>/dev/null)
[ -n "$s" ] && kill -0 "$s" 2>/dev/null && echo alive=1
exit 0
"""


def finish_text(root: str, run_id: str) -> str:
    """Prints exit status, the log's size now, and the SHA-256 of so much of it: something may still write there."""
    d = shlex.quote(f"{root}/{run_id}")
    return f'cd {d} && n=$(wc -c <log) && echo "$(cat exit) $n $(head -c $n log | sha256sum | cut -d" " -f1)"'


def rest_text(root: str, run_id: str, after: int, size: int) -> str:
    """Prints the log from byte ``after`` to byte ``size``."""
    return f"tail -c +{after + 1} {shlex.quote(f'{root}/{run_id}/log')} | head -c {size - after}"


def cancel_text(root: str, run_id: str, grace: int) -> str:
    """TERM to the command's process group, KILL after ``grace`` seconds; waits until the exit status is written."""
    return f"""\
d={shlex.quote(f"{root}/{run_id}")}
[ -d "$d/started" ] || exit 0
n=0
while [ ! -s "$d/pid" ] && [ ! -f "$d/exit" ] && [ $n -lt 20 ]; do n=$((n + 1)); sleep 0.1 2>/dev/null || sleep 1; done
p=$(cat "$d/pid" 2>/dev/null)
[ -n "$p" ] || exit 0
[ "$(cat "$d/boot_id")" = "$(cat {BOOT_ID})" ] || exit 0
kill -TERM -"$p" 2>/dev/null
n=0
while kill -0 -"$p" 2>/dev/null && [ $n -lt {grace * 10} ]; do
  n=$((n + 1))
  sleep 0.1 2>/dev/null || {{ sleep 1; n=$((n + 9)); }}
done
kill -KILL -"$p" 2>/dev/null
n=0
while [ ! -f "$d/exit" ] && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1 2>/dev/null || sleep 1; done
exit 0
"""
