from __future__ import annotations

import asyncio
import threading

import pytest

from jobs.serving.batcher import Batcher
from jobs.serving.classifier import Answer


def answer(text: str) -> Answer:
    return Answer(((text, 1.0),))


class Engine:
    """Holds each batch until it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.batches: list[list[str]] = []

    @staticmethod
    def prepare(texts: list[str]) -> list[str]:
        return texts

    def infer(self, texts: list[str]) -> list[Answer]:
        self.batches.append(texts)
        assert self.free.wait(10)
        if "poison" in texts:
            raise ValueError("poison")
        return [answer(text) for text in texts]


async def test_what_arrives_while_the_engine_works_is_asked_together_next():
    engine = Engine()
    batcher = Batcher(engine.prepare, engine.infer, batch=4)
    asks = [asyncio.create_task(batcher.ask([f"text {number}"])) for number in range(6)]
    await asyncio.sleep(0.05)
    # All six were prepared in turn; the engine took the first four at most, and the others wait.
    assert batcher.waiting == 2 and batcher.busy_s > 0
    engine.free.set()
    answers = await asyncio.gather(*asks)
    assert [found[0].top[0][0] for found in answers] == [f"text {number}" for number in range(6)]
    assert [len(batch) for batch in engine.batches] == [4, 2] and batcher.busy_s == 0
    batcher.close()


async def test_a_request_whose_client_hung_up_is_not_asked_at_all():
    engine = Engine()
    batcher = Batcher(engine.prepare, engine.infer, batch=1)
    first, second, third = (asyncio.create_task(batcher.ask([name])) for name in ("first", "second", "third"))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.sleep(0)
    engine.free.set()
    assert (await first, await third) == ([answer("first")], [answer("third")])
    assert engine.batches == [["first"], ["third"]]
    batcher.close()


async def test_a_failed_batch_fails_its_own_requests_only():
    engine = Engine()
    engine.free.set()
    batcher = Batcher(engine.prepare, engine.infer, batch=1)
    with pytest.raises(ValueError):
        await batcher.ask(["poison"])
    assert await batcher.ask(["good"]) == [answer("good")]
    batcher.close()


async def test_several_workers_prepare_at_once_and_share_what_waits():
    together = threading.Barrier(3, timeout=10)
    shares: list[int] = []

    def prepare(texts: list[str]) -> list[str]:
        shares.append(len(texts))
        # Nobody passes before three are here.
        together.wait()
        return texts

    batcher = Batcher(prepare, lambda rows: [answer(row) for row in rows], workers=3)
    answers = await batcher.ask([f"text {number}" for number in range(12)])
    assert [found.top[0][0] for found in answers] == [f"text {number}" for number in range(12)]
    assert shares == [4, 4, 4]
    batcher.close()


async def test_requests_that_wait_for_a_worker_or_the_engine_are_counted():
    engine = Engine()
    counts: list[int] = []
    batcher = Batcher(engine.prepare, engine.infer, waits=counts.append, batch=2)
    first = asyncio.create_task(batcher.ask(["a", "b"]))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(batcher.ask([name, name])) for name in "cde"]
    await asyncio.sleep(0.05)
    assert counts[-1] == 3 and batcher.waiting == 6
    others[1].cancel()
    engine.free.set()
    await asyncio.gather(first, *others, return_exceptions=True)
    assert counts[-1] == 0 and batcher.waiting == 0
    batcher.close()


async def test_a_request_behind_another_in_a_workers_share_waits_still():
    engine = Engine()
    engine.free.set()
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    counts: list[int] = []

    def prepare(texts: list[str]) -> list[str]:
        begun.release()
        assert go_on.acquire(timeout=10)
        return engine.prepare(texts)

    batcher = Batcher(prepare, engine.infer, waits=counts.append)
    first = asyncio.create_task(batcher.ask(["a"]))
    assert await asyncio.to_thread(begun.acquire, timeout=10)
    assert counts[-1] == 0
    others = [asyncio.create_task(batcher.ask([name, name])) for name in "bcd"]
    await asyncio.sleep(0.05)
    assert counts[-1] == 3
    go_on.release()
    assert await asyncio.to_thread(begun.acquire, timeout=10)
    # One worker has taken all three; it is at the first.
    await first
    assert batcher.waiting == 0 and counts[-1] == 2
    go_on.release()
    await asyncio.gather(*others)
    assert counts[-1] == 0
    batcher.close()


async def test_what_comes_when_a_worker_has_just_ended_is_prepared_too():
    batcher = Batcher(lambda texts: texts, lambda rows: [answer(row) for row in rows])
    for number in range(200):
        assert await asyncio.wait_for(batcher.ask([str(number)]), 5) == [answer(str(number))]
    batcher.close()
