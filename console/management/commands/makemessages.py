"""``manage.py makemessages``: the Chinese catalogue brought up to date, sorted, without line numbers, and compiled.

Two branches that add strings then touch different lines. Where they meet in one hunk all the same, or in the compiled
file, take either side and run this again.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.commands import makemessages


class Command(makemessages.Command):
    msgmerge_options = ["-q", "--backup=none", "--update", "--no-fuzzy-matching", "--sort-output", "--no-wrap"]
    msguniq_options = ["--to-code=utf-8", "--sort-output", "--no-wrap"]
    msgattrib_options = ["--no-obsolete", "--sort-output", "--no-wrap"]
    xgettext_options = ["--from-code=UTF-8", "--add-comments=Translators", "--no-wrap"]

    def handle(self, *args: Any, **options: Any) -> None:
        options["locale"] = options["locale"] or ["zh_Hans"]
        options["no_location"] = options["no_obsolete"] = True
        options["ignore_patterns"] += ["var/*", ".venv/*", "static/*", "tests/*", "docs/*"]
        super().handle(*args, **options)
        for file in Path(settings.LOCALE_PATHS[0]).rglob("*.po"):
            # The time of the run is no news; it would make every two branches differ.
            file.write_text(re.sub(r'(?m)^"(POT-Creation-Date|PO-Revision-Date): .*\n', "", file.read_text()))
        call_command("compilemessages", locale=options["locale"], ignore_patterns=["var/*", ".venv/*"], verbosity=0)
