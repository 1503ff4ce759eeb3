"""What asyncssh and asyncio say of a link that was cut, once whoever used the link has been told by an exception.

A transfer has many requests under way; each of them ends with the link, and only the first is anyone's to catch.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncssh

log = logging.getLogger(__name__)


def quieten(loop: asyncio.AbstractEventLoop) -> None:
    """Log no traceback for them on this loop; everything else is logged as ever."""
    loop.set_exception_handler(_handle)
    # "socket.send() raised exception", once for each block that was to be sent.
    logging.getLogger("asyncio").addFilter(_is_no_dead_socket)


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    wrong = context.get("exception")
    if isinstance(wrong, asyncssh.Error | OSError) and "never retrieved" in context.get("message", ""):
        log.debug("a request ended with its link: %s", wrong)
        return
    loop.default_exception_handler(context)


def _is_no_dead_socket(record: logging.LogRecord) -> bool:
    return record.msg != "socket.send() raised exception."
