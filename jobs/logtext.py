"""The log of a job as a text file: one machine's bytes as they came, or all machines' lines, each with its machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

from asgiref.sync import sync_to_async

from jobs.models import LogChunk

CONSOLE = "console"
PAGE = 200


async def stream(job_id: int, machine: str | None) -> AsyncIterator[bytes]:
    """The log from its beginning, read from the store page by page: any length, little memory.

    With ``machine`` (``console`` for the console's own steps) its bytes unchanged; without, whole lines of all of them.
    """
    lines = Lines()
    after = 0
    while True:
        chunks = await sync_to_async(_page)(job_id, machine, after)
        for position, source, name, data in chunks:
            after = position + 1
            yield data if machine else lines.feed(source, name, data)
        if len(chunks) < PAGE:
            break
    if not machine:
        yield lines.rest()


class Lines:
    """Chunks of several sources -> whole lines: a line that one of them has not ended waits for its end."""

    def __init__(self) -> None:
        self.open: dict[str, tuple[str, bytes]] = {}

    def feed(self, source: str, name: str, data: bytes) -> bytes:
        *whole, last = (self.open.get(source, (name, b""))[1] + data).split(b"\n")
        self.open[source] = (name, last)
        return b"".join(self._line(name, line) for line in whole)

    def rest(self) -> bytes:
        """The lines that nobody ended."""
        return b"".join(self._line(name, line) for name, line in self.open.values() if line)

    def _line(self, name: str, line: bytes) -> bytes:
        return b"[" + name.encode() + b"] " + line + b"\n"


def _page(job_id: int, machine: str | None, after: int) -> list[tuple[int, str, str, bytes]]:
    chunks = LogChunk.objects.filter(job=job_id, position__gte=after)
    if machine:
        chunks = chunks.filter(step__machine=None) if machine == CONSOLE else chunks.filter(step__machine__name=machine)
    rows = chunks.order_by("position").values_list("position", "source", "step__machine__name", "data")[:PAGE]
    return [(position, source, name or CONSOLE, bytes(data)) for position, source, name, data in rows]
