"""A form that is sent after its session has ended: what was typed is kept, in the page that asks to sign in again.

It is stored nowhere: it lies, signed, in that page, and is offered for sending once the person has signed in. Nothing
is done before they say so. Secrets and files are left out, as they are in every form that is shown again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.core import signing
from django.http import HttpRequest

from jobs import registry

SALT = "console.access.kept"
# Of the form itself, and of no interest to who sends it.
OWN = ("csrfmiddlewaretoken", "token", "plan_hash")
_SECRET = re.compile(r"pass|secret|private|key", re.IGNORECASE)


@dataclass(frozen=True)
class Sent:
    """A form as it was sent: its address, its fields in order, and the names of those that have to be given again."""

    path: str
    fields: list[tuple[str, str]]
    left_out: list[str]

    @property
    def shown(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.fields if name not in OWN and value]


def sent(request: HttpRequest) -> Sent:
    """The form that a request brought, without its secrets and files."""
    secret = {f"params.{name}" for kind in registry.all_kinds().values() for name in kind.secrets}
    fields = [(name, str(value)) for name, values in request.POST.lists() for value in values if name != OWN[0]]
    gone = {name for name, value in fields if value and (name in secret or _SECRET.search(name))} | set(request.FILES)
    kept = [(name, value) for name, value in fields if name not in gone]
    return Sent(request.get_full_path(), kept, sorted(gone))


def keep(request: HttpRequest) -> str:
    """What was sent, as a signed text that a page carries."""
    form = sent(request)
    return signing.dumps([form.path, form.fields, form.left_out], salt=SALT, compress=True)


def read(text: str) -> Sent | None:
    """What ``keep`` made; ``None`` for anything else."""
    try:
        path, fields, left_out = signing.loads(text, salt=SALT)
    except signing.BadSignature:
        return None
    return Sent(path, [(name, value) for name, value in fields], left_out)
