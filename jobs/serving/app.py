"""The HTTP side: an ASGI application with three routes.

POST /v1/classify  `{"texts": ["..."]}` -> `{"results": [{"label", "confidence", "top"}], "latency_ms", "model", ...}`
GET  /healthz      200 once the model has answered, 503 while it loads, stops, hangs, or failed at its last inference
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
from .metrics import CONTENT_TYPE, Metrics

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

    def __init__(self, release: str) -> None:
        self.release = release
        self.metrics = Metrics()
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
        self._batcher = Batcher(classifier.classify, self.metrics.batch)
        self._classifier = classifier
        self.metrics.ready.set(1)
        engine = classifier.engine
        self.metrics.model.labels(
            classifier.profile.name, classifier.sha256, engine.name, self.release, str(engine.simulated).lower()
        ).set(1)

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
            elif path == "/metrics":
                _allow(method, "GET", "HEAD")
                self.metrics.queue.set(self._batcher.waiting if self._batcher else 0)
                await _reply(send, 200, self.metrics.text(), CONTENT_TYPE)
            else:
                raise RequestRefused(
                    "not-found", 404, "There is no such path.", "Ask /v1/classify, /healthz or /metrics."
                )
        except RequestRefused as refused:
            await _problem(send, refused)

    async def _classify(self, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500
        try:
            body = await self._answer(receive)
            status = 200
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

    async def _health(self, send: Send) -> None:
        state = self._state()
        body: dict[str, Any] = {
            "status": state,
            "release": self.release,
            "uptime_s": round(time.monotonic() - self._started, 1),
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
