"""New job: a form, then the plan of exactly what would run, then the run of that very plan and no other."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from jobs import registry, retry
from jobs.approvals import rules
from jobs.depot.services import Depot
from jobs.failures import PlanRefused
from jobs.kind import Kind, Target
from jobs.models import Job
from jobs.options import Options
from jobs.pages import causes, forms, options, pasted, planview, readiness, targets
from jobs.pipelines.registry import all_pipelines
from jobs.pipelines.services import carry_on
from jobs.planning import forecast
from jobs.remedies import shown as remedies
from jobs.remedies.services import link
from jobs.rollout.models import Deployment
from jobs.services import launch, plan

# How the form is sent on; anything else only shows it.
DOES = ("plan", "run", "propose", "schedule")


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponseBase:
    """Choose a kind; fill its form in; see the plan; run it, ask for approval or schedule it.

    A GET with parameters in its query shows their plan: a mend button leads straight to what it would do. With
    ``retry_of=ID&machines=failed`` (or ``all``) the form is filled in as it was for that job. A POST without ``do``
    brings machines along that are too many for an address.
    """
    data: QueryDict = request.POST if request.method == "POST" else request.GET
    again = data.get("retry_of", "")
    earlier = get_object_or_404(Job, pk=int(again)) if again.isascii() and again.isdigit() and len(again) < 19 else None
    if earlier is not None and "kind" not in data:
        data = _filled_from(earlier, "failed" if data.get("machines") == "failed" else "all")
    slug = data.get("kind", "")
    kind = registry.all_kinds().get(slug)
    if kind is None:
        return _choose(request, data, slug)
    return Draft(request, kind, data, earlier).answer()


@require_GET
def aimed(request: HttpRequest) -> HttpResponse:
    """Which machines filters or a group mean now, for the form to say while it is filled in."""
    # The form that starts a pipeline has the same targets.
    kind = registry.all_kinds().get(request.GET.get("kind", "")) or all_pipelines().get(request.GET.get("pipeline", ""))
    if kind is None:
        return HttpResponse(status=404)
    wanted = targets.Targets.of(request.GET, kind)
    found, left_out = wanted.resolve() if wanted.given else ([], [])
    context = {"found": found, "left_out": left_out, "wrong": wanted.wrong(found) if wanted.given else ""}
    return render(request, "jobs/aimed.html", context)


def _filled_from(job: Job, which: retry.Which) -> QueryDict:
    """The form as it was filled in for that job; its secrets are typed anew, and its time to begin is over."""
    machines = [machine.name for machine in retry.machines_of(job, which)]
    how = options.query({name: value for name, value in job.options.items() if name != "not_before"})
    query = {"kind": job.kind, "machine": machines} | forms.query(job.params) | how
    return QueryDict(urlencode(query, doseq=True))


def _choose(request: HttpRequest, data: QueryDict, slug: str) -> HttpResponse:
    carried = [
        (name, value) for name in ("aim", "site", "label", "group", *targets.OTHERS) for value in data.getlist(name)
    ]
    machines = list(dict.fromkeys(data.getlist("machine")))
    context = {
        "kinds": [
            {"kind": k, "title": k.title, "summary": k.summary}
            for k in registry.all_kinds().values()
            # A rule or a group is for kinds that take many machines.
            if not carried or k.targets == "many"
        ],
        "unknown": slug,
        "machines": machines,
        # More than an address carries are sent on as a form.
        "post": len(machines) > targets.MOST_NAMES // 8,
        "carried": urlencode([*carried, *(("machine", name) for name in machines)]),
    }
    return render(request, "jobs/choose.html", context, status=404 if slug else 200)


class Draft:
    """A job that is not there yet: what was typed, and what the console says to it."""

    def __init__(self, request: HttpRequest, kind: Kind, data: QueryDict, retry_of: Job | None) -> None:
        self.request = request
        self.kind = kind
        self.data = data
        self.does = data.get("do", "") if request.method == "POST" else ""
        self.posted = self.does in DOES
        self.retry_of = retry_of
        self.alerts = remedies.named(data)
        self.params = forms.params_from(kind, self.data, bare=not self.posted)
        self.pasted = None if self.posted else pasted.read(kind, data)
        if self.pasted is not None:
            self.params |= self.pasted.params
        self.targets = targets.Targets.of(data, kind)
        self.machines, self.left_out = self.targets.resolve()
        self.given = options.typed(data)
        token = self.data.get("token", "")[:100]
        self.once = f"{request.user.pk}:{token}" if token else ""
        self.errors: dict[str, list[str]] = {}
        self.refusal: PlanRefused | None = None
        self.made: dict[str, Any] = {}
        self.plan: planview.ShownPlan | None = None
        self.preflight: readiness.Preflight | None = None
        self.options = Options()

    def answer(self) -> HttpResponseBase:
        running = self.does in ("run", "propose")
        # Sent again (a reload, the Back button): it was launched, whatever the plan would be by now.
        if running and self.once and (there := Job.objects.filter(once=self.once).first()) is not None:
            return HttpResponseRedirect(reverse("job", args=[there.pk]))
        # A link that leaves the targets open is answered with the form, not with the complaint that they are missing.
        aimed = self.targets.given or self.kind.targets in ("none", "optional")
        # What a pasted line says is looked at and completed first.
        filled = self.pasted is not None and bool(self.pasted.line)
        if self.posted or (self.params and aimed and not filled):
            self._make_plan()
        if self.plan is not None:
            done = self._schedule() if self.does == "schedule" else self._launch() if running else None
            if done is not None:
                return done
        failed = bool(self.errors or self.refusal)
        return render(self.request, "jobs/new.html", self._context(), status=422 if failed and self.posted else 200)

    def _make_plan(self) -> None:
        self.errors = forms.checked(self.kind, self.params)
        # Said here only where something was chosen; that a kind takes a machine at all, planning says.
        if self.kind.targets != "none" and (self.targets.given or self.targets.aim != "machines"):
            wrong = self.targets.wrong(self.machines)
            if wrong:
                self.errors["targets"] = [wrong]
        self.errors |= options.wrong(self.given)
        if self.errors:
            return
        self.options = Options.checked(self.given)
        try:
            if self.retry_of is not None:
                retry.check(self.retry_of)
            made, clean = plan(self.kind.slug, self.params, self.machines, self.options)
            aims = [Target(machine.name, machine.read) for machine in self.machines]
            self.preflight = readiness.preflight(self.kind, clean, aims, Depot())
        except PlanRefused as refused:
            self._refuse(refused)
            return
        self.made = made.to_json()
        self.plan = planview.shown(self.made, made.hash, forecast.of_plan(self.kind.slug, self.made))

    def _launch(self) -> HttpResponseRedirect | None:
        """Launch the plan that was shown. The token was made with it: sending the form twice launches it once."""
        assert self.plan is not None
        propose = self.does == "propose"
        needed = "" if propose else self._to_confirm()
        if needed and self.data.get("confirm", "").strip() != needed:
            self.errors["confirm"] = [_("Type %(name)s to confirm it.") % {"name": needed}]
            return None
        actor = self.request.user.get_username()
        try:
            job = launch(
                self.kind.slug,
                self.params,
                self.machines,
                actor=actor,
                approved_hash=self.data.get("plan_hash", "") or "none",
                once=self.once,
                retry_of=self.retry_of,
                options=self.options,
                propose=propose,
                arrange=self._arrange(actor),
            )
        except PlanRefused as refused:
            self._refuse(refused)
            return None
        return HttpResponseRedirect(reverse("job", args=[job.pk]))

    def _arrange(self, actor: str) -> Callable[[Job], None] | None:
        """What else is stored with the job: its place in a pipeline, or the alerts that it mends."""
        if self.retry_of is not None:
            return carry_on(self.retry_of, actor=actor)
        return link(*self.alerts, actor=actor) if self.alerts else None

    def _schedule(self) -> HttpResponseRedirect | None:
        """To the form of a schedule, with the same request. A list of machines has to fit into its address."""
        if self.targets.aim == "machines" and len(self.machines) > targets.MOST_NAMES:
            said = _("To schedule a job on more than %(n)s machines, save them as a group and choose that.")
            self.errors["targets"] = [said % {"n": targets.MOST_NAMES}]
            return None
        query = [("kind", self.kind.slug), *self.targets.query()]
        shown = {name: value for name, value in self.params.items() if name not in self.kind.secrets}
        tail = urlencode(forms.query(shown) | options.query(self.options.to_json()), doseq=True)
        return HttpResponseRedirect(f"{reverse('schedule-new')}?{urlencode(query)}&{tail}")

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
        field = refused.field
        if field == "targets" or field.startswith(options.PREFIX) or field in self.kind.Params().fields:
            self.errors[refused.field] = [f"{causes.cause(refused.cause)} {causes.mend(refused.mend)}"]
        else:
            self.refusal = refused

    def _context(self) -> dict[str, Any]:
        serving = self._serving() if self.kind.mutates else {}
        how = options.inputs(self.given, self.errors)
        return {
            "kind": self.kind,
            "retry_of": self.retry_of,
            "alerts": self.alerts,
            "title": self.kind.title,
            "summary": self.kind.summary,
            "pasted": self.pasted,
            "inputs": forms.inputs(self.kind, self.params, self.errors),
            "targets": self.targets,
            "offered": targets.offered(self.targets, self.kind),
            "left_out": self.left_out,
            "how": how,
            "how_open": any(one.errors for one in how) or bool(self.errors.get("options.pause_before")),
            "how_short": options.in_short(self.options),
            "pauses": options.pauses(self.made, self.given) if self.made else [],
            "pause_errors": self.errors.get("options.pause_before", []),
            "kept_pauses": self.given.get("pause_before", []) if not self.made else [],
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
            "rules": [str(rule) for rule in rules.concerning(self.kind, self.machines)] if self.plan else [],
            "schedulable": _has_page("schedule-new") and not self.kind.secrets,
        }

    def _lanes(self, serving: dict[str, str]) -> list[dict[str, Any]]:
        """Each lane with what its page says about its machine."""
        if self.plan is None:
            return []
        known = {machine.name: machine for machine in self.machines}
        blocked = set(self.preflight.blocking if self.preflight else [])
        return [
            {
                "stage": stage.title if number == 0 else "",
                "lane": lane,
                "machine": None if lane.same else known.get(lane.machine or ""),
                "blocked": bool(blocked.intersection(lane.machines)),
                "serves": ", ".join(sorted({serving[name] for name in lane.machines if name in serving})),
                "open": (place, number) == (0, 0),
            }
            for place, stage in enumerate(self.plan.stages)
            for number, lane in enumerate(stage.lanes)
        ]


def _has_page(name: str) -> bool:
    try:
        reverse(name)
    except NoReverseMatch:
        return False
    return True
