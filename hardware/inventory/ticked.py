"""What is done with the machines that were ticked on the Machines page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hardware.inventory import causes, wording
from hardware.inventory.groups import services as groups
from hardware.inventory.groups.models import Group
from hardware.inventory.lists.entries import words
from hardware.inventory.models import Machine
from hardware.inventory.selection import Selection
from hardware.inventory.services import change, probe_all
from hardware.inventory.standing import new_job
from hardware.ssh import background

# Names that an address carries; of more the form itself is sent on.
IN_ADDRESS = 40


def act(request: HttpRequest, shown: Selection) -> HttpResponseRedirect:
    """Do what was asked with the ticked machines, or with ``everything`` with all that pass the page's filters."""
    everything = "everything" in request.POST
    if everything:
        chosen = shown.machines()
    else:
        chosen = list(Machine.objects.filter(name__in=request.POST.getlist("machine")).select_related("credential"))
    does: dict[str, Callable[[HttpRequest, Sequence[Machine]], None]] = {"probe": _probe, "change": _change}
    wish = request.POST.get("do", "")
    if wish == "job":
        return HttpResponseRedirect(_filtered_job(shown)) if everything else _job(chosen)
    if wish == "group":
        made = _group(request, chosen, shown)
        return HttpResponseRedirect(reverse("group", args=[made.name]) if made else request.get_full_path())
    if wish in does and chosen:
        does[wish](request, chosen)
    return HttpResponseRedirect(request.get_full_path())


def _job(chosen: Sequence[Machine]) -> HttpResponseRedirect:
    if len(chosen) <= IN_ADDRESS:
        return HttpResponseRedirect(new_job("", [found.name for found in chosen]))
    try:
        return HttpResponseRedirect(reverse("job-new"), preserve_request=True)
    except NoReverseMatch:
        return HttpResponseRedirect(reverse("machines"))


def _filtered_job(shown: Selection) -> str:
    """Where a job on whoever passes the page's filters is planned."""
    query = [("aim", "filter")]
    for name, value in shown.to_json().items():
        query += [("label", label) for label in value] if name == "labels" else [(name, value)]
    try:
        return f"{reverse('job-new')}?{urlencode(query)}"
    except NoReverseMatch:
        return reverse("machines")


def _probe(request: HttpRequest, chosen: Sequence[Machine]) -> None:
    ready = [found for found in chosen if found.host_key]
    started = time.monotonic()
    failed = background.call(probe_all, ready)
    took = f"{time.monotonic() - started:.1f}"
    done = len(ready) - len(failed)
    if done:
        said = ngettext("%(n)s machine was probed in %(s)s s.", "%(n)s machines were probed in %(s)s s.", done)
        messages.success(request, said % {"n": done, "s": took})
    for wrong in failed:
        messages.error(request, f"{causes.cause(str(wrong))} {wording.trouble_mend(wrong.code, wrong.mend)}")
    for found in chosen:
        if not found.host_key:
            what = _("%(machine)s was not probed: its fingerprint is not confirmed yet.")
            messages.warning(request, what % {"machine": found.name})


def _change(request: HttpRequest, chosen: Sequence[Machine]) -> None:
    """Add and take off labels, set the site; a field that is left empty changes nothing."""
    add, remove = words(request.POST.get("add", "")), words(request.POST.get("remove", ""))
    site = request.POST.get("site", "").strip()
    long = [word for word in (*add, site) if len(word) > 63]
    if long:
        messages.error(request, _("%(word)s is too long; 63 characters at most.") % {"word": long[0]})
        return
    changed = 0
    with transaction.atomic():
        for machine in chosen:
            labels = [label for label in dict.fromkeys([*machine.labels, *add]) if label not in remove]
            fields: dict[str, Any] = {}
            if labels != machine.labels:
                fields["labels"] = labels
            if site and site != machine.site:
                fields["site"] = site
            if fields:
                change(machine, actor=request.user.get_username(), **fields)
                changed += 1
    said = ngettext("%(n)s machine was changed.", "%(n)s machines were changed.", changed)
    messages.success(request, said % {"n": changed})


def _group(request: HttpRequest, chosen: Sequence[Machine], shown: Selection) -> Group | None:
    """Save the ticked machines, or with ``keep=query`` the filters, under a name; ``None`` says on the page why not."""
    name = request.POST.get("name", "").strip()
    query = shown if request.POST.get("keep") == "query" and shown else None
    try:
        Group(name=name).full_clean(exclude=["query", "created_by"])
    except ValidationError:
        taken = Group.objects.filter(name=name).exists()
        said = (
            _("There is a group called %(name)s already.") % {"name": name}
            if taken
            else _("No group was saved: its name begins with a letter or digit, then letters, digits, dots and dashes.")
        )
        messages.error(request, said if name else _("No group was saved: give it a name."))
        return None
    if query is None and not chosen:
        messages.error(request, _("No group was saved: tick its machines first."))
        return None
    actor, note = request.user.get_username(), request.POST.get("note", "").strip()[:200]
    return groups.make(name, actor=actor, machines=() if query else chosen, query=query, note=note)
