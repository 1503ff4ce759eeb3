"""``FAULT_REPEATS=20`` runs each fault test twenty times: what goes wrong here may go wrong seldom."""

from __future__ import annotations

import os

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    repeats = int(os.environ.get("FAULT_REPEATS", "1"))
    if repeats > 1:
        metafunc.fixturenames.append("repeat")
        metafunc.parametrize("repeat", range(repeats))
