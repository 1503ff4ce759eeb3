"""The Approvals inbox, and one proposal with its plan in full and the two buttons."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from hardware.inventory.models import Machine
from hardware.inventory.selection import labels_of, sites_of
from jobs import registry
from jobs.approvals import rules, services, shown
from jobs.approvals.api import ApprovalRuleSerializer
from jobs.approvals.asking import person_behind
from jobs.approvals.failures import PlanChanged
from jobs.approvals.models import Approval, ApprovalRule
from jobs.depot.services import Depot
from jobs.failures import JobFailed
from jobs.kind import Target
from jobs.options import Options
from jobs.pages import forms, planview, readiness
from jobs.planning import forecast
from jobs.secrets.services import names_in

# More than these are found by the filter of the REST API.
WAITING_SHOWN, DECIDED_SHOWN = 100, 20
# The newest jobs among which the latest decisions are looked for.
DECIDED_LOOKED_AT = 200
# Lanes of a plan that the page brings along; a longer one is read when it is unfolded.
INLINE_LANES = 20


@require_GET
def inbox(request: HttpRequest) -> HttpResponse:
    """What waits, what was decided of late, and the rules. ``?rule=ID`` puts that rule into the form."""
    return _inbox(request)


def _inbox(request: HttpRequest, given: dict[str, str] | None = None, errors: Any = None) -> HttpResponse:
    found = Approval.objects.select_related("job").defer("job__traceback", "differs")
    waiting = found.filter(state=Approval.State.WAITING)
    reader = request.user.get_username()
    number = request.GET.get("rule", "")
    edited = ApprovalRule.objects.filter(pk=int(number)).first() if number.isascii() and number.isdigit() else None
    machines = list(Machine.objects.exclude(state=Machine.State.RETIRED).only("site", "labels"))
    decided = Approval.objects.exclude(state=Approval.State.WAITING).select_related("job").defer("job__plan")
    lately = sorted(decided[:DECIDED_LOOKED_AT], key=_when, reverse=True)[:DECIDED_SHOWN]
    context = {
        "rows": [shown.row(one, reader) for one in waiting[:WAITING_SHOWN]],
        "count": waiting.count(),
        "decided": [{"approval": one, "title": shown.title(one.job.kind), "at": _when(one)} for one in lately],
        "rules": [{"rule": one, "words": shown.rule(one)} for one in ApprovalRule.objects.all()],
        "edited": edited,
        "given": given or {n: getattr(edited, n, "") for n in ("kind", "label", "site", "note")},
        "errors": errors or {},
        "kinds": {slug: str(kind.title) for slug, kind in registry.all_kinds().items()},
        "labels": labels_of(machines),
        "sites": sites_of(machines),
    }
    return render(request, "approvals/inbox.html", context, status=422 if errors else 200)


def _when(one: Approval) -> datetime:
    return one.lapsed_at or one.decided_at or one.asked_at


@require_http_methods(["GET", "POST"])
def save_rule(request: HttpRequest) -> HttpResponse:
    """A new rule, or with ``rule`` (its id) another one in its place; with ``do=delete`` it goes.

    A refusal is the inbox under this address: a GET, to keep it fresh or to open it again, is the inbox, too.
    """
    if request.method == "GET":
        return _inbox(request)
    actor = request.user.get_username()
    number = request.POST.get("rule", "")
    known = number.isascii() and number.isdigit() and len(number) < 19
    there = ApprovalRule.objects.filter(pk=int(number)).first() if known else None
    if request.POST.get("do") == "delete":
        # One that is gone already, by a second click or in another tab, is as it was to be.
        if there is not None:
            rules.remove(there, actor=actor)
        messages.success(request, _("The rule is gone. What waits because of it goes on waiting."))
        return redirect("approvals")
    given = {name: request.POST.get(name, "").strip() for name in ("kind", "label", "site", "note")}
    if number and there is None:
        return _inbox(request, given, {"kind": [_("This rule was deleted meanwhile. Add it anew if it is wanted.")]})
    asked = ApprovalRuleSerializer(there, data=given, partial=there is not None)
    if not asked.is_valid():
        return _inbox(request, given, {name: [str(line) for line in lines] for name, lines in asked.errors.items()})
    if there is None:
        rules.make(actor=actor, **asked.validated_data)
    else:
        rules.change(there, actor=actor, **asked.validated_data)
    messages.success(request, _("The rule holds from now on, for every job that is launched."))
    return redirect("approvals")


@require_http_methods(["GET", "POST"])
def approval(request: HttpRequest, pk: int) -> HttpResponse:
    """One proposal. A POST decides (``do``: ``approve``, ``reject``) or asks again (``again``)."""
    found = get_object_or_404(Approval.objects.select_related("job"), pk=pk)
    refused: JobFailed | None = None
    if request.method == "POST":
        try:
            return _act(request, found)
        except JobFailed as wrong:
            refused = wrong
            found = get_object_or_404(Approval.objects.select_related("job"), pk=pk)
    # What lapsed says so itself, with all that is different.
    context = _context(request, found) | {"refused": None if isinstance(refused, PlanChanged) else refused}
    # What was typed is not typed again because something else has to be mended first.
    context["comment"] = request.POST.get("comment", "")
    return render(request, "approvals/approval.html", context, status=422 if refused else 200)


def _act(request: HttpRequest, found: Approval) -> HttpResponse:
    actor, comment = request.user.get_username(), request.POST.get("comment", "").strip()[:2000]
    do = request.POST.get("do", "")
    if do == "approve":
        services.approve(found, actor=actor, comment=comment, seen_hash=request.POST.get("plan_hash", "") or "none")
        messages.success(request, _("Approved: job %(id)s is in line.") % {"id": found.pk})
    elif do == "reject":
        services.reject(found, actor=actor, comment=comment)
        messages.success(request, _("Rejected: job %(id)s does not run.") % {"id": found.pk})
    elif do == "again":
        kind = registry.get(found.job.kind)
        given = {name: value for name, value in forms.params_from(kind, request.POST).items() if name in kind.secrets}
        token = request.POST.get("token", "")[:100]
        once = f"{request.user.pk}:{token}" if token else ""
        made = services.ask_again(found, actor=actor, params=given, once=once)
        return HttpResponseRedirect(reverse("approval", args=[made.pk]))
    return HttpResponseRedirect(reverse("approval", args=[found.pk]))


def _context(request: HttpRequest, found: Approval) -> dict[str, Any]:
    job, reader = found.job, request.user.get_username()
    kind = registry.all_kinds().get(job.kind)
    waiting = found.state == Approval.State.WAITING
    foreseen = forecast.of_plan(job.kind, job.plan, Options.from_json(job.options).parallel) if waiting else None
    plan = planview.shown(job.plan, job.plan_hash, foreseen)
    machines = list(job.machines.all())
    preflight = None
    if waiting and kind is not None:
        targets = [Target(machine.name, machine.read) for machine in machines if machine.facts]
        preflight = readiness.preflight(kind, job.params, targets, Depot())
    wanted = names_in(job.plan)
    return {
        "approval": found,
        "job": job,
        "title": shown.title(job.kind),
        "waiting": waiting,
        "own": reader in (found.asked_by, person_behind(job.created_by)),
        "plan": plan,
        "inline": len(plan.lanes) <= INLINE_LANES,
        "machines": machines,
        "simulated": any(machine.simulated for machine in machines),
        "preflight": preflight,
        "rules": [shown.in_words(text) for text in found.rules],
        "changes": shown.changes(found.differs),
        "secrets": [one for one in forms.inputs(kind, {}, {}) if one.name in wanted] if kind else [],
        "params": shown.params(job),
        "again": Approval.objects.filter(job__retry_of=job).values_list("pk", flat=True)[:20],
        "token": secrets.token_urlsafe(16),
    }
