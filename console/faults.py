"""What is answered to a request that ended with an error: a page, or problem details under ``/api/``."""

from __future__ import annotations

import sys

from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader
from django.utils.translation import gettext as _

from console.api.errors import CONTENT_TYPE, body
from console.api.slashes import PREFIX
from hardware.database import is_away

# When a client may ask again: a database that is restarted is back in seconds.
RETRY_SECONDS = 5


def fault(request: HttpRequest) -> HttpResponse:
    """Django's ``handler500``; called while the error is being handled."""
    wrong = sys.exc_info()[1]
    if wrong is not None and is_away(wrong):
        answer = _answer(
            request,
            503,
            "database-away",
            _("The database does not answer"),
            _("What runs on the machines is not touched by it, and nothing is lost. Ask again in a moment."),
        )
        answer["Retry-After"] = str(RETRY_SECONDS)
        return answer
    if isinstance(wrong, DataError):
        return _answer(
            request,
            400,
            "value-refused",
            _("The database takes no such value"),
            _("What was asked for holds a character that is no text, or a value that is too long or too large."),
        )
    return _answer(
        request,
        500,
        "console-bug",
        _("The console is at fault"),
        _(
            "This page could not be made. What runs on the machines is not touched by it. The cause is in the log of "
            "the console’s web process."
        ),
    )


def _answer(request: HttpRequest, status: int, code: str, title: str, mend: str) -> HttpResponse:
    if request.path_info.startswith(PREFIX):
        return JsonResponse(body(code, f"{title}.", status, mend=mend), status=status, content_type=CONTENT_TYPE)
    # Without the request: what a page's frame shows is asked of the database.
    page = loader.get_template("500.html").render({"title": title, "text": mend})
    return HttpResponse(page, status=status)
