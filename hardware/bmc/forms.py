"""The form that gives a machine its board; it stands on the machine's page and in the form that adds a machine."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from hardware.bmc.models import Bmc
from hardware.bmc.services import PORT, attach, login_for
from hardware.inventory.address import address
from hardware.inventory.models import Credential, Machine

NEW = "new"


class BmcForm(forms.Form):
    """Address and login of a board. All of it may stay empty where ``optional``: then there is none."""

    host = forms.CharField(required=False, max_length=255)
    port = forms.IntegerField(min_value=1, max_value=65535, initial=PORT, required=False)
    credential = forms.ChoiceField(required=False)
    username = forms.CharField(required=False, max_length=64)
    password = forms.CharField(required=False, max_length=1000, strip=False)

    prefix = "bmc"

    def __init__(self, data: QueryDict | None = None, *, optional: bool = False) -> None:
        super().__init__(data)
        self.optional = optional
        names = Credential.objects.exclude(password="").values_list("name", flat=True)
        choice = self.fields["credential"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(NEW, _("A new credential")), *((f"old:{name}", name) for name in names)]
        choice.initial = NEW

    def clean_host(self) -> str:
        try:
            return self.cleaned_data["host"] and address(self.cleaned_data["host"])
        except ValueError:
            raise ValidationError(_("Give an address or a host name; the port has a field of its own.")) from None

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "host" in self.errors:
            return given
        if not given.get("host"):
            if not self.optional:
                self.add_error("host", _("Give the address of the BMC."))
            return given
        if given.get("credential") in (NEW, "", None):
            if not given.get("username"):
                self.add_error("username", _("Give the user name to log in with."))
            if not given.get("password"):
                self.add_error("password", _("Give the password of the BMC’s account."))
        return given

    @property
    def given(self) -> bool:
        """Whether there is a board to be stored."""
        return bool(self.cleaned_data.get("host"))

    def attach(self, machine: Machine, actor: str) -> Bmc:
        """Store the board; a new login is kept under the machine's name."""
        given = self.cleaned_data
        choice = given.get("credential") or NEW
        if choice == NEW:
            login = login_for(machine, given["username"], given["password"], actor=actor)
        else:
            login = Credential.objects.get(name=choice.removeprefix("old:"))
        return attach(machine, given["host"], given["port"] or PORT, login, actor=actor)
