"""A signed-in visitor of the running server, and what a page of it says."""

from __future__ import annotations

import html
import re

import httpx
from django.contrib.auth.models import User
from django.test import Client


def sign_in(url: str, user: User) -> httpx.Client:
    """A client with the session and the CSRF token of a person."""
    session = Client()
    session.force_login(user)
    cookies = {name: morsel.value for name, morsel in session.cookies.items()}
    made = httpx.Client(base_url=url, cookies=cookies, timeout=30)
    page = made.get("/jobs/new/")
    token = re.search(r'name="csrf-token" content="([^"]+)"', page.text)
    assert token is not None
    made.headers.update({"X-CSRFToken": token[1], "Referer": url})
    return made


class Page:
    """An answer, read as a person and as a browser would."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        self.source = answer.text
        self.text = _text(re.sub(r"<(script|template|svg)\b.*?</\1>", " ", self.source, flags=re.S))

    def hidden(self) -> dict[str, str]:
        """The hidden fields of the page's own form, the CSRF token left out."""
        found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', self.source)
        return {
            name: html.unescape(value) for name, value in found if name in ("kind", "token", "plan_hash", "retry_of")
        }

    def commands(self) -> list[str]:
        """The command lines of the plan, prompt left out."""
        blocks = re.findall(r'<code class="cmd"><span class="p">\$ </span>(.*?)</code>', self.source, flags=re.S)
        return [html.unescape(re.sub(r"<[^>]+>", "", block)) for block in blocks]

    def error(self, field: str) -> str:
        """What is said at a field."""
        found = re.search(rf'<span class="form-error" id="{field}-e">(.*?)</span>', self.source, flags=re.S)
        assert found is not None, f"no error at {field}"
        return _text(found[1])


def _text(source: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", source)).split())
