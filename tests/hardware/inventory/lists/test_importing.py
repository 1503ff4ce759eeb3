"""Enrolling from lists, exporting, scanning: against a real SSH server, over REST and on the pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile

from console.audit.models import AuditEvent
from hardware.inventory.lists.entries import ListRefused
from hardware.inventory.lists.services import addresses, decoded, guess
from hardware.inventory.models import Credential, Machine
from tests.ports import free_ports
from tests.sshd import PASSWORD, Server


@pytest.fixture
def site(client, transactional_db):
    Credential.objects.create(name="lab", password=PASSWORD)
    client.force_login(User.objects.create_user("ada"))
    return client


def fingerprint(sshd: Server) -> str:
    import asyncssh

    from hardware.ssh.hostkeys import describe

    return describe(asyncssh.import_public_key(sshd.endpoint.host_key)).fingerprint


def listing(sshd: Server) -> str:
    port = sshd.endpoint.port
    return (
        "name,host,port,labels,credential,fingerprint\n"
        f"n1,127.0.0.1,{port},canary,,{fingerprint(sshd)}\n"
        f"n2,127.0.0.1,{port},,lab,\n"
        f"n3,127.0.0.1,{port},,,SHA256:{'a' * 43}\n"
        f"n4,127.0.0.1,{free_ports()},,,\n"
        "n 5,127.0.0.1,22,,,\n"
    )


def test_each_machine_of_a_list_is_enrolled_or_says_why_not_and_a_second_time_changes_nothing(site, sshd):
    body = {"text": listing(sshd), "credential": "lab"}
    dry = site.post("/api/v1/machine-import/?dry_run=1", body, "application/json").json()
    assert [one["name"] for one in dry["machines"]] == ["n1", "n2", "n3", "n4"] and dry["results"] == []
    assert dry["problems"][0]["line"] == 6 and not Machine.objects.exists()
    done = site.post("/api/v1/machine-import/", body, "application/json").json()["results"]
    assert [(one["name"], one["done"]) for one in done] == [
        ("n1", "confirmed"), ("n2", "added"), ("n3", "added"), ("n4", "failed"),
    ]  # fmt: skip
    assert "the list says" in done[2]["cause"] and "nothing that speaks SSH answers" in done[3]["cause"]
    assert {m.name: (m.state, m.labels) for m in Machine.objects.all()} == {
        "n1": ("ready", ["canary"]), "n2": ("new", []), "n3": ("new", []),
    }  # fmt: skip
    again = site.post("/api/v1/machine-import/", body, "application/json").json()["results"]
    assert [one["done"] for one in again] == ["there", "there", "there", "failed"]
    assert AuditEvent.objects.filter(action="machines.import").count() == 2


def test_a_list_that_names_a_retired_machine_says_so(site, sshd):
    body = {"text": listing(sshd), "credential": "lab"}
    site.post("/api/v1/machine-import/", body, "application/json")
    site.post("/api/v1/machines/n2/retire/", content_type="application/json")
    done = site.post("/api/v1/machine-import/", body, "application/json").json()["results"]
    assert (done[1]["done"], done[1]["cause"]) == ("there", "n2 is retired.") and "use again" in done[1]["mend"]
    assert done[0]["cause"] == "" and Machine.objects.get(name="n2").state == "retired"


def test_a_list_that_the_vault_encrypted_is_named_as_that(site):
    answer = site.post(
        "/api/v1/machine-import/",
        {"text": "$ANSIBLE_VAULT;1.1;AES256\n6231\n", "credential": "lab"},
        "application/json",
    )
    assert answer.status_code == 400 and "ansible-vault" in str(answer.json())


def test_a_list_that_names_no_credential_is_not_begun(site, sshd):
    text = f"name,host,port,credential\nn1,127.0.0.1,{sshd.endpoint.port},nobody\n"
    answer = site.post("/api/v1/machine-import/", {"text": text}, "application/json")
    assert answer.status_code == 400 and "no credential called nobody" in str(answer.json())
    assert not Machine.objects.exists()
    refused = site.post("/api/v1/machine-import/", {"text": "all: [", "format": "yaml"}, "application/json")
    assert refused.status_code == 400 and "no YAML" in str(refused.json())


@pytest.mark.parametrize("form", ["csv", "ini", "yaml"])
def test_what_is_exported_can_be_imported_into_an_empty_console(site, sshd, form):
    site.post("/api/v1/machine-import/", {"text": listing(sshd), "credential": "lab"}, "application/json")
    text = site.get(f"/api/v1/machine-export.{form}").content.decode()
    assert PASSWORD not in text and guess(text) == form
    before = set(Machine.objects.values_list("name", "host", "port", "host_key_fingerprint"))
    Machine.objects.all().delete()
    site.post("/api/v1/machine-import/", {"text": text}, "application/json")
    assert set(Machine.objects.values_list("name", "host", "port", "host_key_fingerprint")) == before
    only = site.get(f"/api/v1/machine-export.{form}?label=canary").content.decode()
    Machine.objects.all().delete()
    site.post("/api/v1/machine-import/", {"text": only}, "application/json")
    assert [machine.name for machine in Machine.objects.all()] == ["n1"]


def test_a_range_is_looked_through_and_knows_whose_machine_it_is(site, sshd):
    port = sshd.endpoint.port
    body = {"range": "127.0.0.1-127.0.0.1", "port": port}
    (found,) = site.post("/api/v1/network-scan/", body, "application/json").json()
    assert (found["host"], found["machine"], found["fingerprint"]) == ("127.0.0.1", "", fingerprint(sshd))
    site.post("/api/v1/machine-import/", {"text": listing(sshd), "credential": "lab"}, "application/json")
    (found,) = site.post("/api/v1/network-scan/", body, "application/json").json()
    assert found["machine"] in ("n1", "n2", "n3")
    wide = site.post("/api/v1/network-scan/", {"range": "10.0.0.0/8"}, "application/json")
    assert wide.status_code == 400 and "1024 at most" in str(wide.json())
    assert AuditEvent.objects.filter(action="network.scan").count() == 2


@pytest.mark.parametrize(
    ("text", "count", "first"),
    [("10.0.0.0/30", 2, "10.0.0.1"), ("10.0.0.5", 1, "10.0.0.5"), ("10.0.0.9-10.0.0.11", 3, "10.0.0.9"),
     ("fd00::/126", 4, "fd00::")],
)  # fmt: skip
def test_a_range_is_its_addresses(text, count, first):
    assert (len(addresses(text)), addresses(text)[0]) == (count, first)


@pytest.mark.parametrize("text", ["", "room-1", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.0/16"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ListRefused):
        addresses(text)


def test_a_file_of_a_chinese_spreadsheet_is_read():
    assert decoded("name,site\nn1,机房".encode("gb18030")) == "name,site\nn1,机房"
    assert decoded("\ufeffname\n".encode()) == "name\n"
    with pytest.raises(ListRefused):
        decoded(b"\xff\xfe\xff")


def test_on_the_page_a_file_is_read_shown_and_then_imported(site, sshd):
    file = SimpleUploadedFile("machines.csv", listing(sshd).encode())
    shown = site.post("/machines/import/", {"file": file}).content.decode()
    assert "4 new machines" in shown and "Line 6:" in shown and not Machine.objects.exists()
    lost = site.post("/machines/import/", {"text": listing(sshd), "do": "import"}).content.decode()
    assert "n1 has no credential: choose one." in lost
    done = site.post("/machines/import/", {"text": listing(sshd), "do": "import", "credential": "lab"}).content.decode()
    assert done.index("n4") < done.index("n2") and Machine.objects.count() == 3
    assert "can’t be read" in site.post("/machines/import/", {"text": "- n1", "format": "yaml"}).content.decode()


def test_on_the_page_what_a_scan_finds_can_be_imported(site, sshd):
    page = site.post("/machines/scan/", {"range": "127.0.0.1", "port": sshd.endpoint.port}).content.decode()
    assert "Name and import 1 machine" in page and "machine-127.0.0.1" in page
    assert "1024 at most" in site.post("/machines/scan/", {"range": "10.0.0.0/8", "port": "22"}).content.decode()


def test_a_file_that_is_too_large_for_a_list_is_refused_unread(site):
    file = SimpleUploadedFile("disk.img", b"\0" * (4 * 2**20 + 1))
    answer = site.post("/machines/import/", {"file": file})
    assert answer.status_code == 422 and "disk.img is larger than 4 MiB" in answer.content.decode()
