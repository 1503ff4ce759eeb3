"""The button that begins a rotation: a new key for a machine's login, then the job that brings it there."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from hardware.inventory.credentials.services import successor
from hardware.inventory.models import Machine
from hardware.inventory.standing import new_job


@require_POST
def new_key(request: HttpRequest, name: str) -> HttpResponseRedirect:
    """Make a successor of the machine's credential; nothing is done on a machine until the job is run."""
    machine = get_object_or_404(Machine.objects.select_related("credential"), name=name)
    made = successor(machine.credential, actor=request.user.get_username())
    said = _("Credential %(name)s was made, with a new key: choose the machines that get it.")
    messages.success(request, said % {"name": made.name})
    return redirect(new_job("rotate-key", [machine.name], credential=made.pk) or machine.name)
