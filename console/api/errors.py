"""Errors as problem details (RFC 9457): every one has a type, a title, a status, and where we know it a mend."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import APIException, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler

from hardware.ssh.errors import SSHFailure
from jobs.failures import JobFailed, PlanRefused

CONTENT_TYPE = "application/problem+json"


def body(code: str, title: str, status: int, **more: Any) -> dict[str, Any]:
    return {"type": f"urn:console:error:{code}", "title": title, "status": status, "code": code, **more}


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
