"""The Chinese catalogue is whole, and is what the pages are compiled from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest

from tests.conventions.test_project import ROOT, tracked

CATALOGUE = ROOT / "console" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
MEND = "run `manage.py makemessages`, translate what is empty in console/locale, run it again"


def entries(file: polib._BaseFile) -> dict:
    return {
        (entry.msgctxt, entry.msgid): entry.msgstr or dict(entry.msgstr_plural) for entry in file if not entry.obsolete
    }


def test_every_string_is_translated():
    catalogue = polib.pofile(str(CATALOGUE))
    assert [entry.msgid for entry in catalogue if entry.fuzzy or not entry.translated()] == [], MEND
    assert len(catalogue) > 200


def test_the_compiled_catalogue_is_the_one_that_is_read():
    assert entries(polib.mofile(str(CATALOGUE.with_suffix(".mo")))) == entries(polib.pofile(str(CATALOGUE))), MEND


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="gettext is not installed: the strings can't be read out")
def test_no_string_is_missing_from_the_catalogue(tmp_path: Path):
    for file in tracked("*.py", "*.html", "templates/*.txt", "*.toml", "*.po"):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    (tmp_path / "static").mkdir(exist_ok=True)
    command = [sys.executable, "manage.py", "makemessages"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    found = polib.pofile(str(tmp_path / CATALOGUE.relative_to(ROOT)))
    assert set(entries(found)) == set(entries(polib.pofile(str(CATALOGUE)))), MEND
