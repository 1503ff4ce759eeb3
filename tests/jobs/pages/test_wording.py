"""Every step that a kind plans has its title in the reader's language."""

from __future__ import annotations

import ast
import gc
from pathlib import Path

import pytest
from django.utils.translation import override

from jobs.pages import causes, wording

ROOT = Path(__file__).resolve().parents[3]


def calls(*names: str) -> list[tuple[str, ast.Call]]:
    found = []
    # What is collected while a file is parsed may have a stack trace to log, and that parses, too: Python 3.11 refuses.
    gc.collect()
    for file in [*ROOT.glob("jobs/*.py"), *ROOT.glob("jobs/kinds/*/*.py"), *ROOT.glob("jobs/depot/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                found.append((file.name, node))
    return found


def sentence(node: ast.expr) -> str:
    """A literal as it would be said, with a word where a value comes."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "7" for part in node.values)
    return node.value if isinstance(node, ast.Constant) else ""


def test_every_title_of_a_step_is_translated():
    titles = {sentence(call.args[1]) for _, call in calls("Step") if len(call.args) > 1} - {""}
    assert len(titles) > 15
    with override("zh-hans"):
        assert [title for title in titles if wording.title(title) == title] == []


@pytest.mark.parametrize("text", ["Something that no kind says yet", "", "100 % done"])
def test_what_is_new_is_said_as_it_was_stored(text):
    with override("zh-hans"):
        assert wording.title(text) == text and causes.mend(text) == text and causes.cause(text) == text
