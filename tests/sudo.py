"""A login user other than root, and how sudo treats it: by a stand-in that runs anywhere, and by the real one.

The stand-in says what sudo 1.9 says, on the outputs and with the statuses that it has, and takes a password as it does:
from stdin, a line at a time, three times. It changes no user; that a command went through it shows by ``$SUDO_USER``.
The real one wants root here: each session has a mount namespace with a user and a sudoers file of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECRET = "sudo s3cret'"
USER, UID = "ops", 4321

_STANDIN = """\
#!/bin/sh
here=HERE
asks=1 stdin=
while :; do
  case $1 in
    -n) asks= ;; -S) stdin=1 ;; -p) shift ;; -H) ;; --) shift; break ;; *) break ;;
  esac
  shift
done
. $here/rules
[ -z "$requiretty" ] || { echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1; }
if [ -z "$nopasswd" ]; then
  [ -n "$asks" ] || { echo 'sudo: a password is required' >&2; exit 1; }
  [ -n "$stdin" ] || { echo 'sudo: a terminal is required to read the password' >&2; exit 1; }
  [ -z "$lecture" ] || printf '\\nWe trust you have received the usual lecture.\\n\\n' >&2
  tries=0
  while :; do
    IFS= read -r given || {
      echo >&2
      echo 'sudo: no password was provided' >&2
      [ $tries = 0 ] || echo "sudo: $tries incorrect password attempt" >&2
      exit 1
    }
    [ "$given" = "$(cat $here/secret)" ] && break
    tries=$((tries + 1))
    echo x >>$here/wrong
    [ $tries = 3 ] && { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }
    echo 'Sorry, try again.' >&2
  done
fi
[ -z "$nobody" ] || { echo 'ops is not in the sudoers file.' >&2; exit 1; }
printf '%s\\n' "$*" >>$here/log
exec env -i HOME=/root USER=root LOGNAME=root SUDO_USER=ops PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""

_ENTER = """\
mount --bind HERE/passwd /etc/passwd && mount --bind HERE/shadow /etc/shadow && mount --bind HERE/sudoers /etc/sudoers
exec setpriv --reuid=4321 --regid=4321 --clear-groups env -i PATH=$PATH HOME=/tmp USER=ops LANG=zh_CN.UTF-8 \
  /bin/sh -c "$1"
"""


def real_sudo_works() -> bool:
    return os.geteuid() == 0 and all(map(shutil.which, ("sudo", "setpriv", "unshare", "openssl")))


@dataclass
class Sudo:
    """What the user may do is set by ``allow``; ``session`` is how its sessions are started."""

    folder: Path
    real: bool

    def __post_init__(self) -> None:
        self.folder.chmod(0o755)
        here = str(self.folder)
        if not self.real:
            tool = self.folder / "sudo"
            tool.write_text(_STANDIN.replace("HERE", here))
            tool.chmod(0o755)
            (self.folder / "secret").write_text(SECRET)
        else:
            hashed = subprocess.run(
                ["openssl", "passwd", "-6", "-stdin"], input=SECRET, capture_output=True, text=True, check=True
            ).stdout.strip()
            for name, line in (("passwd", f"{USER}:x:{UID}:{UID}::/tmp:/bin/sh\n"),
                               ("shadow", f"{USER}:{hashed}:19000:0:99999:7:::\n")):  # fmt: skip
                (self.folder / name).write_text(Path("/etc", name).read_text() + line)
            (self.folder / "enter").write_text(_ENTER.replace("HERE", here))
        self.allow("ops")

    def allow(self, *rules: str) -> None:
        """``ops`` (with its password), ``nopasswd``, ``nobody``, ``requiretty``, ``lecture``."""
        if not self.real:
            (self.folder / "rules").write_text("".join(f"{rule}=1\n" for rule in rules))
            return
        lines = [
            "Defaults use_pty",
            'Defaults secure_path="/usr/sbin:/usr/bin:/sbin:/bin"',
            "Defaults timestamp_timeout=0",
        ]
        lines += ["Defaults lecture=always"] if "lecture" in rules else ["Defaults lecture=never"]
        lines += ["Defaults requiretty"] if "requiretty" in rules else []
        if "nobody" not in rules:
            lines.append(f"{USER} ALL=(root) {'NOPASSWD: ' if 'nopasswd' in rules else ''}ALL")
        sudoers = self.folder / "sudoers"
        sudoers.unlink(missing_ok=True)
        sudoers.write_text("\n".join(lines) + "\n")
        sudoers.chmod(0o440)

    def session(self, command: str) -> list[str]:
        """The command line of a session in which the user runs ``command``."""
        if self.real:
            return ["unshare", "-m", "sh", str(self.folder / "enter"), command]
        return ["/bin/sh", "-c", f"PATH={shlex.quote(str(self.folder))}:$PATH; {command}"]
