"""Django's SQLite, with writers that take turns.

SQLite has room for one writer. Who finds it taken sleeps there for longer each time, up to a tenth of a second, while
the one who has just written begins anew. So a transaction first asks for a lock on a file beside the database, and
looks again at short and equal intervals. It is courtesy and no more: SQLite's own lock keeps the data whole, who does
not get a turn goes on and waits there, and the kernel frees the lock of a process that dies. One that is stopped keeps
it: whoever has waited in vain waits no more until there is a turn again.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from django.db.backends.sqlite3 import base

LOOK_SECONDS = 0.00025
PATIENCE_SECONDS = 1.0


class Turn:
    """One connection's place among all that write to a database."""

    # This process has waited in vain, and had no turn since.
    _in_vain: ClassVar[bool] = False

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def take(self) -> bool:
        """``True`` when it is our turn; ``False`` after ``PATIENCE_SECONDS`` in which it was not, or at once when the
        wait before was in vain."""
        deadline = time.monotonic() + (0 if Turn._in_vain else PATIENCE_SECONDS)
        while not self._taken():
            if time.monotonic() >= deadline:
                Turn._in_vain = True
                return False
            time.sleep(LOOK_SECONDS)
        Turn._in_vain = False
        return True

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def leave(self) -> None:
        """Let the next one write; nothing happens without a turn."""
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)


def _keep_private(path: str) -> None:
    """Its owner's alone to read, also one that is there: it holds sessions, and tokens of people who may do everything.

    What SQLite puts beside the file gets the file's mode.
    """
    if not Path(path).is_absolute():
        return
    # One that is there is not opened: closing it again would let go of the locks that other connections of this process
    # have on it. No folder, another user's: SQLite says what is wrong.
    with suppress(OSError):
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for file in map(Path, (path, f"{path}-wal", f"{path}-shm")):
        with suppress(OSError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)


class DatabaseWrapper(base.DatabaseWrapper):
    """A turn lasts from the beginning of a transaction to its end; Django's stubs do not know where those are.

    Django commits and rolls back without a connection, too: Celery's beat does once a minute.
    """

    _turn: Turn | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        _keep_private(str(self.settings_dict["NAME"]))
        made = super().get_new_connection(conn_params)
        self._turn = Turn(f"{self.settings_dict['NAME']}-turn")
        return made

    def _start_transaction_under_autocommit(self) -> None:
        if self._turn is not None:
            self._turn.take()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._leave()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._leave()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._leave()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            # The file's number may be another file's from here on.
            turn, self._turn = self._turn, None
            if turn is not None:
                turn.close()

    def _leave(self) -> None:
        if self._turn is not None:
            self._turn.leave()
