"""New job: a form, then the plan of exactly what would run, then the run of that very plan and no other."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hardware.inventory.models import Machine
from jobs import registry, retry
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.kind import Kind, Target
from jobs.models import Job
from jobs.pages import forms, planview, readiness, wording
from jobs.rollout.models import Deployment
from jobs.services import launch, plan

PICKABLE = (Machine.State.READY, Machine.State.SILENT)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponseBase:
    """Choose a kind; fill its form in; see the plan; run it. Only the last one changes anything.

    A GET with parameters in its query shows their plan: a mend button leads straight to what it would do. With
    ``retry_of=ID&machines=failed`` (or ``all``) the form is filled in as it was for that job.
    """
    data: QueryDict = request.POST if request.method == "POST" else request.GET
    again = data.get("retry_of", "")
    earlier = get_object_or_404(Job, pk=int(again)) if again.isascii() and again.isdigit() and len(again) < 19 else None
    if earlier is not None and "kind" not in data:
        data = _filled_from(earlier, "failed" if data.get("machines") == "failed" else "all")
    slug = data.get("kind", "")
    kind = registry.all_kinds().get(slug)
    if kind is None:
        return _choose(request, slug)
    return Draft(request, kind, data, earlier).answer()


def _filled_from(job: Job, which: retry.Which) -> QueryDict:
    """The form as it was filled in for that job; its secrets are typed anew."""
    machines = [machine.name for machine in retry.machines_of(job, which)]
    return QueryDict(urlencode({"kind": job.kind, "machine": machines} | forms.query(job.params), doseq=True))


def _choose(request: HttpRequest, slug: str) -> HttpResponse:
    context = {
        "kinds": [{"kind": k, "title": k.title, "summary": k.summary} for k in registry.all_kinds().values()],
        "unknown": slug,
        "machines": request.GET.getlist("machine"),
    }
    return render(request, "jobs/choose.html", context, status=404 if slug else 200)


class Draft:
    """A job that is not there yet: what was typed, and what the console says to it."""

    def __init__(self, request: HttpRequest, kind: Kind, data: QueryDict, retry_of: Job | None) -> None:
        self.request = request
        self.kind = kind
        self.posted = request.method == "POST"
        self.data = data
        self.retry_of = retry_of
        self.params = forms.params_from(kind, self.data, bare=not self.posted)
        self.names = list(dict.fromkeys(filter(None, self.data.getlist("machine"))))
        self.machines = list(Machine.objects.filter(name__in=self.names))
        token = self.data.get("token", "")[:100]
        self.once = f"{request.user.pk}:{token}" if token else ""
        self.errors: dict[str, list[str]] = {}
        self.refusal: PlanRefused | None = None
        self.plan: planview.ShownPlan | None = None
        self.preflight: readiness.Preflight | None = None

    def answer(self) -> HttpResponseBase:
        running = self.posted and self.data.get("do") == "run"
        # Sent again (a reload, the Back button): it was launched, whatever the plan would be by now.
        if running and self.once and (there := Job.objects.filter(once=self.once).first()) is not None:
            return HttpResponseRedirect(reverse("job", args=[there.pk]))
        # A link that leaves the targets open is answered with the form, not with the complaint that they are missing.
        aimed = bool(self.names) or self.kind.targets in ("none", "optional")
        if self.posted or (self.params and aimed):
            self._make_plan()
        if running and self.plan is not None:
            started = self._run()
            if started is not None:
                return started
        failed = bool(self.errors or self.refusal)
        return render(self.request, "jobs/new.html", self._context(), status=422 if failed and self.posted else 200)

    def _make_plan(self) -> None:
        self.errors = forms.checked(self.kind, self.params)
        unknown = sorted(set(self.names) - {machine.name for machine in self.machines})
        if unknown:
            self.errors["targets"] = [_("There is no machine called %(name)s.") % {"name": ", ".join(unknown)}]
        if self.errors:
            return
        try:
            if self.retry_of is not None:
                retry.check(self.retry_of)
            made, clean = plan(self.kind.slug, self.params, self.machines)
            targets = [Target(machine.name, machine.read) for machine in self.machines]
            self.preflight = readiness.preflight(self.kind, clean, targets, Depot())
        except PlanRefused as refused:
            self._refuse(refused)
            return
        self.plan = planview.shown(made.to_json(), made.hash)

    def _run(self) -> HttpResponseRedirect | None:
        """Launch the plan that was shown. The token was made with it: sending the form twice launches it once."""
        assert self.plan is not None
        needed = self._to_confirm()
        if needed and self.data.get("confirm", "").strip() != needed:
            self.errors["confirm"] = [_("Type %(name)s to confirm it.") % {"name": needed}]
            return None
        try:
            job = launch(
                self.kind.slug,
                self.params,
                self.machines,
                actor=self.request.user.get_username(),
                approved_hash=self.data.get("plan_hash", "") or "none",
                once=self.once,
                retry_of=self.retry_of,
            )
        except PlanRefused as refused:
            self._refuse(refused)
            return None
        return HttpResponseRedirect(reverse("job", args=[job.pk]))

    def _serving(self) -> dict[str, str]:
        """Of the plan's machines those that serve, with their release."""
        names = self.plan.machines if self.plan else []
        found = Deployment.objects.filter(machine__name__in=names, state=Deployment.State.SERVING)
        return {one.machine.name: str(one.release) for one in found.select_related("machine", "release")}

    def _to_confirm(self) -> str:
        """The machine whose name is to be typed: one that may restart, or whose service this may take away."""
        if self.plan is None:
            return ""
        serving = self._serving() if self.kind.mutates else {}
        restarts = self.plan.restarts
        first = [name for name in restarts if name in serving] + restarts + list(serving)
        return first[0] if first else ""

    def _refuse(self, refused: PlanRefused) -> None:
        """Say it at its field where the form has that field, else above the form."""
        if refused.field == "targets" or refused.field in self.kind.Params().fields:
            self.errors[refused.field] = [f"{refused.cause} {wording.mend(refused.mend)}"]
        else:
            self.refusal = refused

    def _context(self) -> dict[str, Any]:
        serving = self._serving() if self.kind.mutates else {}
        return {
            "kind": self.kind,
            "retry_of": self.retry_of,
            "title": self.kind.title,
            "summary": self.kind.summary,
            "inputs": forms.inputs(self.kind, self.params, self.errors),
            "machines": self._offered(),
            "chosen": len(self.names),
            "errors": self.errors,
            "refusal": self.refusal,
            "changed": self.refusal is not None and self.refusal.code == "plan-changed",
            "shown_hash": self.data.get("plan_hash", ""),
            "plan": self.plan,
            "lanes": self._lanes(serving),
            "preflight": self.preflight,
            "token": secrets.token_urlsafe(16),
            "confirm": self._to_confirm(),
            "serving": serving,
        }

    def _offered(self) -> list[dict[str, Any]]:
        """Every machine with a box to tick; one that nothing logs in to is shown, and says why it can't be chosen."""
        if self.kind.targets == "none":
            return []
        machines = Machine.objects.exclude(state=Machine.State.RETIRED).defer("facts")
        return [
            {"machine": m, "on": m.name in self.names, "pickable": m.state in PICKABLE or m.name in self.names}
            for m in machines
        ]

    def _lanes(self, serving: dict[str, str]) -> list[dict[str, Any]]:
        """Each lane with what its page says about its machine."""
        if self.plan is None:
            return []
        known = {machine.name: machine for machine in self.machines}
        blocked = self.preflight.blocking if self.preflight else []
        return [
            {
                "stage": stage.title if number == 0 else "",
                "lane": lane,
                "machine": known.get(lane.machine or ""),
                "blocked": lane.machine in blocked,
                "serves": serving.get(lane.machine or "", ""),
                "open": number == 0,
            }
            for stage in self.plan.stages
            for number, lane in enumerate(stage.lanes)
        ]
