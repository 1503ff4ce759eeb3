"""An app that gives a whole console the kinds of these tests."""

from __future__ import annotations

from pathlib import Path

from django.apps import AppConfig


class TestKinds(AppConfig):
    name = "tests.faults"
    label = "test_kinds"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        from tests import command_kind
        from tests.faults import kinds

        command_kind.register()
        kinds.register()
