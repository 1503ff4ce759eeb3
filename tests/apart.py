"""Tests in several processes at a time: each process has a state folder of its own, made before settings are read.

With it go the database, the depot, the keys and the socket of Redis; ports are shared out by ``tests.ports``. The tests
of a file run in one process, for what its fixtures have started. Fault tests start all that they need themselves: they
go wherever there is room.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# How the runner of several processes names the one that this is: gw0, gw1, ...
NAME = os.environ.get("PYTEST_XDIST_WORKER", "")
NUMBER = int(NAME.removeprefix("gw") or 0)
# What takes longest begins first, so that no process is left alone with it; the small pieces come last.
FIRST = ["tests/e2e/test_demo.py", "tests/faults/test_console.py", "tests/e2e/"]
SINGLY = "tests/faults/"
# Fault tests that start much: one after another.
TOGETHER = ("tests/faults/test_console.py", "tests/faults/test_postgres.py")

if NAME and Path(os.environ.get("CONSOLE_VAR", "")).name != NAME:
    base = os.environ.get("CONSOLE_VAR") or Path(__file__).parents[1] / "var" / "tests"
    os.environ["CONSOLE_VAR"] = str(Path(base) / NAME)


class ByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file.startswith(SINGLY) and file not in TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    # Units go out in the order of collection, not by their number of tests.
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        starts = [i for i, start in enumerate(FIRST) if item.nodeid.startswith(start)]
        return starts[0] if starts else len(FIRST) + item.nodeid.startswith(SINGLY)

    items.sort(key=place)
