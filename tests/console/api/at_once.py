"""``python -m tests.console.api.at_once``: a request from several threads at one moment, against the database that the
environment names. Prints a line of JSON for each round: what was asked, and the codes that were answered.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

THREADS = 6
ROUNDS = 5


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connections
    from django.test import Client
    from rest_framework.authtoken.models import Token

    from hardware.inventory.models import Credential, Machine
    from tests import command_kind

    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    command_kind.register()
    token = Token.objects.create(user=User.objects.create_user("ada"))
    login = Credential.objects.create(name="lab", password="x")
    Machine.objects.create(name="host-1", host="127.0.0.1", credential=login, state="ready", host_key="ssh-ed25519 A")
    client = Client(headers={"Authorization": f"Token {token.key}"})

    def send(method: str, path: str, body: Any = None, **headers: str) -> Any:
        text = json.dumps(body) if body is not None else ""
        return client.generic(method, f"/api/v1{path}", text, "application/json", headers=headers)

    def at_once(what: str, ask: Callable[[int], Any]) -> None:
        start = threading.Barrier(THREADS)

        def one(number: int) -> Any:
            start.wait()
            try:
                return ask(number)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(one, range(THREADS)))
        codes = sorted(answer.status_code for answer in answers)
        print(
            json.dumps({"what": what, "codes": codes, "texts": len({answer.content for answer in answers})}), flush=True
        )

    send("POST", "/groups/", {"name": "canaries", "machines": ["host-1"]})
    order = {"kind": "command", "params": {"command": "true"}, "targets": {"machines": ["host-1"]}}

    def one_round(name: str) -> None:
        match = {"If-Match": send("GET", "/groups/canaries/").headers["ETag"]}
        at_once("change", lambda n: send("PATCH", "/groups/canaries/", {"note": f"{name} {n}"}, **match))
        key = {"Idempotency-Key": name}
        at_once("key", lambda _: send("POST", "/groups/", {"name": name, "machines": ["host-1"]}, **key))
        made = send("POST", "/schedules/", {**order, "name": name, "mode": "cron", "cron": "0 3 * * *"}).json()
        at_once("run-now", lambda _: send("POST", f"/schedules/{made['id']}/run-now/"))

    for number in range(ROUNDS):
        one_round(f"r{number}")


if __name__ == "__main__":
    main()
