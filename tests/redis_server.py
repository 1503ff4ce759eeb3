"""A Redis for tests, as the supervisor starts it, that a test may kill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from console.supervisor.redis import server_binary, server_command, wait_until_up


class Redis:
    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        binary = server_binary()
        assert binary, "these tests start a Redis of their own: unset REDIS_URL"
        self.process = subprocess.Popen(server_command(binary))
        assert wait_until_up()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    made = Redis()
    yield made
    made.kill()
