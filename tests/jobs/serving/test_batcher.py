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

    def classify(self, texts: list[str]) -> list[Answer]:
        self.batches.append(texts)
        assert self.free.wait(10)
        if "poison" in texts:
            raise ValueError("poison")
        return [answer(text) for text in texts]


async def test_what_arrives_while_the_engine_works_is_asked_together_next():
    engine = Engine()
    batcher = Batcher(engine.classify, batch=4)
    asks = [asyncio.create_task(batcher.ask([f"text {number}"])) for number in range(6)]
    await asyncio.sleep(0.05)
    # All six came in one turn of the loop; the worker took four, and two wait.
    assert batcher.waiting == 2 and batcher.busy_s > 0
    engine.free.set()
    answers = await asyncio.gather(*asks)
    assert [found[0].top[0][0] for found in answers] == [f"text {number}" for number in range(6)]
    assert [len(batch) for batch in engine.batches] == [4, 2] and batcher.busy_s == 0
    batcher.close()


async def test_a_request_whose_client_hung_up_is_not_asked_at_all():
    engine = Engine()
    batcher = Batcher(engine.classify, batch=1)
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
    batcher = Batcher(engine.classify, batch=1)
    with pytest.raises(ValueError):
        await batcher.ask(["poison"])
    assert await batcher.ask(["good"]) == [answer("good")]
    batcher.close()
