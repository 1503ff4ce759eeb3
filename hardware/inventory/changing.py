"""The page on which a machine is given another site, labels, way or login, its mistyped address is corrected, and it is
taken out of use and back.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from hardware.inventory import wording
from hardware.inventory.forms import ChangeForm
from hardware.inventory.jumps import JumpRefused
from hardware.inventory.models import Machine
from hardware.inventory.services import AddressSettled, change, restore, retire
from hardware.ssh.errors import SSHFailure


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """What can change of a machine: not its name, and its address only until a host key was confirmed for it."""
    found = get_object_or_404(Machine.objects.select_related("credential", "jump"), name=name)
    form = ChangeForm(request.POST or None, machine=found)
    failure: dict[str, str] | None = None
    if request.method == "POST" and form.is_valid():
        try:
            change(found, actor=request.user.get_username(), **form.changes())
        except AddressSettled as wrong:
            form.add_error(None, str(wrong))
        except SSHFailure as wrong:
            failure = wording.unreached(_("%(machine)s was not changed") % {"machine": name}, wrong)
        else:
            messages.success(request, _("%(machine)s was changed.") % {"machine": name})
            return redirect("machine", name=name)
    status = 200 if request.method == "GET" else 422
    context = {"form": form, "machine": found, "failure": failure}
    return render(request, "machines/edit.html", context, status=status)


@require_POST
def retire_machine(request: HttpRequest, name: str) -> HttpResponse:
    """Take it out of use; wants the machine's name typed."""
    found = get_object_or_404(Machine, name=name)
    if request.POST.get("name", "").strip() != name:
        messages.error(request, _("Nothing was done: type %(machine)s to retire it.") % {"machine": name})
        return redirect("machine-edit", name=name)
    try:
        retire(found, actor=request.user.get_username())
    except JumpRefused as wrong:
        messages.error(request, str(wrong))
        return redirect("machine-edit", name=name)
    return redirect("machine", name=name)


@require_POST
def restore_machine(request: HttpRequest, name: str) -> HttpResponse:
    """Take a retired machine into use again."""
    restore(get_object_or_404(Machine, name=name), actor=request.user.get_username())
    return redirect("machine", name=name)
