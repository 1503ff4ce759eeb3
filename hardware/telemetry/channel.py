"""The channel to one machine: a small sh loop there that waits for a line from us, and what it printed since.

The loop waits on its input, so that the pace is ours and the loop ends with the channel, whatever the link does. It
says ``begin`` at once and the output with ``end`` after it: without the first the machine is silent, without the second
it is a tool that hangs. The bytes are gathered here, beneath asyncssh's streams: those look at each line of a table in
turn, and a collector reads a hundred thousand lines in five seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import asyncssh

MARK = b"@@telemetry"
LIMIT = 1024 * 1024
# What may stand behind the last mark that was looked for: a mark that came in two parts begins there.
TAIL = 80


@dataclass(frozen=True)
class Answer:
    """``text`` stands between the marks, ``words`` behind the one at the end. ``delay`` and ``took`` in seconds, from
    the question to the first word of the answer, and to its end; ``began`` are the words behind the first mark."""

    text: bytes
    words: list[bytes]
    began: list[bytes]
    delay: float
    took: float


class Channel(asyncssh.SSHClientSession[bytes]):
    """One question at a time. ``heard`` is called whenever an answer begins, ``lost`` when the channel is gone."""

    def __init__(self, heard: Callable[[], None], lost: Callable[[], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._answer: asyncio.Future[Answer] | None = None
        self._write: Callable[[bytes], None] | None = None
        self._turn = 0
        self._begin = self._end = b""
        self._began: list[bytes] | None = None
        self._asked_at = self._delay = 0.0
        self.closed = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._write = chan.write

    def answered_by(self, write: Callable[[bytes], None]) -> None:
        """For what is no session of asyncssh's: where questions go; its output comes to ``data_received``."""
        self._write = write

    @property
    def turn(self) -> int:
        """How many questions were asked."""
        return self._turn

    def ask(self, words: str = "") -> asyncio.Future[Answer]:
        """Send a question; the answer, or ``ConnectionError`` once the channel is gone. Raises what a write raises."""
        assert self._write is not None
        self._turn += 1
        number = b"%d" % self._turn
        self._begin, self._end = b"%b begin %b" % (MARK, number), b"%b end %b " % (MARK, number)
        self._began = None
        self._buffer.clear()
        self._answer = self._loop.create_future()
        self._asked_at = self._loop.time()
        if self.closed:
            self._answer.set_exception(ConnectionError("the channel is closed"))
        else:
            self._write(b"%b %b\n" % (number, words.encode()) if words else number + b"\n")
        return self._answer

    def give_up(self, wrong: Exception) -> None:
        """Let the question that waits fail with ``wrong``."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(wrong)

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is not None:
            return
        buffer = self._buffer
        before = len(buffer)
        buffer += data
        if self._began is None:
            at = buffer.find(self._begin, max(0, before - TAIL))
            stop = buffer.find(b"\n", at) if at >= 0 else -1
            if stop < 0:
                if len(buffer) > LIMIT:
                    del buffer[:-TAIL]
                return
            self._began = bytes(buffer[at + len(self._begin) : stop]).split()
            del buffer[: stop + 1]
            before = 0
            self._delay = self._loop.time() - self._asked_at
            self._heard()
        at = buffer.find(self._end, max(0, before - TAIL))
        if at >= 0 and (stop := buffer.find(b"\n", at)) >= 0:
            self._finish(at, stop)
        elif len(buffer) > LIMIT:
            # Nothing that is asked prints so much: the end of it is looked for, the rest is let go.
            del buffer[LIMIT // 2 : -TAIL]

    def _finish(self, at: int, stop: int) -> None:
        words = bytes(self._buffer[at + len(self._end) : stop]).split()
        text = bytes(self._buffer[:at])
        self._buffer.clear()
        took = self._loop.time() - self._asked_at
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(text, words, self._began or [], self._delay, took))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self.give_up(exc or ConnectionError("the session ended"))
            self._lost()
