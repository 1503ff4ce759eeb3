"""Starting a pipeline: a form, then the first job's plan and the outline of the others, then the start."""

from __future__ import annotations

import secrets
from typing import Any

from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.pages import causes, forms, options, planview, targets
from jobs.pipelines import registry
from jobs.pipelines.definition import Definition
from jobs.pipelines.models import Pipeline
from jobs.pipelines.pages import words
from jobs.pipelines.services import Outline, outline, start


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponseBase:
    """Nothing runs before its outline was seen; a GET with parameters in its query shows it at once."""
    data: QueryDict = request.POST if request.method == "POST" else request.GET
    definition = registry.all_pipelines().get(data.get("pipeline", ""))
    if definition is None:
        return HttpResponseRedirect(reverse("pipelines"))
    return Draft(request, definition, data).answer()


class Draft:
    """A pipeline that is not there yet."""

    def __init__(self, request: HttpRequest, definition: Definition, data: QueryDict) -> None:
        self.request = request
        self.definition = definition
        self.data = data
        self.posted = request.method == "POST"
        self.params = forms.params_from(definition, data, bare=not self.posted)
        self.targets = targets.Targets.of(data, definition)
        self.machines, self.left_out = self.targets.resolve()
        self.tolerate = data.get("tolerate", definition.tolerate).strip() or "0"
        self.propose = data.get("propose", "") == "1"
        token = data.get("token", "")[:100]
        self.once = f"{request.user.pk}:{token}" if token else ""
        self.errors: dict[str, list[str]] = {}
        self.refusal: PlanRefused | None = None
        self.outline: Outline | None = None

    def answer(self) -> HttpResponseBase:
        starting = self.posted and self.data.get("do") == "start"
        if starting and self.once and (there := Job.objects.filter(once=self.once).first()) is not None:
            return HttpResponseRedirect(reverse("pipeline", args=[Pipeline.objects.get(stages__job=there).pk]))
        aimed = self.targets.given or self.definition.targets == "optional"
        if self.posted or (self.params and aimed):
            self._outline()
        if starting and self.outline is not None:
            started = self._start()
            if started is not None:
                return started
        failed = bool(self.errors or self.refusal)
        return render(
            self.request, "pipelines/new.html", self._context(), status=422 if failed and self.posted else 200
        )

    def _outline(self) -> None:
        self.errors = forms.checked(self.definition, self.params)
        if self.definition.targets == "many" and not self.targets.given and self.targets.aim == "machines":
            self.errors["targets"] = [_("Choose at least one machine.")]
        elif wrong := self.targets.wrong(self.machines):
            self.errors["targets"] = [wrong]
        if wrong_options := options.wrong({"tolerate": self.tolerate}):
            self.errors["tolerate"] = wrong_options[options.PREFIX + "tolerate"]
        if self.errors:
            return
        try:
            self.outline = outline(self.definition.slug, self.params, self.machines, {"tolerate": self.tolerate})
        except PlanRefused as refused:
            self._refuse(refused)

    def _start(self) -> HttpResponseRedirect | None:
        needed = self._to_confirm()
        if needed and self.data.get("confirm", "").strip() != needed:
            self.errors["confirm"] = [_("Type %(name)s to confirm it.") % {"name": needed}]
            return None
        try:
            made = start(
                self.definition.slug,
                self.params,
                self.machines,
                actor=self.request.user.get_username(),
                options={"tolerate": self.tolerate},
                propose=self.propose,
                approved_hash=self.data.get("plan_hash", "") or "none",
                once=self.once,
            )
        except PlanRefused as refused:
            self._refuse(refused)
            return None
        return HttpResponseRedirect(reverse("pipeline", args=[made.pk]))

    def _to_confirm(self) -> str:
        """The machine whose name is to be typed where a stage may restart it."""
        found = self.outline
        restarts = [stage for stage in found.stages if stage.name in self.definition.restarts] if found else []
        return str(restarts[0].machines[0]) if restarts and restarts[0].machines else ""

    def _refuse(self, refused: PlanRefused) -> None:
        text = f"{causes.cause(refused.cause)} {causes.mend(refused.mend)}"
        if refused.field == "targets" or refused.field in self.definition.Params().fields:
            self.errors[refused.field] = [text]
        else:
            self.refusal = refused

    def _context(self) -> dict[str, Any]:
        found = self.outline
        plan = planview.shown(found.plan.to_json(), found.plan.hash) if found else None
        known = {machine.name: machine for machine in self.machines}
        return {
            "definition": self.definition,
            # The includes of the New job page speak of a kind.
            "kind": self.definition,
            "inputs": forms.inputs(self.definition, self.params, self.errors),
            "targets": self.targets,
            "offered": targets.offered(self.targets, self.definition),
            "left_out": self.left_out,
            "errors": self.errors,
            "refusal": self.refusal,
            "changed": self.refusal is not None and self.refusal.code == "plan-changed",
            "tolerate": self.tolerate,
            "propose": self.propose,
            "plan": plan,
            "lanes": [
                {"lane": lane, "machine": known.get(lane.machine or ""), "open": number == 0}
                for stage in (plan.stages if plan else ())
                for number, lane in enumerate(stage.lanes)
            ],
            "stages": [
                {
                    "number": number,
                    "words": words.stage_words(self.definition, stage.name),
                    "kind": stage.kind,
                    "machines": list(stage.machines),
                    "params": words.parameters(stage.kind, dict(stage.params), self.definition),
                    "restarts": stage.name in self.definition.restarts,
                }
                for number, stage in enumerate(found.stages if found else (), start=1)
            ],
            "token": secrets.token_urlsafe(16),
            "confirm": self._to_confirm(),
        }
