"""Prints how each fault went, by the number of its repeats: ``pytest tests/faults -p tests.faults.table``."""

from __future__ import annotations

import re
from collections import Counter

import pytest

right: Counter[str] = Counter()
wrong: Counter[str] = Counter()
skipped: set[str] = set()


def fault(nodeid: str) -> str:
    """The name of a test without the number of its repeat."""
    file, _, name = nodeid.partition("::")
    bare = re.sub(r"\[time\d+-?", "[", name).removesuffix("[]").removeprefix("test_").replace("_", " ")
    return f"{file.removeprefix('tests/faults/test_').removesuffix('.py')}: {bare}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name, times = fault(report.nodeid), int(dict(report.user_properties).get("repeats", 1))  # type: ignore[call-overload]
    if report.skipped:
        skipped.add(name)
    elif report.failed:
        wrong[name] += times
    elif report.when == "call":
        right[name] += times


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    say = terminalreporter.write_line
    say("repeats  right  wrong  fault")
    for name in sorted({*right, *wrong}):
        say(f"{right[name] + wrong[name]:7}  {right[name]:5}  {wrong[name]:5}  {name}")
    say(f"{right.total() + wrong.total():7}  {right.total():5}  {wrong.total():5}  all")
    for name in sorted(skipped):
        say(f"skipped: {name}")
