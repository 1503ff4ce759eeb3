"""The Machines, Machine and Add pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hardware.inventory.models import Machine


def machines(request: HttpRequest) -> HttpResponse:
    return render(request, "machines/machines.html", {"machines": Machine.objects.all()})
