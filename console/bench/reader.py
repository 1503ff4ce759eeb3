"""A client of a job's log as a browser is one: a WebSocket, frames parsed; cut off, it goes on at its position."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from console.bench.rig import Rig, RigFailed


@dataclass
class Reader:
    """``misplaced`` counts frames that did not begin where the one before had ended: a gap or a repeat."""

    rig: Rig
    job: int
    offset: int = 0
    text: list[str] = field(default_factory=list)
    misplaced: int = 0
    ended: bool = False

    def open(self) -> ClientConnection:
        return connect(
            f"ws://127.0.0.1:{self.rig.port}/ws/jobs/{self.job}/log?after={self.offset}",
            additional_headers={"Cookie": f"sessionid={self.rig.cookie}"},
            origin=Origin(f"http://127.0.0.1:{self.rig.port}"),
            max_size=None,
            compression=None,
        )

    def take(self, link: ClientConnection, seconds: float = 60) -> list[str]:
        """The texts of one message's log frames. Raises ``RigFailed`` when none comes."""
        try:
            frames: list[dict[str, Any]] = json.loads(link.recv(timeout=seconds))
        except TimeoutError as wrong:
            raise RigFailed(f"job {self.job}: nothing came over the socket within {seconds:g} s") from wrong
        texts = []
        for frame in frames:
            if frame["type"] == "log":
                self.misplaced += frame["offset"] != self.offset
                self.offset = frame["offset"] + frame["size"]
                texts.append(frame["text"])
            self.ended = self.ended or frame["type"] == "end"
        return texts

    def follow(self, cut: Callable[[Reader], bool] = lambda _reader: False) -> list[tuple[float, str]]:
        """The whole log as (time of arrival, text). ``cut`` tells when to drop the link; it is made again at once."""
        got: list[tuple[float, str]] = []
        while not self.ended:
            link = self.open()
            try:
                while not self.ended:
                    texts = self.take(link)
                    now = time.time()
                    got += [(now, text) for text in texts]
                    if cut(self):
                        # As a network does it: nobody says goodbye.
                        link.socket.close()
                        break
            except (ConnectionClosed, OSError):
                continue
            finally:
                if self.ended:
                    link.close()
        return got
