"""Every code of a check has its cause, its line in docs/preflight.md, and its sentence in the catalogue."""

from __future__ import annotations

import ast
from pathlib import Path

from hardware.inventory.preflight import CAUSES

ROOT = Path(__file__).resolve().parents[2]


def codes() -> dict[str, Path]:
    """What the rules and the kinds give to ``say`` and ``Check`` as a code, which is always written out there."""
    found: dict[str, Path] = {}
    for folder in ("hardware", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            # Others say as well: what a conversion or a split has done so far, for one.
            if "preflight" not in text or ("say(" not in text and "Check(" not in text):
                continue
            for node in ast.walk(ast.parse(text)):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                    continue
                if node.func.id not in ("say", "Check", "told") or path.name == "records.py":
                    continue
                first = node.args[0]
                # Handed on by a function that was given it.
                if isinstance(first, ast.Name) and first.id == "code":
                    continue
                assert isinstance(first, ast.Constant), f"{path}:{node.lineno}: write the code out"
                found[str(first.value)] = path
    return found


def test_every_code_has_a_cause_and_no_cause_is_left_over():
    assert {code for code in CAUSES if "/" not in code} == set(codes())


def test_every_code_is_documented():
    documented = (ROOT / "docs" / "preflight.md").read_text()
    assert [code for code in codes() if f"| `{code}` |" not in documented] == []
