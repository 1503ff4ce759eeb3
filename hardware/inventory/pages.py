"""The Machines page, adding a machine, and what can be done with one: confirm its key, probe it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from hardware.bmc import wording as bmc_wording
from hardware.bmc.forms import BmcForm
from hardware.inventory import causes, connections, wording
from hardware.inventory.facts import Facts
from hardware.inventory.forms import MachineForm
from hardware.inventory.groups.models import Group
from hardware.inventory.models import Machine
from hardware.inventory.selection import Selection
from hardware.inventory.services import confirm, enroll, probe
from hardware.inventory.software import software
from hardware.inventory.standing import Standing, standings, with_stock
from hardware.inventory.ticked import act
from hardware.ssh import background
from hardware.ssh.errors import SSHFailure

PAGE = 100
FILTERS = ("site", "label", "state", "chip", "driver")


@dataclass
class Choice:
    """One drop-down of the filters: its values, and the one that is chosen."""

    name: str
    values: list[str]
    chosen: str


@require_http_methods(["GET", "POST"])
def machines(request: HttpRequest) -> HttpResponse:
    """The fleet as a table. Filters are in the address, so that a view of it can be sent to somebody.

    A POST does something with the machines that were ticked: ``do`` is ``job`` (plan one on them), ``probe``,
    ``change`` (labels and site) or ``group`` (save them under a name).
    """
    text = request.GET.get("q", "").strip()
    asked = {name: request.GET.get(name, "") for name in FILTERS}
    labels = (asked["label"],) if asked["label"] else ()
    wanted = Selection(text, asked["site"], labels, asked["state"], asked["chip"], asked["driver"])
    if request.method == "POST":
        return act(request, wanted)
    fleet = standings(Machine.objects.all())
    choices = [
        Choice(name, sorted({value for standing in fleet for value in _values(standing, name)}), asked[name])
        for name in FILTERS
    ]
    # As with what is done to all that are shown: retired ones only where they are asked for.
    among = [one for one in fleet if (one.state == Machine.State.RETIRED) == (wanted.state == Machine.State.RETIRED)]
    shown = [standing for standing in among if wanted.lets(standing)]
    page = Paginator(shown, PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": page.object_list,
        "total": len(fleet),
        "shown": len(shown),
        "retired": sum(1 for one in fleet if one.state == Machine.State.RETIRED),
        "choices": choices,
        "filtered": bool(wanted),
        "q": text,
        "groups": Group.objects.count(),
    }
    return render(request, "machines/machines.html", context)


def _values(standing: Standing, name: str) -> list[str]:
    """What a machine has of a filter's kind."""
    if name == "label":
        return list(standing.machine.labels)
    value = {
        "site": standing.machine.site,
        "state": standing.state,
        "chip": standing.chip,
        "driver": standing.driver,
    }[name]
    return [value] if value else []


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Enroll a machine by hand. A machine that does not answer is not stored; the form stays as it was filled in."""
    form = MachineForm(request.POST or None)
    board = BmcForm(request.POST or None, optional=True)
    failure: dict[str, str] | None = None
    if request.method == "POST" and all([form.is_valid(), board.is_valid()]):
        try:
            machine = enroll(actor=request.user.get_username(), **form.enrolment())
        except SSHFailure as wrong:
            title = _("%(machine)s was not added") % {"machine": form.cleaned_data["name"]}
            failure = wording.unreached(title, wrong)
        else:
            if board.given:
                board.attach(machine, request.user.get_username())
            return redirect("machine", name=machine.name)
    status = 200 if request.method == "GET" else 422
    return render(request, "machines/add.html", {"form": form, "bmc_form": board, "failure": failure}, status=status)


@require_GET
def machine(request: HttpRequest, name: str) -> HttpResponse:
    """One machine: what it is, what stands in its way, what its NPUs do, what was done to it."""
    fields = ("credential", "jump", "bmc__credential")
    found = get_object_or_404(Machine.objects.select_related(*fields), name=name)
    standing = Standing(found, with_stock())
    bmc = getattr(found, "bmc", None)
    context: dict[str, Any] = {
        "software": software(standing) if standing.facts else [],
        # The rollouts lie above this package: only their reverse relation is known here.
        "deployment": getattr(found, "deployment", None),
        "bmc": bmc,
        "bmc_cause": causes.cause(bmc.trouble.get("cause", "")) if bmc else "",
        "bmc_mend": bmc_wording.mend(bmc.trouble.get("mend", "")) if bmc else "",
        "bmc_form": BmcForm(),
        "jobs": found.jobs.order_by("-id")[:8],
        "job_count": found.jobs.count(),
        "machine": found,
        "standing": standing,
        "facts": standing.facts,
        "simulated": found.simulated,
        "key_type": found.offered_key.split(" ", 1)[0].removeprefix("ssh-").split("-")[0] or "ed25519",
    }
    if standing.facts:
        context |= _read_off(standing.facts)
    return render(request, "machines/machine.html", context)


def _read_off(facts: Facts) -> dict[str, Any]:
    """What the page shows of facts that take a second look: who holds which NPU, drives that are alike."""
    found = connections.rows(facts)
    names = [f"NPU{row.node}" for row in found]
    return {
        "connections": found,
        "idle_holders": connections.holdings_of(facts, None),
        "ways": sorted(connections.ways(facts)),
        "matrix": [{"name": row.name, "ways": [row.ways.get(name, "") for name in names]} for row in found],
        "drives": connections.drives(facts),
        "off_s": abs(facts.clock_skew_s or 0),
        # Docker has its row in the table of software.
        "other_runtimes": [(name, version) for name, version in facts.runtimes.items() if name != "docker"],
    }


@require_POST
def confirm_key(request: HttpRequest, name: str) -> HttpResponse:
    """Pin the offered key, then read the machine's facts. A changed key wants the machine's name typed."""
    found = get_object_or_404(Machine, name=name)
    if found.host_key and request.POST.get("name", "").strip() != found.name:
        messages.error(
            request, _("Nothing was confirmed: type %(machine)s to confirm its new host key.") % {"machine": found.name}
        )
        return _back(found)
    if not confirm(found, request.POST.get("fingerprint", ""), actor=request.user.get_username()):
        messages.error(
            request,
            _("Nothing was confirmed: %(machine)s now offers another key. Compare the fingerprint again.")
            % {"machine": found.name},
        )
        return _back(found)
    return _probe(request, found)


@require_POST
def probe_now(request: HttpRequest, name: str) -> HttpResponse:
    return _probe(request, get_object_or_404(Machine, name=name))


def _probe(request: HttpRequest, found: Machine) -> HttpResponse:
    started = time.monotonic()
    try:
        background.call(probe, found)
    except SSHFailure as wrong:
        # What is wrong with the contact is stored with the machine, and its page says it. A key that nobody has
        # confirmed yet is no trouble of the machine: the page says that too.
        if wrong.code in ("ssh-host-key-not-pinned", "machine-retired"):
            messages.error(request, f"{causes.cause(str(wrong))} {wording.trouble_mend(wrong.code, wrong.mend)}")
    else:
        took = f"{time.monotonic() - started:.1f}"
        messages.success(
            request, _("%(machine)s was probed in %(seconds)s s.") % {"machine": found.name, "seconds": took}
        )
    return _back(found)


def _back(found: Machine) -> HttpResponseRedirect:
    return redirect("machine", name=found.name)
