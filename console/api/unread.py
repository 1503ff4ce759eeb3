"""What a request says and its view does not read: the request is refused before its view is called.

Left out without a word, a change that was to be tried would be made, the whole done where a part was named, or a thing
done in spite of a condition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from console.api.errors import refusal
from console.api.etags import Tagged
from console.api.slashes import PREFIX
from hardware.strict import unknown

SAFE = ("GET", "HEAD", "OPTIONS")
# How an answer is written.
FORM = "format"
CONDITIONS = ("If-Match", "If-None-Match", "If-Unmodified-Since")
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")

View = Callable[..., HttpResponse]


def unknown_names(names: Collection[str]) -> dict[str, list[str]]:
    return {name: [unknown()] for name in sorted(names)}


class NothingIgnored:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: View, _args: Any, _kwargs: Any) -> HttpResponse | None:
        if not request.path_info.startswith(PREFIX):
            return None
        return _address(request, view) or _body(request) or _headers(request, view)


def _address(request: HttpRequest, view: View) -> HttpResponse | None:
    errors = {name: [_("It comes twice.")] for name, values in sorted(request.GET.lists()) if len(values) > 1}
    known = _known(request, view)
    if known is not None:
        errors |= unknown_names(request.GET.keys() - known)
    return refusal("invalid", "Some fields are not right.", 400, errors=errors) if errors else None


def _known(request: HttpRequest, view: View) -> set[str] | None:
    """The names that the view reads; ``None`` where it looks at them itself, as lists and tables do."""
    if request.method in SAFE and _action(view, "get") in ("", "list"):
        return None
    handler = getattr(getattr(view, "cls", None), _action(view, _method(request)) or _method(request), None)
    dry = {"dry_run"} if getattr(handler, "has_dry_run", False) else set()
    return {FORM, *dry, *getattr(handler, "asks", ())}


def _body(request: HttpRequest) -> HttpResponse | None:
    in_pieces = "Transfer-Encoding" in request.headers
    if (request.method in SAFE or request.method == "DELETE") and (in_pieces or _length(request)):
        return refusal("body-not-read", _("Such a request has no body: what stands in it would not be read."), 400)
    if in_pieces and not request.META.get("CONTENT_LENGTH"):
        # The framework takes it for an empty one.
        return refusal("length-required", _("Send the body's length with it, as Content-Length."), 411)
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if request.content_type != "multipart/form-data" and _length(request) > most:
        return refusal("body-too-large", _("A body has %(bytes)s bytes at most.") % {"bytes": most}, 413)
    return None


def _headers(request: HttpRequest, view: View) -> HttpResponse | None:
    if other := [name for name in OVERRIDES if name in request.headers]:
        said = _("%(name)s is not read: send the request with that method.") % {"name": other[0]}
        return refusal("method-override", said, 400)
    if request.method in SAFE:
        return None
    tagged = issubclass(getattr(view, "cls", object), Tagged) and request.method in ("PUT", "PATCH", "DELETE")
    read = {"If-Match"} if tagged else set()
    if other := [name for name in CONDITIONS if name in request.headers and name not in read]:
        said = _("%(name)s is not read here: leave it out if this is to be done all the same.") % {"name": other[0]}
        return refusal("condition-not-read", said, 400)
    return None


def _length(request: HttpRequest) -> int:
    given = request.META.get("CONTENT_LENGTH") or "0"
    return int(given) if given.isdigit() else 1


def _method(request: HttpRequest) -> str:
    return "get" if request.method in SAFE else str(request.method).lower()


def _action(view: View, method: str) -> str:
    """The name of a view set's action."""
    return str(getattr(view, "actions", {}).get(method, ""))
