"""What happens to a request whose session is not there, or has ended."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponseBase

from console.access import kept
from console.access.pages import sign_in_again


class SessionRequired(LoginRequiredMiddleware):
    """Every page wants a session unless it says otherwise. A form that comes without one is kept, not lost."""

    def process_view(self, request: HttpRequest, view_func: Any, *rest: Any) -> HttpResponseBase | None:
        refused: HttpResponseBase | None = super().process_view(request, view_func, *rest)
        by_script = "HX-Request" in request.headers or request.headers.get("Sec-Fetch-Dest", "document") != "document"
        match = request.resolver_match
        # Who signs out once more has nothing to send again.
        if refused is None or request.method != "POST" or by_script or (match and match.url_name == "logout"):
            return refused
        return sign_in_again(request, kept.keep(request))
