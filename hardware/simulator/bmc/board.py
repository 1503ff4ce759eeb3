"""One board: its sessions, its limits, and the Redfish resources that the console and its operators use of an iBMC.

Names, units and refusals follow iBMC: the level is refused below the lowest and above the highest, an automatic mode
takes no time, a manual one that is given none lasts 30 seconds, a PATCH without the resource's ETag is refused.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from hardware.simulator.bmc import cooling
from hardware.simulator.bmc.cooling import Fans
from hardware.simulator.chips import temperatures
from hardware.simulator.spec import Home, MachineSpec

USER = "Administrator"
MODEL, FIRMWARE = "Atlas 800 (simulated)", "3.65.00.19"
SESSION_SECONDS = 300
# How long a manual mode lasts when nobody says so.
USUAL_SECONDS = 30
LONGEST_SECONDS = 100_000_000
FANS = 4
ROOT = "/redfish/v1"
THERMAL = f"{ROOT}/Chassis/1/Thermal"
SESSIONS = f"{ROOT}/SessionService/Sessions"

Answer = tuple[int, dict[str, str], dict[str, Any]]


class Refused(Exception):
    def __init__(self, status: int, message: str, message_id: str) -> None:
        super().__init__(message)
        self.status, self.message, self.message_id = status, message, message_id


@dataclass
class Board:
    """``most`` is the highest level in percent that it takes: a limit of its own, whoever asks."""

    home: Home
    spec: MachineSpec
    password: str
    sessions: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def most(self) -> int:
        return 50 if self.spec.number == 2 else cooling.MOST

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Status, header fields and JSON."""
        try:
            return self._answer(method, path.rstrip("/") or "/", headers, body)
        except Refused as wrong:
            info = {"MessageId": f"Base.1.0.{wrong.message_id}", "Message": wrong.message, "Severity": "Warning"}
            said = {"code": "Base.1.0.GeneralError", "message": "See ExtendedInfo.", "@Message.ExtendedInfo": [info]}
            return wrong.status, {}, {"error": said}

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        if (method, path) == ("GET", ROOT):
            return 200, {}, {"@odata.id": f"{ROOT}/", "RedfishVersion": "1.0.2", "Id": "RootService"}
        if (method, path) == ("POST", SESSIONS):
            return self._login(_json(body))
        session = self._session(headers)
        if method == "DELETE" and path == f"{SESSIONS}/{session}":
            self.sessions = {token: one for token, one in self.sessions.items() if one[0] != session}
            return 200, {}, {}
        if method == "PATCH" and path == THERMAL:
            if headers.get("if-match") != self._etag():
                raise Refused(412, "The ETag does not match that of the resource.", "PreconditionFailed")
            self._set(_json(body))
            return self._thermal()
        if method == "GET":
            if path == THERMAL:
                return self._thermal()
            if path == f"{ROOT}/Chassis":
                return 200, {}, {"Members": [{"@odata.id": f"{ROOT}/Chassis/1"}], "Members@odata.count": 1}
            if path == f"{ROOT}/Chassis/1":
                said = {"Id": "1", "ChassisType": "RackMount", "Model": MODEL, "Thermal": {"@odata.id": THERMAL}}
                return 200, {}, {"@odata.id": path, "SerialNumber": f"SIM{self.spec.number:07d}", **said}
            if path == f"{ROOT}/Managers":
                return 200, {}, {"Members": [{"@odata.id": f"{ROOT}/Managers/1"}], "Members@odata.count": 1}
            if path == f"{ROOT}/Managers/1":
                return 200, {}, {"@odata.id": path, "Model": "iBMC", "FirmwareVersion": FIRMWARE, "ManagerType": "BMC"}
        raise Refused(404, f"There is no resource {path}.", "ResourceMissingAtURI")

    def _login(self, given: dict[str, Any]) -> Answer:
        name, password = str(given.get("UserName", "")), str(given.get("Password", ""))
        if name != USER or not hmac.compare_digest(password.encode(), self.password.encode()):
            raise Refused(401, "The user name or password is incorrect or the account is locked.", "LoginFailed")
        token, number = secrets.token_hex(16), secrets.token_hex(8)
        self.sessions[token] = (number, time.time() + SESSION_SECONDS)
        place = f"{SESSIONS}/{number}"
        return 201, {"x-auth-token": token, "location": place}, {"@odata.id": place, "Id": number, "UserName": USER}

    def _session(self, headers: dict[str, str]) -> str:
        number, until = self.sessions.get(headers.get("x-auth-token", ""), ("", 0.0))
        if until < time.time():
            raise Refused(401, "There is no valid session.", "NoValidSession")
        self.sessions[headers["x-auth-token"]] = (number, time.time() + SESSION_SECONDS)
        return number

    def _set(self, given: dict[str, Any]) -> None:
        wanted = (given.get("Oem") or {}).get("Huawei") or {}
        mode, level, seconds = (
            wanted.get(name) for name in
            ("FanSpeedAdjustmentMode", "FanSpeedLevelPercents", "FanManualModeTimeoutSeconds")
        )  # fmt: skip
        fans = cooling.read(self.home.simulated)
        if level is not None and (type(level) is not int or not cooling.LEAST <= level <= self.most):
            raise Refused(
                400,
                f"The value {level} for the property Oem/Huawei/FanSpeedLevelPercents is not in the range of "
                f"{cooling.LEAST} to {self.most}.",
                "PropertyValueOutOfRange",
            )
        if mode not in (None, "Automatic", "Manual"):
            raise Refused(400, f"{mode} is not in the list of acceptable values.", "PropertyValueNotInList")
        if mode == "Automatic" and seconds is not None:
            raise Refused(400, "FanSpeedAdjustmentMode Automatic conflicts with a time.", "PropertyValueConflict")
        if seconds is not None and (type(seconds) is not int or not 0 <= seconds <= LONGEST_SECONDS):
            raise Refused(400, f"{seconds} is no time.", "PropertyValueOutOfRange")
        if level is None and mode is None and seconds is None:
            raise Refused(400, "The request body holds no property that can be set.", "MalformedJSON")
        if mode == "Automatic":
            cooling.write(self.home.simulated, Fans())
            return
        fans = Fans("Manual" if mode or seconds is not None else fans.mode, level or fans.level, fans.until)
        if fans.mode == "Manual" and (mode or seconds is not None):
            lasts = USUAL_SECONDS if seconds is None else seconds
            fans.until = time.time() + lasts if lasts else 0.0
        cooling.write(self.home.simulated, fans)

    def _etag(self) -> str:
        fans = cooling.read(self.home.simulated)
        return f'W/"{fans.mode[0]}{fans.level:03d}{int(fans.until)}"'

    def _thermal(self) -> Answer:
        fans = cooling.read(self.home.simulated)
        chips = temperatures(self.home.disk, self.home.simulated)
        percent = fans.percent(max(chips.values()), self.most)
        left = max(0, round(fans.until - time.time())) if fans.mode == "Manual" and fans.until else 0
        degrees = {"Inlet Temp": 26.0, **{f"NPU{npu + 1} AICore Temp": round(value, 1) for npu, value in chips.items()}}
        said = {
            "@odata.id": THERMAL,
            "Id": "Thermal",
            "Name": "Chassis Thermal",
            "Temperatures": [
                {"MemberId": str(place), "Name": name, "ReadingCelsius": value,
                 "Status": {"State": "Enabled", "Health": "OK"}}
                for place, (name, value) in enumerate(degrees.items())
            ],
            "Fans": [
                {"MemberId": str(place), "Name": f"Fan{place + 1}", "Reading": cooling.FULL_RPM * percent // 100,
                 "ReadingUnits": "RPM", "MinReadingRange": None, "MaxReadingRange": None,
                 "Status": {"State": "Enabled", "Health": "OK"}}
                for place in range(FANS)
            ],
            "Oem": {"Huawei": {
                "FanSpeedAdjustmentMode": fans.mode,
                "FanSpeedLevelPercents": percent,
                "FanManualModeTimeoutSeconds": left,
                "FanSpeedMinimalLevelPercents": cooling.LEAST,
                "FanSpeedMaximumLevelPercents": self.most,
            }},
        }  # fmt: skip
        return 200, {"etag": self._etag()}, said


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Refused(400, "The request body is no JSON.", "MalformedJSON")
    return said
