"""The shell texts that change a login user's ``authorized_keys``, in POSIX sh for dash, bash and busybox.

The file is replaced by a rename, so that sshd reads the old one or the new one, whatever is killed in between. Its
other lines, its owner and its mode stay as they are. Run again, a text finds its work done.
"""

from __future__ import annotations

import shlex


def _find(user: str, home: str) -> str:
    return f"""\
home={home or f"~{user}"}
[ -d "$home" ] || {{ echo "user {user} has no home folder here" >&2; exit 1; }}
folder=$home/.ssh
file=$folder/authorized_keys
if [ -L "$file" ]; then file=$(readlink -f "$file") || exit 1; fi
has() {{ [ -f "$file" ] && grep -v '^[[:space:]]*#' "$file" | grep -qF -- "$1"; }}
"""


# Mode and owner before the rename: sshd ignores a file that others may write, and one that is not its user's.
_PUT = """\
if [ -f "$file" ]; then
  mode=$(stat -c %a "$file") && owner=$(stat -c %u:%g "$file") || exit 1
else
  mode=600 owner=$user:
fi
chmod "$mode" "$file.console" && chown "$owner" "$file.console" && mv -f "$file.console" "$file" || exit 1
if command -v restorecon >/dev/null 2>&1; then restorecon "$folder" "$file"; fi
"""


def add_text(user: str, line: str, old: str, *, home: str = "") -> str:
    """Adds the public key ``line``, with the options (``from=`` and the like) that the key ``old`` has there.

    ``old`` is the base64 part of the old key, or empty. ``home`` is the user's folder if it is not to be looked up.
    """
    blob = line.split()[1]
    return f"""\
umask 077
user={shlex.quote(user)}
{_find(user, home)}\
if has {blob}; then echo "the new key is there already"; exit 0; fi
if [ ! -d "$folder" ]; then mkdir "$folder" && chown "$user:" "$folder" || exit 1; fi
options=
if [ -n "{old}" ] && [ -f "$file" ]; then
  options=$(awk -v old="{old}" '!/^[ \\t]*#/ && (at = index($0, old)) {{
    before = substr($0, 1, at - 1); sub(/[^ \\t]+[ \\t]+$/, "", before); printf "%s", before; exit }}' "$file")
fi
line={shlex.quote(line)}
{{ if [ -f "$file" ]; then awk 1 "$file"; fi && printf '%s%s\\n' "$options" "$line"; }} >"$file.console" || exit 1
{_PUT}echo "the new key was added to $file"
"""


def remove_text(user: str, new: str, old: str, *, home: str = "") -> str:
    """Takes the lines of the key ``old`` away, but only where the key ``new`` is; both are base64 parts."""
    return f"""\
umask 077
user={shlex.quote(user)}
{_find(user, home)}\
has {new} || {{ echo "the new key is not in $file: the old one stays" >&2; exit 1; }}
if ! grep -qF -- {old} "$file"; then echo "the old key is not there any more"; exit 0; fi
awk -v old="{old}" 'index($0, old) == 0' "$file" >"$file.console" || exit 1
{_PUT}echo "the old key was taken out of $file"
"""
