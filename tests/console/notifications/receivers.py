"""Other sides that take news: a web server and a mail relay, each real, each as unwilling as a test asks."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from tests.ports import free_ports


@dataclass
class Received:
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)


@dataclass
class Web:
    """Answers with ``answers`` one after another, then 204; ``echoes``: with the address that was asked, as text."""

    answers: list[int] = field(default_factory=list)
    echoes: bool = False
    received: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)

    def start(self) -> None:
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                got = Received({name.lower(): value for name, value in self.headers.items()}, raw)
                web.received.append(got)
                status = web.answers.pop(0) if web.answers else 204
                if status < 300:
                    web.taken.append(got)
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "/elsewhere")
                said = f"The requested URL {self.path} was not found here.".encode() if web.echoes else b""
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=hidden"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Relay:
    """A mail relay; refuses while ``refuses``."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refuses = False
        self.controller = Controller(self, hostname="127.0.0.1", port=free_ports())
        self.controller.start()

    @property
    def port(self) -> int:
        return int(self.controller.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuses:
            return "452 4.3.1 Insufficient system storage"
        self.mails.append(envelope)
        return "250 OK"
