from __future__ import annotations

import asyncio

import asyncssh
import pytest

from hardware.inventory.models import Credential, FactSnapshot, Machine
from hardware.inventory.services import MachineRetired, confirm, enroll, probe, restore, retire
from hardware.ssh.errors import AuthenticationRefused, HostKeyChanged, HostKeyNotPinned, NoShell, Unreachable
from hardware.ssh.hostkeys import describe
from hardware.ssh.pool import Pool


def probe_now(machine: Machine) -> None:
    async def go() -> None:
        pool = Pool(connect_timeout=5)
        try:
            await probe(pool, machine)
        finally:
            await pool.close()

    asyncio.run(go())


def test_a_machine_is_enrolled_confirmed_by_its_fingerprint_and_probed(sshd, machine):
    fields = {"name": "new-1", "host": "127.0.0.1", "port": sshd.endpoint.port, "credential": machine.credential}
    new = enroll(actor="ada", **fields)
    assert (new.state, new.host_key) == ("new", "")
    with pytest.raises(HostKeyNotPinned):
        probe_now(new)
    assert not confirm(new, "SHA256:something-else", actor="ada")
    assert confirm(new, new.offered_fingerprint, actor="ada")
    probe_now(new)
    new.refresh_from_db()
    assert new.state == "ready" and new.read is not None and new.read.kernel
    assert FactSnapshot.objects.filter(machine=new).count() == 1


def test_an_address_where_nothing_answers_is_not_enrolled(machine):
    with pytest.raises(Unreachable, match="new-1"):
        enroll(actor="ada", name="new-1", host="127.0.0.1", port=1, credential=machine.credential)
    assert not Machine.objects.filter(name="new-1").exists()


def test_a_changed_host_key_blocks_the_machine_until_a_person_confirms_the_new_one(sshd, machine):
    machine.host_key = describe(asyncssh.generate_private_key("ssh-ed25519")).public
    machine.save()
    with pytest.raises(HostKeyChanged):
        probe_now(machine)
    machine.refresh_from_db()
    assert (machine.state, machine.trouble["code"]) == ("blocked", "ssh-host-key-changed")
    assert confirm(machine, machine.offered_fingerprint, actor="ada")
    probe_now(machine)
    assert machine.state == "ready"


def test_a_wrong_password_is_the_machines_trouble_without_the_password(machine):
    Credential.objects.update(name="lab")
    credential = Credential.objects.create(name="wrong", password="hunter2-secret")
    machine.credential = credential
    machine.save()
    with pytest.raises(AuthenticationRefused):
        probe_now(machine)
    machine.refresh_from_db()
    assert machine.state == "silent" and "hunter2" not in str(machine.trouble) and machine.trouble["mend"]


def test_a_host_without_a_shell_says_so(sshd, machine):
    shell, sshd.shell = sshd.shell, "/bin/no-such-shell"
    try:
        with pytest.raises(NoShell, match="host-1"):
            probe_now(machine)
    finally:
        sshd.shell = shell
    machine.refresh_from_db()
    assert machine.trouble["code"] == "ssh-no-shell"


def test_a_retired_machine_is_asked_by_nobody_and_comes_back_as_it_was(machine):
    retire(machine, actor="ada")
    with pytest.raises(MachineRetired, match="retired"):
        probe_now(machine)
    # Retired while a probe was under way that fails.
    before = Machine.objects.get(pk=machine.pk)
    before.state = "ready"
    before.host_key = describe(asyncssh.generate_private_key("ssh-ed25519")).public
    with pytest.raises(HostKeyChanged):
        probe_now(before)
    machine.refresh_from_db()
    assert (machine.state, machine.trouble) == ("retired", {})
    assert restore(machine, actor="ada").state == "ready"
    Machine.objects.update(state="blocked", offered_key="x", offered_fingerprint="SHA256:x")
    machine.refresh_from_db()
    assert restore(retire(machine, actor="ada"), actor="ada").state == "blocked"
