"""The support bot's page: ask, and see what the served model makes of it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from console.demo.supportbot.ask import LONGEST, questions, serving


@require_GET
def support_bot(request: HttpRequest) -> HttpResponse:
    """Which machines serve it, the samples and the form; the answers come over the REST API."""
    deployments = serving()
    context = {
        "deployments": deployments,
        "any_simulated": any(deployment.machine.simulated for deployment in deployments),
        "questions": questions(),
        "longest": LONGEST,
    }
    return render(request, "supportbot/supportbot.html", context)
