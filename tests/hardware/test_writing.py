from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction

from hardware.inventory.models import Credential
from hardware.writing import write
from tests.hardware.test_database import of_the_driver

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere each write is a transaction of its own"),
]


def add(name: str, wrong: Exception | None = None) -> str:
    Credential.objects.create(name=name)
    if wrong is not None:
        raise wrong
    return name


def names() -> list[str]:
    return list(Credential.objects.order_by("name").values_list("name", flat=True))


async def held_up(*calls: object) -> list[object]:
    """The calls come while the thread is busy with another, so that they are made in one transaction."""
    go = threading.Event()
    first = asyncio.create_task(write(go.wait, 10))
    await asyncio.sleep(0.05)
    rest = [asyncio.create_task(write(call)) for call in calls]  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    go.set()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)


async def test_a_call_that_fails_takes_back_what_it_wrote_and_nothing_else():
    bug = ValueError("a bug")
    found = await held_up(partial(add, "a"), partial(add, "b", bug), partial(add, "a"), partial(add, "c"))
    assert found[:2] == ["a", bug] and isinstance(found[2], IntegrityError) and found[3] == "c"
    assert await asyncio.to_thread(names) == ["a", "c"]


async def test_what_is_left_to_the_commit_is_done_after_it_and_not_for_a_call_that_failed():
    told = []

    def tell(name: str, wrong: Exception | None = None) -> None:
        transaction.on_commit(lambda: told.append((name, connection.in_atomic_block)))
        add(name, wrong)

    await held_up(partial(tell, "a"), partial(tell, "b", ValueError()), partial(tell, "c"))
    assert told == [("a", False), ("c", False)]


async def test_a_call_that_meets_a_database_that_is_away_is_made_again_and_the_others_stand():
    tries = iter([of_the_driver(13), None])
    found = await held_up(partial(add, "a"), lambda: add("b", next(tries)), partial(add, "c"))
    assert found == ["a", "b", "c"] and await asyncio.to_thread(names) == ["a", "b", "c"]


async def test_a_call_that_nobody_waits_for_any_more_is_not_made():
    go = threading.Event()
    first = asyncio.create_task(write(go.wait, 10))
    await asyncio.sleep(0.05)
    given_up = asyncio.create_task(write(add, "a"))
    await asyncio.sleep(0.05)
    given_up.cancel()
    await asyncio.sleep(0)
    go.set()
    await first
    await write(add, "b")
    assert await asyncio.to_thread(names) == ["b"]
