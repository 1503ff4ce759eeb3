"""Saved groups: all of them, and one with the machines that belong to it now."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from hardware.inventory.groups.models import Group
from hardware.inventory.groups.services import change, delete
from hardware.inventory.lists.entries import words
from hardware.inventory.models import Machine
from hardware.inventory.selection import USABLE, Selection, labels_of, sites_of
from hardware.inventory.wording import selection as in_words

STATES = ("ready", "attention", "unprobed", "silent", "new", "blocked")


@require_GET
def groups(request: HttpRequest) -> HttpResponse:
    """All groups, each with what it stands for and how many machines that is now."""
    rows = [
        {"group": group, "words": in_words(group.selection), "count": len(group.members())}
        for group in Group.objects.prefetch_related("machines")
    ]
    return render(request, "groups/groups.html", {"rows": rows})


@require_http_methods(["GET", "POST"])
def group(request: HttpRequest, name: str) -> HttpResponse:
    """One group. A POST changes it, or with ``do=delete`` takes it away."""
    found = get_object_or_404(Group, name=name)
    actor = request.user.get_username()
    if request.method == "POST":
        if request.POST.get("do") == "delete":
            delete(found, actor=actor)
            messages.success(request, _("Group %(name)s is gone; its machines are as they were.") % {"name": name})
            return redirect("groups")
        _change(request, found, actor)
        return HttpResponseRedirect(request.path)
    members = found.members()
    fleet = list(Machine.objects.exclude(state=Machine.State.RETIRED).defer("facts"))
    inside = {machine.pk for machine in members}
    context = {
        "group": found,
        "words": in_words(found.selection),
        "members": members,
        "unusable": [machine for machine in members if machine.state not in USABLE],
        "others": [] if found.query else [machine for machine in fleet if machine.pk not in inside],
        "selection": found.selection,
        "labels": " ".join(found.selection.labels),
        "known_labels": labels_of(fleet),
        "sites": sites_of(fleet),
        "states": STATES,
    }
    return render(request, "groups/group.html", context)


def _change(request: HttpRequest, found: Group, actor: str) -> None:
    note = request.POST.get("note", "").strip()[:200]
    if not found.query:
        names = request.POST.getlist("machine") + request.POST.getlist("add")
        chosen = list(Machine.objects.filter(name__in=names).defer("facts"))
        if not chosen:
            messages.error(request, _("A group has one machine at least; delete it instead."))
            return
        change(found, actor=actor, machines=chosen, note=note)
    else:
        given = {name: request.POST.get(name, "").strip() for name in ("text", "site", "state", "chip", "driver")}
        query = Selection.from_json({**given, "labels": words(request.POST.get("labels", ""))})
        if not query:
            messages.error(request, _("Without a filter it would be every machine; set one at least."))
            return
        change(found, actor=actor, query=query, note=note)
    messages.success(request, _("Group %(name)s was changed.") % {"name": found.name})
