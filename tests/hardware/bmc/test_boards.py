"""A machine's board: over REST, on the machine's page and from a list; nothing is sent before it is confirmed."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from console.audit.models import AuditEvent
from hardware.bmc.models import Bmc
from hardware.bmc.services import canonical
from hardware.inventory.lists.table import read_csv
from hardware.inventory.models import Credential, Machine
from hardware.simulator.faults import registry
from hardware.simulator.spec import Home
from tests.fleet import Fleet

NAME = "kunpeng-01"
ADDRESS = f"/api/v1/machines/{NAME}/bmc/"


@pytest.fixture
def board(fleet: Fleet) -> dict[str, Any]:
    entry: Any = next(machine for machine in fleet.machines if machine["name"] == NAME)["bmc"]
    return dict(entry)


@pytest.fixture
def machine(fleet: Fleet, board: dict[str, Any], transactional_db: None) -> Machine:
    Credential.objects.create(name="boards", username=board["username"], password=board["password"])
    return fleet.enroll(NAME)


@pytest.fixture
def ada(transactional_db: None) -> User:
    return User.objects.create_user("ada", is_superuser=True, is_staff=True)


@pytest.fixture
def api(ada: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(ada)
    return client


@pytest.fixture
def page(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def test_over_rest_a_board_is_attached_confirmed_and_read(api: APIClient, machine: Machine, board: dict[str, Any]):
    assert api.get(ADDRESS).status_code == 404
    given = {"host": board["host"], "port": board["port"], "credential": "boards"}
    attached = api.put(ADDRESS, given, format="json").json()
    assert (attached["fingerprint"], attached["offered_fingerprint"]) == ("", board["fingerprint"])
    assert api.post(f"{ADDRESS}read/").status_code == 502
    assert api.post(f"{ADDRESS}confirm/", {"fingerprint": "AB:" * 31 + "AB"}, format="json").status_code == 400
    assert (
        api.post(f"{ADDRESS}confirm/", {"fingerprint": board["fingerprint"].lower()}, format="json").status_code == 200
    )
    seen = api.post(f"{ADDRESS}read/").json()["seen"]
    assert (seen["mode"], seen["most"], seen["full_rpm"]) == ("Automatic", 100, 8000)
    assert board["password"] not in str(api.get(ADDRESS).json())
    assert seen["fans"]["Fan1"] == 2800
    # The same once more changes nothing that was confirmed; another address is another board.
    assert api.put(ADDRESS, given, format="json").json()["fingerprint"] == board["fingerprint"]
    moved = api.put(ADDRESS, {**given, "port": 9}, format="json").json()
    assert (moved["fingerprint"], moved["seen"], moved["trouble"]["code"]) == ("", {}, "bmc-unreachable")
    assert api.delete(ADDRESS).status_code == 204 and api.get(ADDRESS).status_code == 404


def test_a_board_comes_with_its_machine_over_rest_and_its_secret_is_never_given_back(
    api: APIClient, machine: Machine, board: dict[str, Any]
):
    name, login = "kunpeng-09", {"username": board["username"], "password": f" {board['password']} "}
    place = f"/api/v1/machines/{name}/"
    asked = {"name": name, "host": machine.host, "port": machine.port, "credential": machine.credential.name}
    mine = {"host": board["host"], "port": board["port"], **login}
    for wrong, field in (
        ({"port": 443, **login}, "host"),
        ({**mine, "host": "root@board"}, "host"),
        ({**mine, "port": 70000}, "port"),
        ({**mine, "password": ""}, "password"),
        ({"host": "192.0.2.7", "username": "x"}, "password"),
        ({**mine, "credential": "boards"}, "credential"),
        ({"host": "192.0.2.7"}, "credential"),
    ):
        refused = api.post("/api/v1/machines/", {**asked, "bmc": wrong}, format="json")
        assert refused.status_code == 400 and field in str(refused.json()), wrong
    assert not Machine.objects.filter(name=name).exists()

    made = api.post("/api/v1/machines/", {**asked, "bmc": mine}, format="json")
    assert made.status_code == 201, made.content
    assert made.json()["bmc"] == {
        "host": board["host"], "port": board["port"], "credential": f"BMC {name}", "fingerprint": "",
        "offered_fingerprint": board["fingerprint"], "trouble": {},
    }  # fmt: skip
    kept = Credential.objects.get(name=f"BMC {name}")
    assert (kept.username, kept.password) == (login["username"], login["password"])

    def change(bmc: Any, **more: Any) -> Any:
        tag = api.get(place)["ETag"]
        answer = api.patch(place, {"bmc": bmc, **more}, format="json", headers={"If-Match": tag})
        assert board["password"] not in answer.content.decode()
        return answer

    assert change({"port": 1}).status_code == 400 and change({"host": "a b"}).status_code == 400
    # Another board by a named login; then one that keeps the login it has; a change of site leaves it alone.
    assert change({**mine, "username": "", "password": ""}).status_code == 400
    moved = change({"host": board["host"], "port": 9, "credential": "boards"}).json()["bmc"]
    assert (moved["credential"], moved["trouble"]["code"]) == ("boards", "bmc-unreachable")
    back = change({"host": board["host"], "port": board["port"]}, site="north").json()
    assert (back["bmc"]["credential"], back["site"]) == ("boards", "north")
    tag = api.get(place)["ETag"]
    there = api.patch(place, {"site": "south"}, format="json", headers={"If-Match": tag}).json()
    assert there["bmc"]["offered_fingerprint"] == board["fingerprint"]
    assert change(None).json()["bmc"] is None and not Bmc.objects.exists()
    trail = AuditEvent.objects.filter(target=f"machine:{name}").order_by("id")
    assert [one.action for one in trail] == [
        "machine.enroll", "bmc.attach", "bmc.attach", "machine.update", "bmc.attach", "machine.update", "bmc.detach",
    ]  # fmt: skip
    assert board["password"] not in str([one.detail for one in AuditEvent.objects.all()])


def test_on_its_page_a_board_is_given_confirmed_read_and_forgotten(
    page: Client, machine: Machine, board: dict[str, Any], fleet: Fleet
):
    place = f"/machines/{NAME}/bmc/"
    said = page.post(place, {"bmc-host": "", "bmc-credential": "new"}, follow=True).content.decode()
    assert "Give the address of the BMC." in said
    given = {
        "bmc-host": board["host"], "bmc-port": board["port"], "bmc-credential": "new",
        "bmc-username": board["username"], "bmc-password": board["password"],
    }  # fmt: skip
    said = page.post(place, given, follow=True).content.decode()
    assert board["fingerprint"] in said and board["password"] not in said
    said = page.post(f"{place}confirm/", {"fingerprint": board["fingerprint"]}, follow=True).content.decode()
    assert "20 to 100 %" in said and "about 8000 rpm" in said
    registry.begin(Home(fleet.folder / NAME), "bmc-away")
    said = page.post(f"{place}read/", follow=True).content.decode()
    registry.end(Home(fleet.folder / NAME))
    assert "The BMC can’t be used" in said and "bmc-unreachable" in said
    page.post(f"{place}remove/")
    assert not Bmc.objects.exists()


def test_a_list_gives_machines_their_boards_and_is_exported_with_them(
    api: APIClient, machine: Machine, board: dict[str, Any], fleet: Fleet
):
    machine.delete()
    port = fleet.endpoint(NAME).port
    text = (
        "name,host,port,credential,bmc,bmc_credential,bmc_fingerprint\n"
        f"{NAME},127.0.0.1,{port},fleet,127.0.0.1:{board['port']},boards,{board['fingerprint']}\n"
    )
    [done] = api.post("/api/v1/machine-import/", {"text": text}, format="json").json()["results"]
    assert done["done"] == "added"
    assert Bmc.objects.get().fingerprint == board["fingerprint"]
    [entry] = read_csv(api.get("/api/v1/machine-export.csv").content.decode()).entries
    assert (entry.bmc, entry.bmc_credential) == (f"127.0.0.1:{board['port']}", "boards")
    assert entry.bmc_fingerprint == board["fingerprint"]
    listing = read_csv("name,bmc\nn1,10.0.0.1\nn2,https://x\n")
    assert ["no credential" in listing.problems[0].text, "no address" in listing.problems[1].text] == [True, True]


def test_a_fingerprint_is_taken_in_the_forms_that_people_paste():
    plain = "AB:CD:EF:01"
    assert {canonical(text) for text in ("ab:cd:ef:01", "SHA256 Fingerprint=AB:CD:EF:01", "abcdef01")} == {plain}
