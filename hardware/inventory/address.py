"""Where a machine or its board is reached. No Django here."""

from __future__ import annotations

import ipaddress
import re

_HOST = re.compile(r"[^\W_]([\w.-]*\w)?\.?")


def address(text: str) -> str:
    """An address or a host name as it is kept: IPv6 without its brackets. Raises ``ValueError`` for what is neither,
    such as one with a port.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        # Of digits and dots alone it is a mistyped address, which a name server would be asked for in vain.
        if len(text) > 255 or not _HOST.fullmatch(text) or not text.strip("0123456789."):
            raise ValueError(f"{text!r} is no address.") from None
    return text


def place(text: str, port: int) -> tuple[str, int]:
    """``host``, ``host:443``, ``[fe80::1]:443`` -> address and port; ``port`` where none is said.

    Raises ``ValueError``.
    """
    found = re.fullmatch(r"(\[.+\]|[^:]+):([0-9]{1,5})", text)
    host, said = (found[1], int(found[2])) if found else (text, port)
    if not 1 <= said <= 65535:
        raise ValueError(f"{text!r} has no port.")
    return address(host), said


def placed(host: str, port: int) -> str:
    """What ``place`` reads back."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
