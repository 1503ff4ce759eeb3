"""``manage.py makemessages``: the Chinese catalogue brought up to date, sorted, without line numbers, and compiled.

Two branches that add strings then touch different lines. Where they meet in one hunk all the same, or in the compiled
file, take either side and run this again.

A data file has sentences as well: a TOML file whose ``translate`` names keys gives the catalogue their values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.commands import makemessages


class BuildFile(makemessages.BuildFile):
    """What xgettext is given of a file; it reads no TOML, so its sentences are written out as Python for it."""

    def preprocess(self) -> None:
        if not self.path.endswith(".toml"):
            return super().preprocess()
        data = tomllib.loads(Path(self.path).read_text("utf-8"))
        marked = (f"gettext_noop({sentence!r})\n" for sentence in _values(data, set(data.get("translate", ()))))
        Path(self.work_path).write_text("".join(marked), "utf-8")


def _values(data: Any, keys: set[str]) -> Iterator[str]:
    if isinstance(data, list):
        for one in data:
            yield from _values(one, keys)
    elif isinstance(data, dict):
        for key, value in data.items():
            if key in keys and isinstance(value, str):
                yield value
            yield from _values(value, keys)


class Command(makemessages.Command):
    build_file_class = BuildFile
    msgmerge_options = ["-q", "--backup=none", "--update", "--no-fuzzy-matching", "--sort-output", "--no-wrap"]
    msguniq_options = ["--to-code=utf-8", "--sort-output", "--no-wrap"]
    msgattrib_options = ["--no-obsolete", "--sort-output", "--no-wrap"]
    xgettext_options = ["--from-code=UTF-8", "--add-comments=Translators", "--no-wrap"]

    def handle(self, *args: Any, **options: Any) -> None:
        options["locale"] = options["locale"] or ["zh_Hans"]
        options["extensions"] = options["extensions"] or ["html", "txt", "py", "toml"]
        options["no_location"] = options["no_obsolete"] = True
        options["ignore_patterns"] += ["var/*", ".venv/*", "static/*", "tests/*", "docs/*"]
        super().handle(*args, **options)
        for file in Path(settings.LOCALE_PATHS[0]).rglob("*.po"):
            # The time of the run is no news; it would make every two branches differ.
            file.write_text(re.sub(r'(?m)^"(POT-Creation-Date|PO-Revision-Date): .*\n', "", file.read_text()))
        call_command("compilemessages", locale=options["locale"], ignore_patterns=["var/*", ".venv/*"], verbosity=0)
