from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from console import env


def test_what_is_unset_or_blank_gives_the_default(monkeypatch):
    monkeypatch.setenv("X_BLANK", "  ")
    assert env.integer("X_BLANK", 7, low=1, high=9) == 7
    assert env.flag("X_UNSET", True) and env.text("X_UNSET", "a") == "a" and env.names("X_UNSET", ["b"]) == ["b"]


@pytest.mark.parametrize(
    ("read", "value", "words"),
    [
        (lambda: env.integer("X", 1, low=1, high=9), "ten", "no whole number; use 1 to 9"),
        (lambda: env.integer("X", 1, low=1, high=9), "10", "out of range; use 1 to 9"),
        (lambda: env.flag("X"), "maybe", "neither yes nor no"),
        (lambda: env.choice("X", "a", ["a", "b"]), "c", "use one of a, b"),
        (lambda: env.path("X", Path("/a")), "b/c", "relative path"),
        (lambda: env.url("X", schemes=["redis"]), "http://u:secret@h", "use one of redis://"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_the_variable(monkeypatch, read, value, words):
    monkeypatch.setenv("X", value)
    with pytest.raises(ImproperlyConfigured) as refused:
        read()
    text = str(refused.value)
    assert text.startswith("X") and words in text and "\n" not in text and "secret" not in text
