"""The form that enrolls a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hardware.inventory.address import address
from hardware.inventory.jumps import JumpRefused, check_jump
from hardware.inventory.keys import SECRETS, login_problems
from hardware.inventory.lists.entries import LONGEST, RESERVED, words
from hardware.inventory.models import Credential, Machine
from hardware.inventory.services import AddressSettled

NEW = "new"

if TYPE_CHECKING:
    MachineModelForm = forms.ModelForm[Machine]
else:
    MachineModelForm = forms.ModelForm


class MachineForm(MachineModelForm):
    """A machine and how to log in to it: a credential that is there, or a new one. Secrets are never sent back."""

    labels = forms.CharField(required=False, max_length=400)
    port = forms.IntegerField(min_value=1, max_value=65535, initial=22)
    credential = forms.ChoiceField()
    credential_name = forms.CharField(required=False, max_length=80)
    username = forms.CharField(required=False, max_length=64, initial="root")
    password = forms.CharField(required=False, max_length=1000, strip=False)
    private_key = forms.CharField(required=False, max_length=20000)
    passphrase = forms.CharField(required=False, max_length=1000, strip=False)
    sudo = forms.ChoiceField(required=False)
    sudo_password = forms.CharField(required=False, max_length=1000, strip=False)
    jump = forms.CharField(required=False, max_length=63)

    class Meta:
        model = Machine
        fields = ["name", "host", "port", "site"]
        error_messages = {
            "name": {
                "unique": gettext_lazy("There is a machine of this name already."),
                "invalid": gettext_lazy(
                    "Letters, digits, dots, dashes and underscores; it begins with a letter or digit."
                ),
            }
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = Credential.objects.values_list("name", flat=True)
        choice = self.fields["credential"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(f"old:{name}", name) for name in names] + [(NEW, _("A new credential"))]
        self.initial.setdefault("credential", f"old:{names[0]}" if names else NEW)
        sudo = self.fields["sudo"]
        assert isinstance(sudo, forms.ChoiceField)
        sudo.choices = [
            (Credential.Sudo.NONE, _("Not needed, or not wanted")),
            (Credential.Sudo.NOPASSWD, _("sudo, without a password")),
            (Credential.Sudo.LOGIN, _("sudo, with the password of the login")),
            (Credential.Sudo.OWN, _("sudo, with a password of its own")),
        ]

    def clean_sudo(self) -> str:
        return self.cleaned_data["sudo"] or Credential.Sudo.NONE

    @property
    def jump_hosts(self) -> list[str]:
        """Machines that others are behind already: what is offered first."""
        return list(Machine.objects.filter(behind__isnull=False).distinct().values_list("name", flat=True)[:50])

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if name in RESERVED:
            raise ValidationError(
                _("No machine can be called %(name)s: that is the address of a page.") % {"name": name}
            )
        return name

    def clean_host(self) -> str:
        try:
            return address(self.cleaned_data["host"])
        except ValueError:
            raise ValidationError(_("Give an address or a host name; the port has a field of its own.")) from None

    def clean_labels(self) -> list[str]:
        labels = words(self.cleaned_data["labels"])
        long = next((label for label in labels if len(label) > LONGEST["label"]), None)
        if long:
            said = _("%(word)s is too long; 63 characters at most.")
            raise ValidationError(said % {"word": long})
        return labels

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if given.get("credential") != NEW:
            return given
        name = given.get("credential_name", "")
        if not name:
            self.add_error("credential_name", _("Give the new credential a name."))
        elif Credential.objects.filter(name=name).exists():
            self.add_error("credential_name", _("There is a credential of this name already; choose it above."))
        if not given.get("username"):
            self.add_error("username", _("Give the user name to log in with."))
        for field, said in login_problems(given).items():
            self.add_error(field, said)
        return given

    def clean_jump(self) -> Machine | None:
        """The jump host by its name, in place of the text that was typed."""
        name = self.cleaned_data["jump"].strip()
        if not name:
            return None
        found = Machine.objects.filter(name=name).first()
        if found is None:
            raise ValidationError(_("There is no machine called %(name)s.") % {"name": name})
        try:
            check_jump(self.instance.name or str(self.cleaned_data.get("name", "")), found)
        except JumpRefused as wrong:
            raise ValidationError(str(wrong)) from wrong
        return found

    def enrolment(self) -> dict[str, Any]:
        """What ``enroll`` takes: the machine's fields, and either a credential or the fields of a new one."""
        given = self.cleaned_data
        return {name: given[name] for name in ("name", "host", "port", "site", "labels", "jump")} | self._login()

    def _login(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given["credential"] == NEW:
            login = {name: given[name] for name in ("username", "sudo", *SECRETS)}
            return {"new_credential": {"name": given["credential_name"], **login}}
        try:
            return {"credential": Credential.objects.get(name=given["credential"].removeprefix("old:"))}
        except Credential.DoesNotExist:
            raise ValidationError(_("This credential is gone; choose another.")) from None


class ChangeForm(MachineForm):
    """What can change of a machine that is there; its address only until its host key was confirmed."""

    host = forms.CharField(max_length=255)

    class Meta:
        model = Machine
        fields = ["site"]

    def __init__(self, data: QueryDict | None, *, machine: Machine) -> None:
        kept = ("host", "port", "site", "labels", "jump", "credential")
        self._before = {name: getattr(machine, name) for name in kept}
        jump = machine.jump.name if machine.jump else ""
        shown = {"labels": " ".join(machine.labels), "jump": jump, "credential": f"old:{machine.credential.name}"}
        address = {name: self._before[name] for name in ("host", "port")}
        super().__init__(data, instance=machine, initial=shown | address)
        if machine.address_settled:
            # Whoever had the form open before is told why the address stays.
            for name in address.keys() - (data or {}).keys():
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        if self.instance.address_settled and any(
            given.get(name, self._before[name]) != self._before[name] for name in ("host", "port")
        ):
            self.add_error(None, str(AddressSettled(self.instance)))
        return given

    def changes(self) -> dict[str, Any]:
        """What ``change`` takes: the fields that are other than before."""
        given = self.cleaned_data
        now: dict[str, Any] = {
            name: given[name] for name in ("host", "port", "site", "labels", "jump") if name in given
        }
        now |= self._login()
        return {name: value for name, value in now.items() if value != self._before.get(name)}
