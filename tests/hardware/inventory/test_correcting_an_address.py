"""A mistyped address is corrected until a host key has been confirmed for it; from then on it stays."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from console.audit.models import AuditEvent
from hardware.inventory.models import Machine
from hardware.inventory.services import confirm, retire

PATH, FORM = "/api/v1/machines/typo/", {"credential": "old:lab", "site": ""}


@pytest.fixture
def site(client, sshd, machine):
    """``typo`` was enrolled with the address of another machine, whose key it offers."""
    wrong = {"offered_key": "ssh-ed25519 AAAA", "offered_fingerprint": "SHA256:another"}
    Machine.objects.create(name="typo", host="10.0.0.1", port=2022, credential=machine.credential, **wrong)
    client.force_login(User.objects.create_user("ada"))
    return client


def typo() -> Machine:
    return Machine.objects.get(name="typo")


def patch(client: Any, **fields: Any) -> Any:
    tag = client.get(PATH)["ETag"]
    return client.patch(PATH, fields, content_type="application/json", headers={"If-Match": tag})


def assert_stays(said: str) -> None:
    assert "typo has had its host key confirmed" in said and "retire it" in said


def test_on_the_page_it_is_corrected_and_the_key_is_read_anew(site, sshd):
    page = site.get("/machines/typo/edit/").content.decode()
    assert 'name="host" type="text" value="10.0.0.1"' in page and 'value="2022"' in page
    assert (
        site.post("/machines/typo/edit/", FORM | {"host": "localhost", "port": sshd.endpoint.port}).status_code == 302
    )
    now = typo()
    assert (now.host, now.port, now.state, now.host_key) == ("localhost", sshd.endpoint.port, "new", "")
    assert now.offered_key == sshd.endpoint.host_key and now.offered_fingerprint != "SHA256:another"
    (event,) = AuditEvent.objects.filter(action="machine.update")
    assert event.detail == {"host": "localhost", "port": sshd.endpoint.port, "fingerprint": now.offered_fingerprint}
    assert not confirm(now, "SHA256:another", actor="ada"), "nobody confirms what the wrong address offered"
    assert confirm(now, now.offered_fingerprint, actor="ada")


def test_on_the_page_it_stays_once_a_key_was_confirmed(site, sshd):
    assert confirm(typo(), "SHA256:another", actor="ada")
    assert 'name="host"' not in site.get("/machines/typo/edit/").content.decode()
    # Its form was open before.
    late = site.post("/machines/typo/edit/", FORM | {"host": "localhost", "port": 2022})
    assert late.status_code == 422
    assert_stays(late.content.decode())
    assert site.post("/machines/typo/edit/", FORM | {"host": "10.0.0.1", "port": 2022, "site": "b"}).status_code == 302
    assert (typo().host, typo().site) == ("10.0.0.1", "b")


def test_over_rest_it_is_corrected_and_stays_once_a_key_was_confirmed(site, sshd):
    moved = patch(site, host="127.0.0.1", port=sshd.endpoint.port, labels=["new"])
    assert moved.status_code == 200, moved.content
    now = typo()
    assert (now.host, now.port, now.labels) == ("127.0.0.1", sshd.endpoint.port, ["new"])
    assert moved.json()["offered_fingerprint"] == now.offered_fingerprint != "SHA256:another"
    assert "host" in AuditEvent.objects.get(action="machine.update").detail
    assert confirm(now, now.offered_fingerprint, actor="ada")
    refused = patch(site, host="127.0.0.2")
    assert refused.status_code == 400
    assert_stays(str(refused.json()))
    assert patch(site, host="127.0.0.1", site="b").status_code == 200
    name = patch(site, name="other")
    assert name.status_code == 400 and "A name stays" in str(name.json())


def test_where_nothing_answers_nothing_is_stored(site):
    page = site.post("/machines/typo/edit/", FORM | {"host": "127.0.0.1", "port": 1, "site": "b"})
    assert page.status_code == 422
    assert "typo was not changed" in page.content.decode() and "ssh-unreachable" in page.content.decode()
    assert patch(site, host="127.0.0.1", port=1).status_code >= 400
    assert (typo().host, typo().port, typo().site) == ("10.0.0.1", 2022, "")


def test_what_is_no_address_is_refused_and_an_empty_one_is_no_correction(site):
    for host, port in (("a;b", 22), ("", 22), ("localhost", 0)):
        assert site.post("/machines/typo/edit/", FORM | {"host": host, "port": port}).status_code == 422
    assert patch(site, host="10.0.0.1:22").status_code == 400
    assert typo().host == "10.0.0.1"


def test_a_retired_one_is_corrected_and_stays_out_of_use_and_a_silent_one_waits_for_its_key(site, sshd):
    retire(typo(), actor="ada")
    assert patch(site, host="127.0.0.1", port=sshd.endpoint.port).status_code == 200
    assert typo().state == "retired"
    Machine.objects.filter(name="typo").update(state="silent", trouble={"code": "ssh-host-key-not-pinned"})
    assert patch(site, host="localhost").status_code == 200
    assert (typo().state, typo().trouble) == ("new", {})
