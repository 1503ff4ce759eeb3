"""How often each fault is repeated: what goes wrong here may go wrong seldom.

``FAULT_REPEATS`` says it; without it once, and twenty times in CI. A test with the mark ``costly(N)`` is repeated an
N-th as often. One that asks for ``at_once`` is not repeated: it does so many of what it does under one fault.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware.inventory.models import Machine
from tests.faults.links import Link
from tests.faults.processes import Process
from tests.faults.service import Service
from tests.sshd import Server

# Fewer than that are no crowd.
FEWEST = 5


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "costly(times): repeated so many times less often than other faults")


def repeats() -> int:
    given = os.environ.get("FAULT_REPEATS", "20" if os.environ.get("CI") == "true" else "1")
    return int(given)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # A busy machine makes a fault slow, not wrong.
        if "tests/faults/" in item.nodeid and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    # Before the database is emptied, which a process that was stopped could hold up.
    Process.kill_all()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "at_once" in metafunc.fixturenames:
        return
    costly = metafunc.definition.get_closest_marker("costly")
    number = max(1, repeats() // costly.args[0]) if costly else repeats()
    if number > 1:
        metafunc.fixturenames.append("repeat")
        metafunc.parametrize("repeat", range(number), ids=lambda time: f"time{time}")


@pytest.fixture
def at_once(record_property: Callable[[str, object], None]) -> int:
    """How many jobs meet the fault at once: as many as other faults are repeated."""
    number = max(FEWEST, repeats())
    record_property("repeats", number)
    return number


@pytest.fixture
def slow_shell(sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes a moment to say that a command has ended."""
    shell = tmp_path / "slow-sh"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nstatus=$?\nsleep 0.3\nexit $status\n')
    shell.chmod(0o755)
    monkeypatch.setattr(sshd, "shell", str(shell))


@pytest.fixture
def link(machine: Machine) -> Iterator[Link]:
    """The machine's link leads through a proxy, for workers in processes of their own."""
    made = Link(machine)
    yield made
    made.close()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.first_may_go.set()
    made.shutdown()
    made.server_close()
