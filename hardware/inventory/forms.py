"""The form that enrolls a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncssh
from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hardware.inventory.models import Credential, Machine

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
        choice.initial = f"old:{names[0]}" if names else NEW

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if name == "add":
            raise ValidationError(_("No machine can be called add: that is the address of this page."))
        return name

    def clean_labels(self) -> list[str]:
        labels = [label for label in self.cleaned_data["labels"].replace(",", " ").split() if label]
        return list(dict.fromkeys(labels))

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
        if not given.get("password") and not given.get("private_key"):
            self.add_error("password", _("Give a password or a private key."))
        if given.get("private_key"):
            self._check_key(given["private_key"], given.get("passphrase") or None)
        return given

    def _check_key(self, text: str, passphrase: str | None) -> None:
        # Now, in one sentence, and not as a refused login later.
        try:
            asyncssh.import_private_key(text, passphrase)
        except ValueError as wrong:
            # asyncssh tells these apart only in words.
            said = str(wrong)
            if isinstance(wrong, asyncssh.KeyEncryptionError) or "decrypt" in said:
                self.add_error("passphrase", _("The passphrase does not open this private key."))
            elif "assphrase" in said:
                self.add_error("passphrase", _("This private key is protected; give its passphrase."))
            else:
                self.add_error("private_key", _("This is no private key in OpenSSH or PEM form."))

    def enrolment(self) -> dict[str, Any]:
        """What ``enroll`` takes: the machine's fields, and either a credential or the fields of a new one."""
        given = self.cleaned_data
        fields = {name: given[name] for name in ("name", "host", "port", "site", "labels")}
        if given["credential"] == NEW:
            secret = {name: given[name] for name in ("username", "password", "private_key", "passphrase")}
            return {**fields, "new_credential": {"name": given["credential_name"], **secret}}
        try:
            return {**fields, "credential": Credential.objects.get(name=given["credential"].removeprefix("old:"))}
        except Credential.DoesNotExist:
            raise ValidationError(_("This credential is gone; choose another.")) from None
