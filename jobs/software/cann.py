"""Where CANN lies on a machine: since 8.5 in ``cann``, before that in ``ascend-toolkit``; the probe looks likewise.

Both are pieces of POSIX sh for the beginning of a command, to be followed by ``&&``. ``LOAD`` fails where there is no
CANN, and says which file is missing; ``LOAD_IF_THERE`` goes on without.
"""

from __future__ import annotations

FOLDER = "/usr/local/Ascend/cann"
OLD_FOLDER = "/usr/local/Ascend/ascend-toolkit"

_FIND = f"for cann in {FOLDER} {OLD_FOLDER}; do [ ! -f $cann/set_env.sh ] || break; done; "
LOAD = f"{{ {_FIND}. $cann/set_env.sh; }}"
LOAD_IF_THERE = f"{{ {_FIND}[ ! -f $cann/set_env.sh ] || . $cann/set_env.sh; }}"
