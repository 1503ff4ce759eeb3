"""A session with a board: log in, read, set, log out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from hardware.bmc.redfish.connection import SECONDS, Access, Answer, ask
from hardware.bmc.redfish.errors import BmcFailure, BmcLoginRefused, BmcRefused
from hardware.bmc.redfish.thermal import Thermal, read_thermal

SESSIONS = "/redfish/v1/SessionService/Sessions"
CHASSIS = "/redfish/v1/Chassis"
MANAGERS = "/redfish/v1/Managers"
# Where the thermal resource of a rack server lies; a board that says otherwise is believed.
USUAL_THERMAL = f"{CHASSIS}/1/Thermal"
# Characters of a board's own words that are passed on.
SAID = 300


class Redfish:
    """``async with Redfish(access) as board``: one login for what is done inside. A board keeps few sessions: what
    logs in logs out. A session that the board has dropped meanwhile is made anew, once.
    """

    def __init__(self, access: Access, seconds: float = SECONDS) -> None:
        self.access = access
        self.seconds = seconds
        self._token = ""
        self._session = ""

    async def __aenter__(self) -> Self:
        await self._login()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            # It ends by itself after some minutes.
            with suppress(BmcFailure):
                await self._ask("DELETE", self._session)

    async def get(self, path: str) -> Answer:
        """Raises ``BmcFailure``."""
        return await self._right("GET", path)

    async def thermal(self, path: str = USUAL_THERMAL) -> Thermal:
        return read_thermal((await self.get(path)).body)

    async def set(self, path: str, body: Mapping[str, Any]) -> None:
        """Change the resource as it is now: with its ETag, where the board gives one. Raises ``BmcFailure``."""
        for last in (False, True):
            now = await self.get(path)
            tag = now.headers.get("etag") or now.body.get("@odata.etag")
            try:
                await self._right("PATCH", path, body, {"if-match": str(tag)} if tag else None)
                return
            except BmcRefused as wrong:
                # Somebody changed it in between; a tag that moves by itself gets a second chance, not a third.
                if wrong.status != 412 or last:
                    raise

    async def thermal_path(self) -> str:
        """Where the thermal resource of its first chassis lies."""
        members = (await self.get(CHASSIS)).body.get("Members") or []
        for member in members:
            link = (await self.get(str(member["@odata.id"]))).body.get("Thermal")
            if isinstance(link, dict) and link.get("@odata.id"):
                return str(link["@odata.id"])
        raise BmcRefused(
            self.access.machine, "its BMC has no thermal resource.", "A machine of this kind has its fans elsewhere."
        )

    async def firmware(self) -> tuple[str, str]:
        """Model and firmware version of the board; empty where it says neither."""
        members = (await self.get(MANAGERS)).body.get("Members") or []
        body = (await self.get(str(members[0]["@odata.id"]))).body if members else {}
        return str(body.get("Model") or ""), str(body.get("FirmwareVersion") or "")

    async def _login(self) -> None:
        given = {"UserName": self.access.username, "Password": self.access.password}
        answer = await self._ask("POST", SESSIONS, given)
        self._token = answer.headers.get("x-auth-token", "")
        if answer.status in (401, 403) or (answer.status in (200, 201) and not self._token):
            raise BmcLoginRefused(self.access.machine, f"its BMC refused the login of {self.access.username}.")
        if answer.status not in (200, 201):
            raise self._refused("POST", SESSIONS, answer)
        place = answer.headers.get("location") or str(answer.body.get("@odata.id") or "")
        # Some boards give an address with their name in it.
        self._session = place[place.index("/redfish") :] if "/redfish" in place else ""

    async def _right(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        answer = await self._ask(method, path, body, headers)
        if answer.status == 401:
            await self._login()
            answer = await self._ask(method, path, body, headers)
        if answer.status not in (200, 202, 204):
            raise self._refused(method, path, answer)
        return answer

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        token = {"x-auth-token": self._token} if self._token else {}
        return await ask(self.access, method, path, body, {**token, **(headers or {})}, self.seconds)

    def _refused(self, method: str, path: str, answer: Answer) -> BmcRefused:
        said = _message(answer.body)
        # What a board says may quote what it was sent.
        if self.access.password:
            said = said.replace(self.access.password, "***")
        said = said[:SAID]
        return BmcRefused(
            self.access.machine,
            f"its BMC answered {answer.status} to {method} {path}{f': {said}' if said else '.'}",
            status=answer.status,
        )


def _message(body: Mapping[str, Any]) -> str:
    """A board's own words: those of the extended information, which say more than the error's."""
    error = body.get("error")
    if not isinstance(error, dict):
        return ""
    more = error.get("@Message.ExtendedInfo")
    first = more[0] if isinstance(more, list) and more and isinstance(more[0], dict) else {}
    return str(first.get("Message") or error.get("message") or "")
