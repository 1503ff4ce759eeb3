"""One HTTP POST, signed as the Standard Webhooks specification says (https://www.standardwebhooks.com).

Headers: ``webhook-id``, ``webhook-timestamp`` (seconds since 1970), ``webhook-signature``: for each secret ``v1,`` and
the base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``, with spaces between them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from django.conf import settings

from console.notifications.failures import NotDelivered
from console.notifications.models import SECRET_PREFIX
from jobs.secrets.mask import Mask

TIMEOUT_SECONDS = 10
SAID = 200


def sign(secret: str, uid: str, timestamp: int, body: bytes) -> str:
    """``v1,BASE64``."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((uid.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def send(address: str, secrets: Iterable[str], uid: str, content: dict[str, Any]) -> None:
    """Raises ``NotDelivered`` unless the other side answers 2xx in time. No redirect is followed, no proxy is used."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    now = int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": uid,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(sign(secret, uid, now, body) for secret in secrets if secret),
    }
    try:
        with httpx.Client(verify=_trusted(), trust_env=False, timeout=TIMEOUT_SECONDS) as client:
            answer = client.post(address, content=body, headers=headers)
    except httpx.TimeoutException as wrong:
        raise NotDelivered(f"It did not answer within {TIMEOUT_SECONDS} s.") from wrong
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as wrong:
        said = str(wrong) or type(wrong).__name__
        raise NotDelivered(f"It can't be reached: {_tokens(address).text(said)}.") from wrong
    if not answer.is_success:
        # Many a server answers with the address that it does not know.
        said = " ".join(_tokens(address).text(answer.text)[:SAID].split())
        raise NotDelivered(f"It answered {answer.status_code}{f': {said}' if said else ''}.")


def _tokens(address: str) -> Mask:
    """What of an address may be a token: all that comes after the host."""
    parts = urlsplit(address)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    given = [value for _, value in parse_qsl(parts.query)]
    return Mask([target, parts.path, parts.query, *parts.path.split("/"), *given, parts.password or ""])


def _trusted() -> ssl.SSLContext:
    """The system's certificate authorities, and the site's own."""
    context = ssl.create_default_context()
    if settings.CA_FILE:
        try:
            context.load_verify_locations(settings.CA_FILE)
        except (OSError, ssl.SSLError) as wrong:
            raise NotDelivered(f"CONSOLE_CA_FILE={settings.CA_FILE} can't be read: {wrong}.") from wrong
    return context
