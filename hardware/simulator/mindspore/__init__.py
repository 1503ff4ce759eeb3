"""A stand-in for MindSpore on simulated machines: it answers the check, and computes nothing.

What it prints is what the real one prints. It looks for what the real one needs: the environment of CANN, a driver
that is loaded, and the Python packages that CANN's compiler asks for.
"""

import importlib.machinery
import os
from pathlib import Path
from typing import Any

__version__ = "2.4.10"

_SITE = Path(__file__).resolve().parent.parent
# What the compiler of CANN imports at the first operator.
_COMPILER = ("attrs", "decorator", "psutil", "scipy", "sympy")
_UNSUPPORTED = """\
Unsupported device target {0}. This process only supports one of the ['CPU']. Please check whether the {0} environment \
is installed and configured correctly, and check whether current mindspore wheel package was built with "-e {0}". \
For details, please refer to "Device load error message".

----------------------------------------------------
- Device load error message:
----------------------------------------------------
Load dynamic library: libmindspore_ascend.so.2 failed. {1}: cannot open shared object file: No such file or directory
"""
_target = "CPU"


def set_context(**options: Any) -> None:
    """Chooses the platform. Raises ``RuntimeError`` in the real one's words."""
    global _target
    target = options.get("device_target", _target)
    if target == "Ascend":
        home = os.environ.get("ASCEND_HOME_PATH", "")
        if not home or not Path(home).exists():
            raise RuntimeError(_UNSUPPORTED.format(target, "libge_runner.so"))
        if not Path("/run/davinci/driver").exists():
            raise RuntimeError(_UNSUPPORTED.format(target, "libascend_hal.so"))
    elif target != "CPU":
        raise RuntimeError(_UNSUPPORTED.format(target, "libcublas.so.11"))
    _target = target


def set_device(device_target: str, device_id: int | None = None) -> None:
    set_context(device_target=device_target)


def get_context(name: str) -> Any:
    return {"device_target": _target}[name]


def run_check() -> None:
    """Prints how it went; raises nothing, as the real one."""
    print("MindSpore version: ", __version__)
    try:
        if _target == "Ascend":
            for name in _COMPILER:
                if importlib.machinery.PathFinder.find_spec(name, [str(_SITE)]) is None:
                    raise ModuleNotFoundError(f"No module named '{name}'")
        print(
            "The result of multiplication calculation is correct, MindSpore has been installed on platform "
            f"[{_target}] successfully!"
        )
    except Exception as wrong:
        print("MindSpore running check failed.")
        print(wrong)
