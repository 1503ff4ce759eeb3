"""The thermal resource of an iBMC: temperatures, fans, and the fields of its maker that set their level."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODE, LEVEL, LASTS = "FanSpeedAdjustmentMode", "FanSpeedLevelPercents", "FanManualModeTimeoutSeconds"
LEAST, MOST = "FanSpeedMinimalLevelPercents", "FanSpeedMaximumLevelPercents"
AUTOMATIC, MANUAL = "Automatic", "Manual"
# iBMC's fields stand under the first; those of openUBMC, which it is built from today, under the second.
MAKERS = ("Huawei", "Public")


@dataclass(frozen=True)
class Thermal:
    """``level``, ``least`` and ``most`` in percent, ``fans`` in revolutions a minute by name, ``temperatures`` in
    degrees Celsius by name, ``left_s`` until a manual mode ends by itself (0: it does not, or there is none). ``None``:
    the board does not say.
    """

    mode: str | None
    level: int | None
    left_s: int
    least: int | None
    most: int | None
    full_rpm: int | None
    maker: str
    fans: dict[str, int] = field(default_factory=dict)
    temperatures: dict[str, float] = field(default_factory=dict)

    @property
    def settable(self) -> bool:
        """Whether the board lets its fans be set at all."""
        return self.mode is not None and self.level is not None

    @property
    def rpm(self) -> int | None:
        """Of the slowest fan that turns."""
        return min((rpm for rpm in self.fans.values() if rpm > 0), default=None)

    @property
    def hottest(self) -> float | None:
        """Of the chips where the board names any, else of all its sensors."""
        npus = [value for name, value in self.temperatures.items() if "npu" in name.lower()]
        return max(npus or self.temperatures.values(), default=None)

    def level_for(self, rpm: int) -> int | None:
        """The lowest level that reaches ``rpm``, or the board's highest where that is lower."""
        if not self.full_rpm:
            return None
        wanted = math.ceil(100 * rpm / self.full_rpm)
        return max(self.least or 1, min(wanted, self.most or 100))


def read_thermal(body: Mapping[str, Any]) -> Thermal:
    """What a board answers for its thermal resource; a field that is missing or of another type is not said."""
    oem = body.get("Oem") if isinstance(body.get("Oem"), dict) else {}
    assert isinstance(oem, dict)
    maker = next((name for name in (*MAKERS, *oem) if isinstance(oem.get(name), dict) and MODE in oem[name]), MAKERS[0])
    own = oem.get(maker) if isinstance(oem.get(maker), dict) else {}
    assert isinstance(own, dict)
    fans: dict[str, int] = {}
    full: list[int] = []
    level = _whole(own.get(LEVEL))
    for fan in _members(body, "Fans"):
        reading = _whole(fan.get("Reading"))
        if reading is None or str(fan.get("ReadingUnits", "RPM")).upper() != "RPM":
            continue
        fans[str(fan.get("Name") or fan.get("MemberId") or len(fans))] = reading
        top = _whole(fan.get("MaxReadingRange"))
        if top:
            full.append(top)
        elif level and reading:
            # Boards that leave the range empty: fans turn in proportion to their level, so this tells it well enough.
            full.append(round(100 * reading / level))
    degrees = {
        str(sensor.get("Name") or sensor.get("MemberId")): float(sensor["ReadingCelsius"])
        for sensor in _members(body, "Temperatures")
        if isinstance(sensor.get("ReadingCelsius"), int | float)
    }
    return Thermal(
        mode=own[MODE] if isinstance(own.get(MODE), str) else None,
        level=level,
        left_s=_whole(own.get(LASTS)) or 0,
        least=_whole(own.get(LEAST)),
        most=_whole(own.get(MOST)),
        full_rpm=min(full, default=None),
        maker=maker,
        fans=fans,
        temperatures=degrees,
    )


def hold(maker: str, level: int, seconds: int) -> dict[str, Any]:
    """The body that holds the fans at a level for so long; then the board itself goes back to automatic."""
    return {"Oem": {maker: {MODE: MANUAL, LEVEL: level, LASTS: seconds}}}


def hand_back(maker: str) -> dict[str, Any]:
    """The body that gives the fans back to the board. It takes no time beside it: iBMC refuses one."""
    return {"Oem": {maker: {MODE: AUTOMATIC}}}


def _members(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = body.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _whole(value: Any) -> int | None:
    return round(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
