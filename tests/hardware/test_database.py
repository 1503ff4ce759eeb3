from __future__ import annotations

import sqlite3

import pytest
from django.db import DatabaseError, OperationalError

from hardware.database import is_away, on_db_until_done


def of_the_driver(code: int) -> sqlite3.OperationalError:
    made = sqlite3.OperationalError("as the driver says it")
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(("code", "away"), [(sqlite3.SQLITE_BUSY, True), (sqlite3.SQLITE_ERROR, False)])
def test_a_database_that_is_away_is_told_from_a_wrong_statement(code: int, away: bool):
    wrapped = OperationalError("as Django says it")
    wrapped.__cause__ = of_the_driver(code)
    assert is_away(wrapped) is away and is_away(of_the_driver(code)) is away
    assert not is_away(DatabaseError()) and not is_away(ValueError())


@pytest.mark.django_db(transaction=True)
async def test_a_call_is_made_again_while_the_database_is_away_and_no_longer():
    tries = iter([of_the_driver(sqlite3.SQLITE_BUSY), OperationalError("dropped"), None, ValueError("a bug")])

    def call() -> str:
        wrong = next(tries)
        if wrong is not None:
            raise wrong
        return "done"

    assert await on_db_until_done(call) == "done"
    with pytest.raises(ValueError, match="a bug"):
        await on_db_until_done(call)
