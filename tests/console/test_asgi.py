from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.db.backends.signals import connection_created
from rest_framework.authtoken.models import Token


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The connections to the database that are opened; nothing is closed because nobody looks at it any more."""
    made: list[Any] = []

    def note(connection: Any, **_: Any) -> None:
        made.append(connection)

    connection_created.connect(note)
    gc.disable()
    yield made
    gc.enable()
    connection_created.disconnect(note)


def test_a_request_leaves_no_connection_to_the_database_behind(transactional_db, opened: list[Any]):
    from console.asgi import application

    token = Token.objects.create(user=User.objects.create_user("ada"))

    async def ask() -> int:
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/jobs/", "query_string": b"", "http_version": "1.1",
            "headers": [(b"host", b"testserver"), (b"authorization", f"Token {token.key}".encode())],
        }  # fmt: skip
        asked = ApplicationCommunicator(application, scope)
        await asked.send_input({"type": "http.request", "body": b"", "more_body": False})
        status = (await asked.receive_output(10))["status"]
        await asked.receive_output(10)
        await asked.wait(10)
        return int(status)

    async def several() -> list[int]:
        return [await ask() for _ in range(5)]

    before = len(opened)
    assert asyncio.run(several()) == [200] * 5
    mine = opened[before:]
    assert len(mine) == 5 and [one for one in mine if one.connection is not None] == []
