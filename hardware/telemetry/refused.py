"""Logins that a machine refused are tried again ever more seldom: many sites lock an account after three refusals.

pam_faillock's own defaults are three within 15 minutes; here no 15 minutes hold more than two attempts. What a person
does (a corrected credential, a probe that gets in) is followed within seconds all the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from django.utils import timezone

from hardware.ssh.endpoint import Endpoint
from hardware.ssh.errors import AuthenticationRefused, SudoPassword

FIRST_SECONDS, LONGEST_SECONDS = 480.0, 3600.0
# How often it is looked whether the credential is another by now.
LOOK_SECONDS = 10.0
# What was read of the machine's state so soon after a refusal may be from before it.
SETTLED_SECONDS = 10.0


def counts(wrong: BaseException) -> bool:
    """Whether an account's lock counts it: a password or key was refused, by the machine or on the way to it."""
    cause: BaseException | None = wrong
    while cause is not None:
        if isinstance(cause, AuthenticationRefused | SudoPassword):
            return True
        cause = cause.__cause__
    return False


class Refused:
    """The login of one machine, from its first refusal until it is let in. ``again_at`` is when it is tried next."""

    def __init__(self) -> None:
        self.again_at: datetime | None = None
        self._pause = 0.0
        self._seconds = self._since = 0.0
        self._now = asyncio.Event()

    def another(self) -> None:
        """It was refused once more."""
        self._pause = min(self._pause * 2, LONGEST_SECONDS) or FIRST_SECONDS
        self._seconds = self._pause * random.uniform(1.0, 1.2)
        self.again_at = timezone.now() + timedelta(seconds=self._seconds)
        self._since = asyncio.get_running_loop().time()
        self._now.clear()

    def over(self) -> None:
        self.again_at = None
        self._pause = 0.0

    def at_once(self) -> None:
        """Somebody else was let in: do not wait."""
        if asyncio.get_running_loop().time() - self._since > SETTLED_SECONDS:
            self._now.set()

    async def wait(self, refused: Endpoint, login: Callable[[], Awaitable[Endpoint]]) -> None:
        """Until it is time, or ``login`` gives another than was refused."""
        until = asyncio.get_running_loop().time() + self._seconds
        while (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                async with asyncio.timeout(min(left, LOOK_SECONDS * random.uniform(0.8, 1.2))):
                    await self._now.wait()
            except TimeoutError:
                if await login() == refused:
                    continue
            self._pause = 0.0
            return
