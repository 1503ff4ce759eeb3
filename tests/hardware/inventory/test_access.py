"""Jump hosts and logins other than root's, as a person and a REST client set them up, against real SSH servers."""

from __future__ import annotations

import asyncssh
import pytest
from django.contrib.auth.models import User

from console.audit.models import AuditEvent
from hardware.inventory.lists.ansible import read_ini, read_yaml
from hardware.inventory.lists.hops import hops
from hardware.inventory.lists.table import read_csv
from hardware.inventory.models import Credential, Machine
from tests.machines import make_machine
from tests.sshd import PASSWORD
from tests.sudo import SECRET, Sudo

FORM = {"name": "n1", "host": "127.0.0.1", "credential": "new", "credential_name": "rack", "password": PASSWORD}


@pytest.fixture
def site(client, transactional_db):
    client.force_login(User.objects.create_user("ada"))
    return client


def patch(site, url: str, body: dict):
    return site.patch(url, body, "application/json", headers={"If-Match": site.get(url).headers["ETag"]})


def text(answer) -> str:
    return answer.content.decode()


def test_a_machine_behind_a_jump_host_is_added_confirmed_and_probed_on_the_pages(site, sshd):
    bastion = make_machine("bastion-1", sshd)
    form = {**FORM, "username": "root", "port": sshd.endpoint.port, "jump": "bastion-1"}
    assert "no machine called bastion-9" in text(site.post("/machines/add/", {**form, "jump": "bastion-9"}))
    assert site.post("/machines/add/", form).url == "/machines/n1/"
    machine = Machine.objects.get(name="n1")
    assert machine.jump == bastion and machine.endpoint().via == bastion.endpoint()
    done = text(site.post("/machines/n1/confirm/", {"fingerprint": machine.offered_fingerprint}, follow=True))
    assert "n1 was probed in" in done and 'through <a href="/machines/bastion-1/"' in done
    Credential.objects.filter(name="lab").update(password="")
    Machine.objects.filter(name="bastion-1").update(port=1)
    shown = text(site.post("/machines/n1/probe/", follow=True))
    assert "ssh-jump-host-failed" in shown and "its jump host gives no way on: bastion-1: no SSH connection" in shown


def test_over_rest_a_jump_host_is_set_and_no_loop_or_long_chain_comes_about(site, sshd):
    for name in ("a", "b", "c", "d", "e"):
        make_machine(name, sshd)

    def put(name: str, jump: str | None) -> tuple[int, str]:
        answer = patch(site, f"/api/v1/machines/{name}/", {"jump": jump})
        return answer.status_code, text(answer)

    assert put("a", "b")[0] == put("b", "c")[0] == put("c", "d")[0] == 200
    for name, jump, said in (
        ("d", "a", "a chain of more than 3|through itself"),
        ("b", "b", "through itself: b → b"),
        ("c", "b", "through itself: c → b → c"),
        ("d", "e", "more than 3 jump hosts"),
    ):
        status, answer = put(name, jump)
        assert status == 400 and any(word in answer for word in said.split("|")), (name, jump, answer)
    refused = site.post("/api/v1/machines/d/retire/", content_type="application/json")
    assert refused.status_code == 400 and "d is the jump host of c" in text(refused)
    assert (
        put("c", None)[0] == 200
        and site.post("/api/v1/machines/d/retire/", content_type="application/json").status_code == 200
    )
    assert "d is retired" in put("c", "d")[1]
    assert site.get("/api/v1/machines/b/").json()["jump"] == "c"
    changed = AuditEvent.objects.filter(action="machine.update").order_by("id")
    assert [event.detail["jump"] for event in changed] == ["b", "c", "d", ""]


def test_a_login_with_sudo_reads_the_facts_and_a_wrong_password_for_it_is_shown_with_its_mend(site, sshd, tmp_path):
    sudo = Sudo(tmp_path, real=False)
    sshd.session = sudo.session
    try:
        form = {**FORM, "username": "ops", "port": sshd.endpoint.port, "sudo": "own"}
        assert "Give the password that sudo asks for" in text(site.post("/machines/add/", form))
        site.post("/machines/add/", {**form, "sudo_password": SECRET})
        machine = Machine.objects.get(name="n1")
        done = text(site.post("/machines/n1/confirm/", {"fingerprint": machine.offered_fingerprint}, follow=True))
        assert "n1 was probed in" in done and SECRET not in done
        assert len((tmp_path / "log").read_text()) > 1000 and SECRET not in (tmp_path / "log").read_text()
        url = f"/api/v1/credentials/{machine.credential_id}/"
        shown = site.get(url).json()
        assert shown["sudo"] == "own" and "sudo_password" not in shown
        assert patch(site, url, {"sudo_password": " mistyped-9"}).status_code == 200
        assert Credential.objects.get().sudo_password == " mistyped-9"
        shown = text(site.post("/machines/n1/probe/", follow=True))
        assert "ssh-sudo-password" in shown and "Correct the password for sudo" in shown and "mistyped-9" not in shown
        stored = Credential.objects.raw("SELECT id, sudo_password AS kept FROM inventory_credential")[0]
        assert "mistyped-9" not in stored.kept and stored.kept.startswith("gAAAA")
    finally:
        sshd.session = None


@pytest.mark.parametrize("form", ["pkcs1-pem", "pkcs8-pem", "openssh"])
def test_a_protected_key_over_rest_is_opened_when_it_is_given_and_the_field_is_named(site, sshd, form):
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_private_key(form, passphrase="right").decode()
    body = {"name": "k", "username": "root", "private_key": key}

    def post(**more: str) -> tuple[int, dict]:
        answer = site.post("/api/v1/credentials/", {**body, **more}, "application/json")
        return answer.status_code, answer.json()

    assert post()[0] == 400 and "is protected" in str(post()[1]["errors"]["passphrase"])
    assert "does not open" in str(post(passphrase="wrong")[1]["errors"]["passphrase"])
    assert "no private key" in str(post(private_key="x")[1]["errors"]["private_key"])
    status, made = post(passphrase="right")
    assert status == 201 and not {"private_key", "passphrase"} & made.keys()
    broken = patch(site, f"/api/v1/credentials/{made['id']}/", {"passphrase": "other"})
    assert broken.status_code == 400 and Credential.objects.get().passphrase == "right"


def test_a_list_enrolls_jump_hosts_before_what_lies_behind_them_and_is_written_as_it_was_read(site, sshd):
    Credential.objects.create(name="lab", password=PASSWORD)
    key = make_machine("first", sshd)
    from hardware.ssh.hostkeys import describe

    known = describe(asyncssh.import_public_key(key.host_key)).fingerprint
    port = sshd.endpoint.port
    rows = f"n1,127.0.0.1,{port},{known},bastion\nlost,127.0.0.1,{port},,nobody\nbastion,localhost,{port},{known},\n"
    body = {"text": f"name,host,port,fingerprint,jump\n{rows}", "credential": "lab"}
    done = site.post("/api/v1/machine-import/", body, "application/json").json()["results"]
    assert [one["done"] for one in done] == ["confirmed", "failed", "confirmed"]
    assert "no machine nobody to go through" in done[1]["cause"]
    assert Machine.objects.get(name="n1").jump.name == "bastion"
    for form, read in (("csv", read_csv), ("ini", read_ini), ("yaml", read_yaml)):
        said = text(site.get(f"/api/v1/machine-export.{form}"))
        assert {e.name: e.jump for e in read(said).entries} == {"first": "", "n1": "bastion", "bastion": ""}, said
    assert f"ansible_ssh_common_args='-o ProxyJump=localhost:{port}'" in text(site.get("/api/v1/machine-export.ini"))


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ("-o ProxyJump=ops@10.0.0.1:2222", ["10.0.0.1"]),
        ("-o StrictHostKeyChecking=no -oProxyJump=a,root@b", ["a", "b"]),
        ('-o "ProxyJump [fe80::1]:22"', ["fe80::1"]),
        ("-J gate", ["gate"]),
        ('-o ProxyCommand="ssh -i key -q -W %h:%p ops@gate"', ["gate"]),
        ('-o ProxyCommand="nc -x proxy %h %p"', []),
        ("-o ProxyJump=none", []),
        ("-o 'unclosed", []),
    ],
)
def test_the_jump_hosts_of_an_inventory_are_read_out_of_sshs_options(said, way):
    assert hops({"ansible_ssh_common_args": said}) == way


def test_a_groups_chain_holds_for_its_jump_hosts_up_to_themselves():
    text = (
        "[rack]\nn1\ngate-1 ansible_host=10.0.0.1\ngate-2\n[rack:vars]\nansible_ssh_common_args='-J 10.0.0.1,gate-2'\n"
    )
    jumps = {entry.name: entry.jump for entry in read_ini(text).entries}
    assert jumps == {"n1": "gate-2", "gate-1": "", "gate-2": "10.0.0.1"}
