"""The Overview: what is wrong now, what runs now, what each NPU does."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hardware.inventory.models import Machine


def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "console/overview.html", {"machines": Machine.objects.all()})
