"""``FAULT_REPEATS=20`` runs each fault test twenty times: what goes wrong here may go wrong seldom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sshd import Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    repeats = int(os.environ.get("FAULT_REPEATS", "1"))
    if repeats > 1:
        metafunc.fixturenames.append("repeat")
        metafunc.parametrize("repeat", range(repeats))


@pytest.fixture
def slow_shell(sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that takes a moment to say that a command has ended."""
    shell = tmp_path / "slow-sh"
    shell.write_text('#!/bin/sh\n/bin/sh "$@"\nstatus=$?\nsleep 0.3\nexit $status\n')
    shell.chmod(0o755)
    monkeypatch.setattr(sshd, "shell", str(shell))
