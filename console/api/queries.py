"""What stands behind the question mark must be known: a name that is misspelt would be left out without a word, and
a list would come whole, or a change that was to be tried would be made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from console.api.errors import CONTENT_TYPE, body
from console.api.slashes import PREFIX
from hardware.strict import PLACE, unknown

SAFE = ("GET", "HEAD", "OPTIONS")
# How an answer is written.
FORM = "format"


def _errors(names: Collection[str]) -> dict[str, list[str]]:
    return {name: [unknown()] for name in sorted(names)}


class KnownFilters(DjangoFilterBackend):
    """The filters of a list; another name is refused."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        if getattr(view, "action", None) == "list":
            filters = self.get_filterset_class(view, queryset)
            known = set(filters.get_filters()) if filters is not None else set()
            if others := request.query_params.keys() - known - PLACE - {FORM}:
                raise serializers.ValidationError(_errors(others))
        found: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return found


class NothingIgnored:
    """A request that changes something is refused before its view is called, if its address says more than the view
    reads: that is ``dry_run``, where ``hardware.dryrun.has_dry_run`` says so, and nothing else.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        if request.method in SAFE or not request.path_info.startswith(PREFIX):
            return None
        known = {FORM, "dry_run"} if _has_dry_run(view, str(request.method).lower()) else {FORM}
        others = request.GET.keys() - known
        if not others:
            return None
        said = body("invalid", "Some fields are not right.", 400, errors=_errors(others))
        return JsonResponse(said, status=400, content_type=CONTENT_TYPE)


def _has_dry_run(view: Callable[..., HttpResponse], method: str) -> bool:
    name = getattr(view, "actions", {}).get(method, method)
    return bool(getattr(getattr(getattr(view, "cls", None), name, None), "has_dry_run", False))
