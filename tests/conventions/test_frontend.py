"""What the pages are made of: nothing from elsewhere, nothing inline, vendored files as they were published."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "static" / "vendor"
OWN = [p for p in (ROOT / "static").rglob("*") if p.suffix in (".css", ".js", ".svg") and VENDOR not in p.parents]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def test_vendored_files_are_the_ones_that_were_published():
    listed = {
        file: digest
        for entry in json.loads((VENDOR / "VENDOR.json").read_text())
        for file, digest in entry["files"].items()
    }
    assert {file: hashlib.sha256((ROOT / file).read_bytes()).hexdigest() for file in listed} == listed
    lying = {str(p.relative_to(ROOT)) for p in VENDOR.rglob("*") if p.is_file()}
    allowed = {
        "static/vendor/VENDOR.json",
        *(entry["licence_file"] for entry in json.loads((VENDOR / "VENDOR.json").read_text())),
    }
    assert lying - allowed - set(listed) == set()
    assert [file for file in allowed if not (ROOT / file).is_file()] == []


def test_no_page_names_an_address_elsewhere():
    elsewhere = re.compile(r"(?:https?:)?//(?!www\.w3\.org/)[a-z0-9-]+\.[a-z]", re.IGNORECASE)
    assert [str(p) for p in [*TEMPLATES, *OWN] if elsewhere.search(p.read_text())] == []


def test_no_template_has_inline_script_or_style():
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=[\"']|javascript:", re.IGNORECASE)
    # Data for a module travels as JSON, which is no script.
    found = {str(p): inline.findall(p.read_text().replace('<script type="application/json"', "")) for p in TEMPLATES}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_colours_are_named_once():
    css = (ROOT / "static" / "css" / "console.css").read_text()
    after = css.split("- 2 base */", 1)[1]
    # The frames drawn on a picture of a board lie on the picture, not on the theme.
    rules = [line for line in after.splitlines() if not line.startswith((".bx", ".bl"))]
    assert [line for line in rules if re.search(r"#[0-9a-f]{6}\b", line)] == []


def test_every_file_that_a_page_asks_for_is_collected(tmp_path: Path):
    # The real storage is strict: a stylesheet or a module that names a missing file stops it.
    environment = {**os.environ, "CONSOLE_VAR": str(tmp_path)}
    command = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=100)
    named = {m for p in TEMPLATES for m in re.findall(r"{% static ['\"]([^'\"]+)['\"]", p.read_text())}
    manifest = json.loads((tmp_path / "static" / "staticfiles.json").read_text())["paths"]
    assert named and named - set(manifest) == set()
