"""The pages that add many machines at once: from a list, or from a range of addresses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from hardware.inventory.lists import wording
from hardware.inventory.lists.entries import Entry, ListRefused
from hardware.inventory.lists.services import (
    FORMATS,
    MOST_ADDRESSES,
    decoded,
    enroll_all,
    guess,
    read_list,
    scan,
    without_login,
)
from hardware.inventory.lists.table import write_csv
from hardware.inventory.models import Credential, Machine

# Of a long list a page shows the beginning; all of it is imported.
SHOWN = 200
MOST_BYTES = 4 << 20


@require_http_methods(["GET", "POST"])
def import_machines(request: HttpRequest) -> HttpResponse:
    """A list is read and shown; then, by ``do=import``, its machines are enrolled, each with what became of it."""
    context: dict[str, Any] = {
        "credentials": list(Credential.objects.values_list("name", flat=True)),
        "chosen": request.POST.get("credential", ""),
        "forms": list(FORMATS),
        "shown": SHOWN,
    }
    if request.method == "POST":
        try:
            text = _text(request)
            context |= _read(request, text)
        except ListRefused as wrong:
            context |= {"refused": wording.said(str(wrong)), "text": request.POST.get("text", "")}
    return render(request, "machines/import.html", context, status=422 if context.get("refused") else 200)


def _text(request: HttpRequest) -> str:
    file = request.FILES.get("file")
    if file is not None:
        if file.size is None or file.size > MOST_BYTES:
            raise ListRefused(f"{file.name} is larger than {MOST_BYTES // 2**20} MiB; a list of machines is not.")
        return decoded(file.read())
    return request.POST.get("text", "")


def _read(request: HttpRequest, text: str) -> dict[str, Any]:
    form = request.POST.get("format") or guess(text)
    listing = read_list(text, form if form in FORMATS else guess(text))
    credential = Credential.objects.filter(name=request.POST.get("credential", "")).first()
    there = set(Machine.objects.filter(name__in=[e.name for e in listing.entries]).values_list("name", flat=True))
    lost = without_login([entry for entry in listing.entries if entry.name not in there], credential)
    shown = replace(listing, problems=wording.problems(listing.problems[:SHOWN]), notes=wording.problems(listing.notes))
    said = {"text": text, "format": form, "listing": shown, "there": there, "new": len(listing.entries) - len(there)}
    if request.POST.get("do") != "import":
        return said
    if lost:
        return {**said, "login_error": _("%(machine)s has no credential: choose one.") % {"machine": lost[0].name}}
    outcomes = enroll_all(listing.entries, credential, actor=request.user.get_username())
    outcomes.sort(key=lambda one: ("failed", "added", "confirmed", "there").index(one.done))
    return {**said, "outcomes": [*map(wording.outcome, outcomes[:SHOWN]), *outcomes[SHOWN:]]}


@require_http_methods(["GET", "POST"])
def scan_network(request: HttpRequest) -> HttpResponse:
    """A range is looked through; what is found becomes a list that can be named and imported."""
    context: dict[str, Any] = {"most": MOST_ADDRESSES, "range": request.POST.get("range", "")}
    if request.method == "POST":
        port = request.POST.get("port", "22")
        context["port"] = port
        try:
            if not port.isdigit() or not 1 <= int(port) <= 65535:
                raise ListRefused(_("%(port)s is no port.") % {"port": port})
            found = scan(request.POST.get("range", ""), int(port), actor=request.user.get_username())
        except ListRefused as wrong:
            return render(request, "machines/scan.html", {**context, "refused": wording.said(str(wrong))}, status=422)
        new = [one for one in found if not one.machine]
        names = [Entry(f"machine-{one.host.replace(':', '-')}", one.host, one.port) for one in new]
        context |= {"found": found, "new": len(new), "list": write_csv(names)}
    return render(request, "machines/scan.html", context)
