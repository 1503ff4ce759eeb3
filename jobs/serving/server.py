"""The process: HTTP at once, the model in the background, an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

from .app import Application
from .classifier import Classifier
from .errors import ModelRefused
from .parameters import Parameters
from .profile import Profile

log = logging.getLogger("serving")


async def serve(folder: Path, host: str, port: int, device: int, grace_s: float) -> int:
    """Serves until TERM or INT, then answers what is in flight, for `grace_s` seconds at most.

    Returns the exit status: 0 after an orderly end, 2 when the release can't be served.
    """
    from granian.constants import Interfaces
    from granian.server.embed import Server

    started = time.monotonic()
    try:
        parameters = Parameters.read(os.environ)
        profile = Profile.read(folder)
    except ModelRefused as refused:
        return _refuse(refused)
    try:
        _free(host, port)
    except OSError as error:
        return _no_port(host, port, error)
    app = Application(os.environ.get("CONSOLE_RELEASE", ""), parameters)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # Warnings only: granian's start-up lines say nothing that ours don't.
    logging.getLogger("_granian").setLevel(logging.ERROR)
    server = Server(app, host, port, interface=Interfaces.ASGINL, websockets=False, log_enabled=False)
    listening = asyncio.create_task(server.serve())
    loading = asyncio.create_task(asyncio.to_thread(Classifier, folder, profile, device))
    waiting = asyncio.create_task(ended.wait())
    status = 0
    try:
        await asyncio.wait({listening, loading, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and not listening.done():
            try:
                classifier = loading.result()
            except ModelRefused as refused:
                return _refuse(refused)
            app.ready(classifier)
            log.info(
                "serving %s (%d labels, sha256 %s) with %s%s on %s:%d, %s, ready after %.1f s",
                profile.name, len(profile.labels), classifier.sha256[:12], classifier.engine.name,
                ", simulated" if classifier.engine.simulated else "", host, port,
                ", ".join(f"{name} {value}" for name, value in parameters.to_json().items()),
                time.monotonic() - started,
            )  # fmt: skip
            await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            return _no_port(host, port, listening.exception())
    finally:
        app.stop()
        if not await app.drained(grace_s):
            log.warning("requests were still in flight after %g s", grace_s)
        server.stop()
        await asyncio.wait({listening}, timeout=2)
        waiting.cancel()
        app.close()
    log.info("stopped")
    return status


def _free(host: str, port: int) -> None:
    """Raises OSError when somebody listens there. granian shares a port without a word, so it is asked before."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _refuse(refused: ModelRefused) -> int:
    print(f"serving: {refused.code}: {refused}", file=sys.stderr, flush=True)
    return 2


def _no_port(host: str, port: int, error: BaseException | None) -> int:
    why = f" ({getattr(error, 'strerror', None) or error})" if error else ""
    print(
        f"serving: port-taken: {host}:{port} cannot be listened on{why}. Free the port or give another one.",
        file=sys.stderr,
        flush=True,
    )
    return 2
