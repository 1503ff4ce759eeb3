"""The HTTP side: an ASGI application with four routes.

POST /v1/classify  `{"texts": ["..."]}` -> `{"results": [{"label", "confidence", "top"}], "latency_ms", "model", ...}`
GET  /healthz      200 once the model has answered, 503 while it loads, stops, hangs, or failed at its last inference
GET  /v1/vitals    what the last seconds were like: requests that waited, their number and times, and its parameters
GET  /metrics      Prometheus

Errors are problem details (RFC 9457) with a code and a mend. A text that a client sent is never logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .batcher import Batcher
from .classifier import Answer, Classifier
from .errors import RequestRefused
from .memory import Budget, OutOfMemory, is_out_of_memory
from .metrics import CONTENT_TYPE, Metrics
from .parameters import Parameters
from .vitals import LONGEST, USUAL, Vitals

MOST_BYTES = 1024 * 1024
MOST_TEXTS = 64
MOST_CHARACTERS = 8192
# No batch takes this long but on an NPU that hangs.
STUCK_S = 30.0

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("serving")


class Application:
    """State of one server. `ready()` gives it the model, `stop()` lets no new request in."""

    def __init__(self, release: str, parameters: Parameters | None = None) -> None:
        self.release = release
        self.parameters = parameters or Parameters()
        self.metrics = Metrics()
        self.vitals = Vitals()
        self._budget = Budget(self.parameters.memory_budget_mb)
        for name, value in self.parameters.to_json().items():
            self.metrics.parameters.labels(name).set(value)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._started = time.monotonic()
        self._classifier: Classifier | None = None
        self._batcher: Batcher | None = None
        self._stopping = False
        self._failed = False

    def ready(self, classifier: Classifier) -> None:
        """From now on requests are answered."""
        self._batcher = Batcher(
            classifier.prepare, self._infer, self.metrics.batch, self._waits, batch=self.parameters.max_batch,
            workers=self.parameters.preprocessing_workers,
        )  # fmt: skip
        self._classifier = classifier
        self.metrics.ready.set(1)
        engine = classifier.engine
        self.metrics.model.labels(
            classifier.profile.name, classifier.sha256, engine.name, self.release, str(engine.simulated).lower()
        ).set(1)

    def _infer(self, rows: list[Any]) -> list[Answer]:
        """Asks the model; raises OutOfMemory where it, or the budget, has no memory for so many texts."""
        assert self._classifier is not None
        self._budget.check(len(rows))
        try:
            return self._classifier.infer(rows)
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemory(len(rows), " ".join(str(error).split())[-200:] or type(error).__name__) from error
            raise

    def _waits(self, requests: int) -> None:
        self.metrics.waiting.set(requests)
        self.vitals.waits(requests)

    def stop(self) -> None:
        """New requests get 503; those in flight go on."""
        self._stopping = True
        self.metrics.ready.set(0)

    async def drained(self, within_s: float) -> bool:
        """Waits until what is in flight is answered; False when it still is not after `within_s` seconds."""
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Ends the engine's thread."""
        if self._batcher is not None:
            self._batcher.close()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self._in_flight += 1
        self._idle.clear()
        try:
            await self._route(scope, receive, send)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _route(self, scope: Message, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        try:
            if path == "/v1/classify":
                _allow(method, "POST")
                await self._classify(receive, send)
            elif path == "/healthz":
                _allow(method, "GET", "HEAD")
                await self._health(send)
            elif path == "/v1/vitals":
                _allow(method, "GET", "HEAD")
                await self._tell(send, _seconds(scope.get("query_string", b"")))
            elif path == "/metrics":
                _allow(method, "GET", "HEAD")
                self.metrics.queue.set(self._batcher.waiting if self._batcher else 0)
                await _reply(send, 200, self.metrics.text(), CONTENT_TYPE)
            else:
                raise RequestRefused(
                    "not-found", 404, "There is no such path.", "Ask /v1/classify, /v1/vitals, /healthz or /metrics."
                )
        except RequestRefused as refused:
            await _problem(send, refused)

    async def _classify(self, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500
        try:
            try:
                body = await self._answer(receive)
            except MemoryError as error:
                # Not of the engine: the body of a request, or its tokens.
                raise self._no_memory(error) from error
            status = 200
            self.vitals.answered(time.perf_counter() - started)
            await _reply(send, status, body)
        except RequestRefused as refused:
            status = refused.status
            self.metrics.errors.labels(refused.code).inc()
            raise
        finally:
            self.metrics.requests.labels(str(status)).inc()
            self.metrics.latency.observe(time.perf_counter() - started)

    async def _answer(self, receive: Receive) -> bytes:
        texts = _texts(await _read(receive))
        if self._stopping:
            raise RequestRefused("stopping", 503, "This server is stopping.", "Ask another machine.", retry_after=1)
        if self._batcher is None or self._classifier is None:
            raise RequestRefused("loading", 503, "The model is still loading.", "Try again in a second.", retry_after=1)
        started = time.perf_counter()
        try:
            answers = await self._batcher.ask(texts)
        except RequestRefused:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise self._no_memory(error) from error
            self._failed = True
            log.exception("inference of %d texts failed", len(texts))
            raise RequestRefused(
                "inference-failed", 500, "The model failed on this request.", "Look at the container's log."
            ) from error
        self._failed = False
        classifier = self._classifier
        return json.dumps(
            {
                "results": [_result(answer) for answer in answers],
                "latency_ms": round((time.perf_counter() - started) * 1000, 3),
                "model": {"name": classifier.profile.name, "sha256": classifier.sha256},
                "engine": classifier.engine.name,
                "simulated": classifier.engine.simulated,
            },
            ensure_ascii=False,
        ).encode()

    def _no_memory(self, error: Exception) -> RequestRefused:
        """Counted once a batch, however many requests were in it; one text that has no room is a failure."""
        if not getattr(error, "counted", False):
            error.counted = True  # type: ignore[attr-defined]
            self.vitals.out_of_memory += 1
            self.metrics.out_of_memory.inc()
            self._failed = isinstance(error, OutOfMemory) and error.texts == 1
            log.error("out of memory: %s", " ".join(str(error).split())[:300])
        return RequestRefused(
            "out-of-memory",
            503,
            "There was no memory for this batch.",
            "Ask again in a second, or lower max_batch of the release on this machine.",
            retry_after=1,
        )

    async def _tell(self, send: Send, seconds: int) -> None:
        """What the collector reads; `parameters` are those that this very process has."""
        body = {"release": self.release, **self.vitals.read(seconds), **self.parameters.to_json()}
        await _reply(send, 200, json.dumps(body).encode())

    async def _health(self, send: Send) -> None:
        state = self._state()
        body: dict[str, Any] = {
            "status": state,
            "release": self.release,
            "uptime_s": round(time.monotonic() - self._started, 1),
            **self.parameters.to_json(),
        }
        if self._classifier is not None:
            body |= {
                "model": self._classifier.profile.name,
                "model_sha256": self._classifier.sha256,
                "labels": len(self._classifier.profile.labels),
                "engine": self._classifier.engine.name,
                "simulated": self._classifier.engine.simulated,
            }
        await _reply(send, 200 if state == "ok" else 503, json.dumps(body, ensure_ascii=False).encode())

    def _state(self) -> str:
        if self._stopping:
            return "stopping"
        if self._classifier is None:
            return "loading"
        stuck = self._batcher is not None and self._batcher.busy_s > STUCK_S
        return "failing" if self._failed or stuck else "ok"


def _seconds(query: bytes) -> int:
    """`seconds=N` of an address; what is no such number is the usual span."""
    found = dict(item.partition(b"=")[::2] for item in query.split(b"&")).get(b"seconds", b"")
    return max(1, min(int(found), LONGEST)) if found.isdigit() else USUAL


def _allow(method: str, *methods: str) -> None:
    if method not in methods:
        raise RequestRefused(
            "method-not-allowed", 405, f"This path takes {methods[0]} only.", f"Send {methods[0]} instead."
        )


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRefused("body-invalid", 422, "The request was cut off.", "Send it again.")
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise RequestRefused(
                "body-too-large", 413, f"The body is larger than {MOST_BYTES} bytes.", "Send fewer or shorter texts."
            )
        if not message.get("more_body", False):
            return bytes(body)


def _texts(body: bytes) -> list[str]:
    shape = 'Send {"texts": ["..."]} as JSON.'
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestRefused("body-invalid", 422, "The body is no JSON.", shape) from None
    texts = asked.get("texts") if isinstance(asked, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestRefused("body-invalid", 422, "The body has no list of texts under 'texts'.", shape)
    if not texts:
        raise RequestRefused("texts-missing", 422, "The list of texts is empty.", "Send at least one text.")
    if len(texts) > MOST_TEXTS:
        raise RequestRefused(
            "too-many-texts",
            422,
            f"{len(texts)} texts were sent; one request takes {MOST_TEXTS}.",
            "Split them over several requests.",
        )
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise RequestRefused("text-empty", 422, f"Text {number} is empty.", "Leave it out, or send its words.")
        if len(text) > MOST_CHARACTERS:
            raise RequestRefused(
                "text-too-long",
                422,
                f"Text {number} has {len(text)} characters; {MOST_CHARACTERS} are the most.",
                "Shorten it: the model reads only its beginning.",
            )
    # A lone surrogate is valid JSON and no text that a tokenizer takes.
    return [text.encode("utf-8", "replace").decode() for text in texts]


def _result(answer: Answer) -> dict[str, Any]:
    top = [{"label": label, "confidence": round(confidence, 6)} for label, confidence in answer.top]
    return {**top[0], "top": top}


async def _problem(send: Send, refused: RequestRefused) -> None:
    body = {
        "type": f"urn:console:error:{refused.code}",
        "title": refused.message,
        "status": refused.status,
        "code": refused.code,
        "mend": refused.mend,
    }
    more = [] if refused.retry_after is None else [(b"retry-after", str(refused.retry_after).encode())]
    if refused.code == "body-too-large":
        # The rest of the body is never read, so the connection takes no further request.
        more.append((b"connection", b"close"))
    await _reply(send, refused.status, json.dumps(body).encode(), "application/problem+json", more)


async def _reply(
    send: Send,
    status: int,
    body: bytes,
    content_type: str = "application/json",
    more: list[tuple[bytes, bytes]] | None = None,
) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *(more or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
