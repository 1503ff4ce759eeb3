"""Texts of concurrent requests, prepared by several workers and asked of the model together.

A text goes through two queues. Workers take what waits in the first, each its share, and tokenise it; the engine takes
what is prepared, up to `batch` texts at once. Whoever is idle takes a text at once: nothing ever waits for company.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from .classifier import Answer
from .errors import RequestRefused

BATCH = 16
QUEUE = 512

Prepare = Callable[[list[str]], Sequence[Any]]
Infer = Callable[[list[Any]], list[Answer]]


@dataclass
class _Request:
    """How many of its texts wait, in a queue or in a worker's share behind another request's."""

    waiting: int = 0


@dataclass
class _Waiting:
    request: _Request
    text: str
    row: Any = None
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Batcher:
    """`prepare` is called by `workers` threads at once, `infer` with what it gave by one thread.

    `observe(texts, seconds)` hears of every inference, `waits(requests)` whenever it is another number of requests that
    have a text in a queue, or in a worker's share behind the request that the worker began with.
    """

    def __init__(
        self,
        prepare: Prepare,
        infer: Infer,
        observe: Callable[[int, float], None] = lambda texts, seconds: None,
        waits: Callable[[int], None] = lambda requests: None,
        *,
        batch: int = BATCH,
        workers: int = 1,
        queue: int = QUEUE,
    ) -> None:
        self._prepare = prepare
        self._infer = infer
        self._observe = observe
        self._waits = waits
        self._batch = batch
        self._workers = workers
        self._queue = queue
        self._raw: deque[_Waiting] = deque()
        self._ready: deque[_Waiting] = deque()
        self._waiting_requests = 0
        self._preparing = self._starting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._worker: asyncio.Task[None] | None = None
        self._busy_since: float | None = None

    @property
    def waiting(self) -> int:
        """Texts that neither a worker nor the engine has taken yet."""
        return len(self._raw) + len(self._ready)

    @property
    def busy_s(self) -> float:
        """Seconds that the inference under way has taken; 0 while there is none."""
        return 0.0 if self._busy_since is None else time.perf_counter() - self._busy_since

    async def ask(self, texts: list[str]) -> list[Answer]:
        """Answers in order. Raises RequestRefused (`queue-full`) at once when they would wait behind too many."""
        if self.waiting and self.waiting + len(texts) > self._queue:
            raise RequestRefused(
                "queue-full",
                503,
                f"{self.waiting} texts already wait for the model.",
                "Try again in a second, or spread the load over more machines.",
                retry_after=1,
            )
        request = _Request()
        asked = [_Waiting(request, text) for text in texts]
        self._enter(self._raw, asked)
        while self._preparing < self._workers and self._starting < len(self._raw):
            self._preparing += 1
            self._starting += 1
            task = asyncio.create_task(self._work_on())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            return list(await asyncio.gather(*(item.answer for item in asked)))
        finally:
            # A client that hung up, or a failed neighbour: what is not taken yet need not be answered.
            for item in asked:
                item.answer.cancel()

    async def _work_on(self) -> None:
        """Prepare what waits, and go on with what came meanwhile, until nothing does."""
        loop = asyncio.get_running_loop()
        # A turn of the loop after it was asked for: what came in that turn is shared among those that start.
        share = self._leave(self._raw, min(self._batch, ceil(len(self._raw) / self._starting)))
        self._starting -= 1
        while share:
            behind = [item for item in share if item.request is not share[0].request]
            self._count(behind, 1)
            try:
                rows = await loop.run_in_executor(self._pool, self._prepare, [item.text for item in share])
            except Exception as error:
                _fail(share, error)
            else:
                for item, row in zip(share, rows, strict=True):
                    item.row = row
                self._enter(self._ready, share)
            finally:
                self._count(behind, -1)
            if self._ready and (self._worker is None or self._worker.done()):
                self._worker = asyncio.create_task(self._work())
            share = self._leave(self._raw, min(self._batch, ceil(len(self._raw) / self._workers)))
        # Here, and not when the task is seen to be done: what is asked in between would wait for nobody.
        self._preparing -= 1

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ready:
            batch = self._leave(self._ready, self._batch)
            if not batch:
                continue
            started = self._busy_since = time.perf_counter()
            try:
                answers = await loop.run_in_executor(self._thread, self._infer, [item.row for item in batch])
            except Exception as error:
                _fail(batch, error)
                continue
            finally:
                self._busy_since = None
            self._observe(len(batch), time.perf_counter() - started)
            for item, answer in zip(batch, answers, strict=True):
                if not item.answer.done():
                    item.answer.set_result(answer)

    def _enter(self, queue: deque[_Waiting], items: list[_Waiting]) -> None:
        queue.extend(items)
        self._count(items, 1)

    def _leave(self, queue: deque[_Waiting], most: int) -> list[_Waiting]:
        """The first `most` that somebody still waits for."""
        taken: list[_Waiting] = []
        left: list[_Waiting] = []
        while queue and len(taken) < most:
            item = queue.popleft()
            left.append(item)
            if not item.answer.done():
                taken.append(item)
        self._count(left, -1)
        return taken

    def _count(self, items: list[_Waiting], by: int) -> None:
        """Items that begin (1) or cease (-1) to wait."""
        for item in items:
            waited = item.request.waiting > 0
            item.request.waiting += by
            self._waiting_requests += (item.request.waiting > 0) - waited
        self._waits(self._waiting_requests)

    def close(self) -> None:
        """Takes no more; does not wait for an inference that may never end."""
        for pool in (self._pool, self._thread):
            pool.shutdown(wait=False, cancel_futures=True)


def _fail(items: list[_Waiting], error: Exception) -> None:
    for item in items:
        if not item.answer.done():
            item.answer.set_exception(error)
