"""The page of notifications: where news of alerts go, and the letters that nobody took."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from console.notifications import services, wording
from console.notifications.api import DestinationSerializer
from console.notifications.models import EVENTS, Delivery, Destination
from hardware.inventory.models import Machine
from hardware.inventory.selection import labels_of, sites_of

DEAD_SHOWN, SENT_SHOWN = 100, 20
WORDS = {
    "alert.opened": gettext_lazy("an alert opens"),
    "alert.ended": gettext_lazy("it ends"),
    "alert.acknowledged": gettext_lazy("somebody acknowledges it"),
    "test": gettext_lazy("a test"),
}


@require_http_methods(["GET", "POST"])
def notifications(request: HttpRequest) -> HttpResponse:
    """Destinations, dead letters and what was sent of late. ``?edit=ID`` puts a destination into the form."""
    if request.method == "POST":
        return _act(request)
    number = request.GET.get("edit", "")
    edited = Destination.objects.filter(pk=_number(number)).first() if number else None
    return _page(request, edited)


def _act(request: HttpRequest) -> HttpResponse:
    do, actor = request.POST.get("do", ""), request.user.get_username()
    if do in ("again", "drop"):
        delivery = get_object_or_404(Delivery, pk=_number(request.POST.get("delivery", "")))
        (services.send_again if do == "again" else services.drop)(delivery, actor=actor)
        return redirect("notifications")
    number = request.POST.get("destination", "")
    there = get_object_or_404(Destination, pk=_number(number)) if number else None
    if there is not None and do == "test":
        services.try_out(there, actor=actor)
        messages.success(request, _("A test is on its way to %(name)s; below is how it went.") % {"name": there.name})
    elif there is not None and do == "remove":
        services.remove(there, actor=actor)
        messages.success(request, _("%(name)s gets no more news.") % {"name": there.name})
    elif there is not None and do == "rotate" and there.kind == Destination.Kind.WEBHOOK:
        return _page(request, None, told=(there.name, services.rotate(there, actor=actor)))
    elif do == "save":
        return _save(request, there, actor)
    return redirect("notifications")


def _save(request: HttpRequest, there: Destination | None, actor: str) -> HttpResponse:
    texts = ("name", "address", "site", "label", "language")
    given: dict[str, Any] = {name: request.POST.get(name, "").strip() for name in texts}
    given["kind"] = there.kind if there else request.POST.get("kind", "")
    given["events"] = request.POST.getlist("events")
    given |= {name: name in request.POST for name in ("critical_only", "enabled")}
    asked = DestinationSerializer(there, data=given, partial=there is not None)
    if not asked.is_valid():
        errors = {name: [str(line) for line in lines] for name, lines in asked.errors.items()}
        return _page(request, there, given, errors)
    if there is not None:
        services.change(there, actor=actor, **asked.validated_data)
        messages.success(request, _("Changed: %(name)s.") % {"name": there.name})
        return redirect("notifications")
    made = services.create(actor=actor, **asked.validated_data)
    if made.secret:
        return _page(request, None, told=(made.name, made.secret))
    messages.success(request, _("%(name)s gets news from now on.") % {"name": made.name})
    return redirect("notifications")


def _page(
    request: HttpRequest,
    edited: Destination | None,
    given: dict[str, Any] | None = None,
    errors: dict[str, list[str]] | None = None,
    told: tuple[str, str] | None = None,
) -> HttpResponse:
    fields = ("name", "kind", "address", "events", "critical_only", "site", "label", "language", "enabled")
    machines = list(Machine.objects.exclude(state=Machine.State.RETIRED).only("site", "labels"))
    letters = Delivery.objects.select_related("destination")
    dead = letters.filter(state=Delivery.State.DEAD)
    new = {"kind": Destination.Kind.WEBHOOK, "events": EVENTS, "enabled": True}
    context = {
        "destinations": [
            {"destination": one, "events": [WORDS[event] for event in one.events], "last": _last(one)}
            for one in Destination.objects.all()
        ],
        "dead": [_letter(one) for one in dead[:DEAD_SHOWN]],
        "dead_count": dead.count(),
        "letters": [_letter(one) for one in letters.exclude(state=Delivery.State.DEAD)[:SENT_SHOWN]],
        "edited": edited,
        "given": given or ({name: getattr(edited, name) for name in fields} if edited else new),
        "errors": errors or {},
        "told": {"name": told[0], "secret": told[1]} if told else None,
        "kinds": Destination.Kind.choices,
        "events": [(event, WORDS[event]) for event in EVENTS],
        "languages": settings.LANGUAGES,
        "sites": sites_of(machines),
        "labels": labels_of(machines),
    }
    answer = render(request, "notifications/notifications.html", context, status=422 if errors else 200)
    if told:
        # The secret is on this page once.
        answer["Cache-Control"] = "no-store"
    return answer


def _last(one: Destination) -> Delivery | None:
    return one.deliveries.order_by("-id").first()


def _letter(one: Delivery) -> dict[str, Any]:
    states = {Delivery.State.DELIVERED: "ok", Delivery.State.PENDING: "waiting", Delivery.State.DEAD: "failed"}
    return {
        "delivery": one,
        "title": one.body.get("title", one.about),
        "event": WORDS.get(one.event, one.event),
        "error": wording.said(one.error),
        "state": states[Delivery.State(one.state)],
    }


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
