"""Texts of concurrent requests, asked of the model together.

While the engine works, what arrives waits; when it is free it takes all that waits, up to `BATCH` texts. An idle engine
takes a text at once: nothing ever waits for company.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .classifier import Answer
from .errors import RequestRefused

BATCH = 16
QUEUE = 512


@dataclass
class _Waiting:
    text: str
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """Hands texts to `classify` on one thread of its own. `observe(texts, seconds)` hears of every batch."""

    def __init__(
        self,
        classify: Callable[[list[str]], list[Answer]],
        observe: Callable[[int, float], None] = lambda texts, seconds: None,
        *,
        batch: int = BATCH,
        queue: int = QUEUE,
    ) -> None:
        self._classify = classify
        self._observe = observe
        self._batch = batch
        self._queue = queue
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._worker: asyncio.Task[None] | None = None
        self._busy_since: float | None = None

    @property
    def waiting(self) -> int:
        """Texts that the engine has not taken yet."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float:
        """Seconds that the inference under way has taken; 0 while there is none."""
        return 0.0 if self._busy_since is None else time.perf_counter() - self._busy_since

    async def ask(self, texts: list[str]) -> list[Answer]:
        """Answers in order. Raises RequestRefused (`queue-full`) at once when they would wait behind too many."""
        if self._waiting and len(self._waiting) + len(texts) > self._queue:
            raise RequestRefused(
                "queue-full",
                503,
                f"{len(self._waiting)} texts already wait for the model.",
                "Try again in a second, or spread the load over more machines.",
                retry_after=1,
            )
        asked = [_Waiting(text) for text in texts]
        self._waiting.extend(asked)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return list(await asyncio.gather(*(item.answer for item in asked)))
        finally:
            # A client that hung up, or a failed neighbour: what is not taken yet need not be answered.
            for item in asked:
                item.answer.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch: list[_Waiting] = []
            while self._waiting and len(batch) < self._batch:
                item = self._waiting.popleft()
                if not item.answer.done():
                    batch.append(item)
            if not batch:
                continue
            started = self._busy_since = time.perf_counter()
            try:
                answers = await loop.run_in_executor(self._thread, self._classify, [item.text for item in batch])
            except Exception as error:
                for item in batch:
                    if not item.answer.done():
                        item.answer.set_exception(error)
                continue
            finally:
                self._busy_since = None
            self._observe(len(batch), time.perf_counter() - started)
            for item, answer in zip(batch, answers, strict=True):
                if not item.answer.done():
                    item.answer.set_result(answer)

    def close(self) -> None:
        """Takes no more; does not wait for an inference that may never end."""
        self._thread.shutdown(wait=False, cancel_futures=True)
