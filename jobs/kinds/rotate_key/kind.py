"""Bring a new key to machines and take the old one away; each machine can be logged in to at every moment of it.

A machine's lane: the new public key is added beside the old one; a login with the new key is tried; with that, in one
transaction, the machine's credential becomes the new one; then, over the new login, the old key is taken away. Where a
step fails the machine keeps the credential that it has, and that one works.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncssh
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from hardware.events import announce, audit
from hardware.inventory.models import Credential, Machine
from hardware.ssh.loginkeys import fingerprint, public_line
from jobs.failures import PlanRefused
from jobs.kind import DepotView, Kind, Target
from jobs.kinds.rotate_key.texts import add_text, remove_text
from jobs.plan import Lane, LogIn, Plan, RunCommand, Stage, Step

if TYPE_CHECKING:
    from jobs.models import Job

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")


class Params(serializers.Serializer[Any]):
    credential = serializers.IntegerField(
        min_value=1, label=_("New credential"), help_text=_("The credential whose key the machines get.")
    )
    old = serializers.IntegerField(
        min_value=1,
        required=False,
        allow_null=True,
        default=None,
        label=_("Old credential"),
        help_text=_("Whose key is taken away. Without it: that of each machine’s own credential."),
    )
    remove = serializers.BooleanField(default=True, label=_("Take the old key away"))


class RotateKey(Kind):
    slug = "rotate-key"
    title = _("Rotate login keys")
    summary = _("Adds a new key, proves that it logs in, changes the credential, then takes the old key away.")
    Params = Params

    def offers(self, name: str) -> list[tuple[str, str]] | None:
        if name not in ("credential", "old"):
            return None
        keys = Credential.objects.exclude(private_key="").order_by("-created_at")[:200]
        found = [(str(one.pk), f"{one.name} ({one.username})") for one in keys]
        return [("", "–"), *found] if name == "old" else found

    def plan(self, params: dict[str, Any], targets: Sequence[Target], depot: DepotView) -> Plan:
        new = _with_key(params["credential"], "credential")
        old = _with_key(params["old"], "old") if params.get("old") else None
        if not _USER.fullmatch(new.username):
            raise PlanRefused(
                "user-name", f"{new.username} is no user name that a shell knows.", "Correct it.", "credential"
            )
        if old is not None and _blob(old) == _blob(new):
            raise PlanRefused(
                "same-key", f"{old.name} and {new.name} have the same key.", "Choose another old credential.", "old"
            )
        names = [target.name for target in targets]
        machines = {one.name: one for one in Machine.objects.filter(name__in=names).select_related("credential")}
        lanes = [self._lane(machines[name], new, old, params["remove"]) for name in names]
        notes = [f"New key: {fingerprint(new.private_key, new.passphrase or None)}, of credential {new.name}"]
        # What fails on one machine is no reason to leave the others with the old key.
        return Plan([Stage("Rotate", lanes)], notes, tolerate=len(lanes))

    def _lane(self, machine: Machine, new: Credential, given: Credential | None, remove: bool) -> Lane:
        now = machine.credential
        if now.username != new.username:
            raise PlanRefused(
                "other-user",
                f"{machine.name} is logged in to as {now.username}, and {new.name} is for {new.username}.",
                f"Make a new key for {now.name}, or leave this machine out.",
                "targets",
            )
        line = public_line(new.private_key, new.passphrase or None)
        before = given or (now if now.pk != new.pk and now.private_key else None)
        old = _blob(before) if before is not None else ""
        old = "" if old == _blob(new) else old
        steps = []
        if now.pk != new.pk:
            add = RunCommand(add_text(new.username, line, old), 120, repeatable=True, writes=[_file(new)])
            steps.append(Step("add", "Add the new key", add))
        steps.append(Step("prove", "Log in with the new key, and use it from now on", LogIn(new.name, new.username)))
        if remove and old:
            take = RunCommand(remove_text(new.username, _blob(new), old), 120, repeatable=True, writes=[_file(new)])
            steps.append(Step("remove", "Take the old key away", take))
        return Lane(machine.name, steps)

    def succeeded(self, step: Step, machine: Machine | None, job: Job) -> None:
        """The login with the new key worked: from this very transaction on it is the machine's."""
        if step.key != "prove" or machine is None:
            return
        assert isinstance(step.action, LogIn)
        new = Credential.objects.get(name=step.action.credential)
        before = Machine.objects.select_related("credential").get(pk=machine.pk).credential
        if before.pk == new.pk:
            return
        Machine.objects.filter(pk=machine.pk).update(credential=new)
        machine.credential = new
        audit(
            "machine.rotate-key", f"machine:{machine.name}", actor=f"job:{job.pk}", before=before.name, after=new.name,
            fingerprint=fingerprint(new.private_key, new.passphrase or None),
        )  # fmt: skip
        announce("fleet", "machine", machine=machine.name, state=machine.state)


def _with_key(pk: int, field: str) -> Credential:
    found = Credential.objects.filter(pk=pk).first()
    if found is None:
        raise PlanRefused("credential-missing", f"There is no credential {pk}.", "Choose another one.", field)
    if not found.private_key:
        mend = "Make a new key for it first (POST /api/v1/credentials/ID/new-key/), and choose that credential."
        raise PlanRefused("no-key", f"The credential {found.name} has no private key.", mend, field)
    try:
        _blob(found)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as wrong:
        raise PlanRefused(
            "key-unreadable", f"The key of {found.name} can't be read.", "Store it anew.", field
        ) from wrong
    return found


def _blob(credential: Credential) -> str:
    """The base64 part of its public key: what tells it apart in ``authorized_keys``, whatever the comment."""
    return public_line(credential.private_key, credential.passphrase or None).split()[1]


def _file(credential: Credential) -> str:
    return f"~{credential.username}/.ssh/authorized_keys"
