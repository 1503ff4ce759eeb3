"""Errors as problem details (RFC 9457): every one has a type, a title, a status, and where we know it a mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from console.api.slashes import PREFIX
from hardware.ssh.errors import SSHFailure
from jobs.failures import JobFailed, PlanRefused

CONTENT_TYPE = "application/problem+json"
# What Django itself says in HTML, where no view of the API was reached. Faults: ``console.faults``.
_PLAIN = {
    400: ("bad-request", "The request can't be read."),
    403: ("forbidden", "This may not be done."),
    404: ("not-found", "There is no such address."),
}


def body(code: str, title: str, status: int, **more: Any) -> dict[str, Any]:
    return {"type": f"urn:console:error:{code}", "title": title, "status": status, "code": code, **more}


def refusal(code: str, title: str, status: int, **more: Any) -> JsonResponse:
    """A problem as an answer, for what refuses a request before its view is called."""
    return JsonResponse(body(code, title, status, **more), status=status, content_type=CONTENT_TYPE)


class Problems:
    """Errors under the API's addresses that no view of it answered are problems as well."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        plain = answer.get("Content-Type", "").startswith("text/html")
        if plain and answer.status_code in _PLAIN and request.path_info.startswith(PREFIX):
            return refusal(*_PLAIN[answer.status_code], answer.status_code)
        return answer


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler; ``None`` (a bug) goes on to Django, which shows no stack trace."""
    if isinstance(error, PlanRefused):
        more = {"field": error.field} if error.field else {}
        return _response(body(error.code, error.cause, 422, mend=error.mend, **more))
    if isinstance(error, JobFailed):
        more = getattr(error, "more", {})
        return _response(body(error.code, error.cause, getattr(error, "status", 422), mend=error.mend, **more))
    if isinstance(error, SSHFailure):
        status = getattr(error, "status", 502)
        return _response(body(error.code, str(error), status, mend=error.mend, machine=error.machine))
    answer = exception_handler(error, context)
    if answer is None:
        return None
    if isinstance(error, ValidationError):
        answer.data = body("invalid", "Some fields are not right.", answer.status_code, errors=answer.data)
    elif isinstance(error, APIException):
        answer.data = body(str(error.get_codes()), str(error.detail), answer.status_code)
    else:
        answer.data = body("not-found", "There is no such thing.", answer.status_code)
    answer.content_type = CONTENT_TYPE
    return answer


def _response(data: dict[str, Any]) -> Response:
    return Response(data, status=data["status"], content_type=CONTENT_TYPE)
