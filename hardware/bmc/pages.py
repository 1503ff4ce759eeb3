"""What a person does with a machine's board, on the machine's page: give it one, confirm, read, take it away."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from hardware.bmc.forms import BmcForm
from hardware.bmc.models import Bmc
from hardware.bmc.redfish import BmcFailure
from hardware.bmc.services import confirm, detach, look
from hardware.inventory.models import Machine


@require_POST
def save(request: HttpRequest, name: str) -> HttpResponse:
    """Give the machine a board, or another one."""
    machine = get_object_or_404(Machine, name=name)
    form = BmcForm(request.POST)
    if form.is_valid():
        form.attach(machine, request.user.get_username())
    else:
        said = " ".join(str(problem) for problems in form.errors.values() for problem in problems)
        messages.error(request, _("The BMC was not stored: %(why)s") % {"why": said})
    return _back(machine)


@require_POST
def confirm_certificate(request: HttpRequest, name: str) -> HttpResponse:
    """Pin the offered certificate, then read the board."""
    bmc = _board(name)
    if not confirm(bmc, request.POST.get("fingerprint", ""), actor=request.user.get_username()):
        messages.error(request, _("Nothing was confirmed: the BMC now offers another certificate. Compare it again."))
        return _back(bmc.machine)
    return _look(request, bmc)


@require_POST
def read(request: HttpRequest, name: str) -> HttpResponse:
    return _look(request, _board(name))


@require_POST
def remove(request: HttpRequest, name: str) -> HttpResponse:
    machine = get_object_or_404(Machine, name=name)
    detach(machine, actor=request.user.get_username())
    return _back(machine)


def _look(request: HttpRequest, bmc: Bmc) -> HttpResponse:
    try:
        look(bmc, actor=request.user.get_username())
    except BmcFailure:
        # What is wrong is kept with the board, and its panel says it.
        pass
    else:
        messages.success(request, _("The BMC of %(machine)s was read.") % {"machine": bmc.machine.name})
    return _back(bmc.machine)


def _board(name: str) -> Bmc:
    return get_object_or_404(Bmc.objects.select_related("machine", "credential"), machine__name=name)


def _back(machine: Machine) -> HttpResponse:
    return redirect(f"/machines/{machine.name}/#bmc")
