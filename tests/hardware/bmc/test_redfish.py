"""The Redfish client against a simulated board: a real HTTPS server with iBMC's names and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from hardware.bmc.redfish import (
    Access,
    BmcLoginRefused,
    BmcRefused,
    BmcUnreachable,
    CertificateChanged,
    CertificateNotPinned,
    Redfish,
    hand_back,
    hold,
    read_fingerprint,
    read_thermal,
)
from hardware.bmc.redfish.client import USUAL_THERMAL
from hardware.bmc.redfish.connection import Answer
from hardware.simulator.faults import registry
from hardware.simulator.spec import Home
from tests.fleet import Fleet


def access(fleet: Fleet, name: str = "kunpeng-01") -> Access:
    entry: Any = next(machine for machine in fleet.machines if machine["name"] == name)["bmc"]
    return Access(name, entry["host"], entry["port"], entry["username"], entry["password"], entry["fingerprint"])


def talk(access: Access, say: Callable[[Redfish], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with Redfish(access, seconds=5) as board:
            return await say(board)

    return asyncio.run(go())


def test_heat_fans_and_limits_are_read(fleet: Fleet) -> None:
    async def look(board: Redfish) -> Any:
        return await board.thermal_path(), await board.firmware(), await board.thermal()

    path, (model, version), thermal = talk(access(fleet), look)
    assert (path, model, version) == ("/redfish/v1/Chassis/1/Thermal", "iBMC", "3.65.00.19")
    assert (thermal.mode, thermal.level, thermal.least, thermal.most) == ("Automatic", 35, 20, 100)
    assert thermal.rpm == 2800 and thermal.full_rpm == 8000 and thermal.maker == "Huawei"
    assert 30 < thermal.hottest < 60


def test_the_level_for_a_speed_is_never_above_the_boards_own_limit(fleet: Fleet) -> None:
    async def look(board: Redfish) -> Any:
        return await board.thermal()

    assert talk(access(fleet), look).level_for(4500) == 57
    assert talk(access(fleet, "kunpeng-02"), look).level_for(4500) == 50


def test_fans_are_held_and_handed_back(fleet: Fleet) -> None:
    async def both(board: Redfish) -> Any:
        await board.set(USUAL_THERMAL, hold("Huawei", 57, 60))
        held = await board.thermal()
        await board.set(USUAL_THERMAL, hand_back("Huawei"))
        return held, await board.thermal()

    held, after = talk(access(fleet), both)
    assert (held.mode, held.level, held.rpm) == ("Manual", 57, 4560) and 55 <= held.left_s <= 60
    assert (after.mode, after.level) == ("Automatic", 35)


def test_a_level_above_the_limit_is_refused_in_the_boards_own_words(fleet: Fleet) -> None:
    with pytest.raises(BmcRefused, match=r"kunpeng-02: its BMC answered 400 .* not in the range of 20 to 50"):
        talk(access(fleet, "kunpeng-02"), lambda board: board.set(USUAL_THERMAL, hold("Huawei", 57, 60)))


def test_nothing_is_sent_to_whoever_shows_another_certificate(fleet: Fleet) -> None:
    right = access(fleet)
    assert asyncio.run(read_fingerprint("m", right.host, right.port)) == right.fingerprint
    with pytest.raises(CertificateChanged) as wrong:
        talk(replace(right, fingerprint=access(fleet, "kunpeng-02").fingerprint), lambda board: board.thermal())
    assert right.fingerprint in str(wrong.value)
    with pytest.raises(CertificateNotPinned):
        talk(replace(right, fingerprint=""), lambda board: board.thermal())


def test_a_wrong_password_is_told_and_not_repeated(fleet: Fleet) -> None:
    with pytest.raises(BmcLoginRefused) as wrong:
        talk(replace(access(fleet), password="not-this-one"), lambda board: board.thermal())
    assert "not-this-one" not in str(wrong.value) and "not-this-one" not in repr(access(fleet))


def test_a_board_that_drops_connections_is_unreachable(fleet: Fleet) -> None:
    home = Home(fleet.folder / "kunpeng-01")
    registry.begin(home, "bmc-away")
    try:
        with pytest.raises(BmcUnreachable, match=r"does not answer|gave no answer"):
            talk(access(fleet), lambda board: board.thermal())
    finally:
        registry.end(home)


def test_an_answer_without_the_makers_fields_says_that_the_fans_can_not_be_set() -> None:
    thermal = read_thermal({"Fans": [{"Name": "Fan1", "Reading": 3000, "MaxReadingRange": 9000}], "Oem": {}})
    assert not thermal.settable and thermal.level_for(4500) == 50
    assert read_thermal({"Fans": "no", "Temperatures": [None]}).hottest is None


def test_the_fields_are_found_under_openubmcs_name_too() -> None:
    thermal = read_thermal({"Oem": {"Public": {"FanSpeedAdjustmentMode": "Manual", "FanSpeedLevelPercents": 40}}})
    assert (thermal.maker, thermal.mode, thermal.level) == ("Public", "Manual", 40)


def test_a_board_that_quotes_the_password_at_length_gives_away_no_part_of_it() -> None:
    board = Redfish(Access("n1", "127.0.0.1", 443, "ops", "a-password-of-ours"))
    said = {"error": {"message": f"{'x' * 290} a-password-of-ours"}}
    assert "a-pass" not in str(board._refused("PATCH", USUAL_THERMAL, Answer(400, {}, said)))
