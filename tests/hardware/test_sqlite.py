from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection, transaction

from hardware.inventory.models import Credential
from hardware.sqlite import base
from hardware.sqlite.base import Turn

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere there are many writers"),
]


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Turn:
    """Another writer of the same database, which is not patient."""
    connection.ensure_connection()
    monkeypatch.setattr(base, "PATIENCE_SECONDS", 0.0)
    return Turn(f"{connection.settings_dict['NAME']}-turn")


def free(turn: Turn) -> bool:
    found = turn.take()
    turn.leave()
    return found


def test_a_writer_has_its_turn_until_its_transaction_ends_however_it_ends(other: Turn):
    assert free(other)
    with transaction.atomic():
        with transaction.atomic():
            Credential.objects.create(name="a")
        assert not free(other)
    assert free(other)
    with pytest.raises(ValueError, match="a bug"), transaction.atomic():
        raise ValueError("a bug")
    assert free(other)
    with transaction.atomic():
        connection.close()
    assert free(other)


def test_who_gets_no_turn_writes_all_the_same(other: Turn):
    assert other.take()
    with transaction.atomic():
        Credential.objects.create(name="a")
    other.leave()
    assert Credential.objects.filter(name="a").exists() and free(other)


def test_a_holder_that_is_stopped_costs_one_wait_and_not_one_for_each_transaction(other: Turn, monkeypatch):
    assert other.take()
    second = Turn(f"{connection.settings_dict['NAME']}-turn")
    assert not second.take()
    # That long a wait would not end within this test.
    monkeypatch.setattr(base, "PATIENCE_SECONDS", 3600.0)
    assert not second.take()
    other.leave()
    assert free(second) and other.take()


def test_the_turn_of_a_process_that_dies_is_free(other: Turn, tmp_path: Path):
    path = str(tmp_path / "turn")
    code = "import os, sys; from hardware.sqlite.base import Turn; Turn(sys.argv[1]).take() and os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert free(Turn(path))


def test_a_commit_without_a_connection_does_nothing(other: Turn):
    # What Celery's beat does whenever a connection has had its minute.
    connection.close()
    connection.commit()
    connection.rollback()
    assert connection.connection is None
    fresh = connection.copy()
    fresh.commit()
    with transaction.atomic():
        assert not free(other)


def test_the_database_is_its_owners_alone_to_read_also_one_that_was_not(tmp_path: Path):
    """It holds the tokens and sessions of people who may do everything."""
    there = tmp_path / "there.sqlite3"
    there.touch(mode=0o644)
    there.chmod(0o644)
    for file in (there, tmp_path / "new.sqlite3"):
        made = base.DatabaseWrapper({**connection.settings_dict, "NAME": str(file)})
        try:
            with made.cursor() as cursor:
                cursor.execute("CREATE TABLE a (b)")
            modes = {one.name: oct(one.stat().st_mode & 0o777) for one in tmp_path.glob(f"{file.name}*")}
            assert set(modes) == {file.name + end for end in ("", "-wal", "-shm", "-turn")}
            assert {mode for name, mode in modes.items() if not name.endswith("-turn")} == {"0o600"}
        finally:
            made.close()


def test_a_second_connection_of_a_process_leaves_the_first_one_its_locks(tmp_path: Path):
    """Closing any handle of a file frees all locks that the process has on it: another process would then take itself
    for the last one there, and remove what was written and not yet moved into the database.
    """
    file = tmp_path / "there.sqlite3"
    first, second = (base.DatabaseWrapper({**connection.settings_dict, "NAME": str(file)}) for _ in range(2))
    try:
        with first.cursor() as cursor:
            cursor.execute("CREATE TABLE a (b)")
        second.ensure_connection()
        elsewhere = (
            f"import sqlite3; link = sqlite3.connect({str(file)!r}); link.execute('SELECT * FROM a'); link.close()"
        )
        subprocess.run([sys.executable, "-c", elsewhere], check=True)
        assert Path(f"{file}-wal").exists()
    finally:
        first.close()
        second.close()
