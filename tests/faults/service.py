"""A service on the machine that is slow to give its first answer."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.faults import watch


class Service(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.asked, self.first_may_go, self.answered = threading.Event(), threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        if not self.server.asked.is_set():
            self.server.asked.set()
            self.server.first_may_go.wait(watch.SECONDS)
        with suppress(OSError):
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.server.answered.set()

    def log_message(self, format: str, *arguments: object) -> None:
        return
