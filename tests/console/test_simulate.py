"""``manage.py simulate``: what its user reads."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from hardware.inventory.models import Credential, Machine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a fleet that does not run: its files are what a fault is."""
    for number in (1, 2):
        home = tmp_path / f"kunpeng-{number:02d}"
        home.mkdir()
        spec = {"name": home.name, "number": number, "port": 2200 + number, "faults": []}
        (home / "machine.json").write_text(json.dumps(spec))
    return tmp_path


def simulate(folder: Path, *words: str) -> str:
    out = StringIO()
    call_command("simulate", f"--dir={folder}", *words, stdout=out)
    return out.getvalue()


def test_a_fault_is_set_listed_and_cleared(folder: Path) -> None:
    assert simulate(folder, "fault", "kunpeng-01", "chip-lost", "--value", "2").startswith(
        "kunpeng-01: chip-lost 2, since "
    )
    listed = simulate(folder, "list")
    assert "kunpeng-01: chip-lost 2, since" in listed and "kunpeng-02: nothing is set" in listed
    assert simulate(folder, "clear", "kunpeng-01") == "kunpeng-01: chip-lost cleared\n"
    assert "kunpeng-01: nothing is set" in simulate(folder, "list")


def test_what_is_not_there_is_answered_with_what_there_is(folder: Path, db: None) -> None:
    with pytest.raises(CommandError, match="no simulated machine 'n9'; there are: kunpeng-01, kunpeng-02"):
        simulate(folder, "fault", "n9", "chip-lost")
    with pytest.raises(CommandError, match="no fault 'fire'; there are: bmc-away, chip-lost, "):
        simulate(folder, "fault", "kunpeng-01", "fire")


def test_a_machine_is_known_by_the_name_that_the_console_gave_it(folder: Path, db: None) -> None:
    credential = Credential.objects.create(name="lab", password="x")
    Machine.objects.create(name="rack-7", host="127.0.0.1", port=2202, credential=credential, simulated=True)
    assert simulate(folder, "fault", "rack-7", "link-down").startswith("kunpeng-02: link-down 0")
