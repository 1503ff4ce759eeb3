from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from jobs import registry

ROOT = Path(__file__).resolve().parents[2]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists()]


def test_no_module_is_longer_than_400_lines():
    assert [p.name for p in tracked("*.py") if len(p.read_text().splitlines()) > 400] == []


def test_no_room_is_without_a_name():
    assert [p for p in tracked("*.py") if {"utils", "helpers", "common", "misc"} & {p.stem, p.parent.name}] == []


def test_every_kind_of_job_has_a_test():
    texts = "".join(p.read_text() for p in tracked("tests/jobs/kinds/*.py"))
    shipped = [slug for slug, kind in registry.all_kinds().items() if type(kind).__module__.startswith("jobs.")]
    assert shipped
    assert [slug for slug in shipped if f'"{slug}"' not in texts] == []


def test_every_setting_is_documented():
    documented = (ROOT / "docs" / "configuration.md").read_text()
    # Read in a fresh process: other tests read names of their own here.
    ask = "from console import env, settings; assert settings; print(*env.READ)"
    names = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "CONSOLE_PORT" in names
    assert [name for name in names if f"`{name}`" not in documented] == []
