"""``Idempotency-Key`` on POST: the same key and body give the first answer again, another body is refused."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import transaction
from django.http import HttpResponse, JsonResponse

from console.api.errors import CONTENT_TYPE, body
from console.api.models import IdempotentRequest


class Idempotent:
    """For a view whose POST creates. Key and creation are one transaction: a crash leaves neither."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get("Idempotency-Key", "")
        if request.method != "POST" or not key:
            return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        digest = hashlib.sha256(request.get_full_path().encode() + b"\n" + request.body).hexdigest()
        # The caller's secret, hashed: two callers never share a key, and it is known before authentication ran.
        caller = request.headers.get("Authorization", "") or request.COOKIES.get("sessionid", "")
        user = hashlib.sha256(caller.encode()).hexdigest()
        if len(key) > 200:
            return _problem("idempotency-key-too-long", "An Idempotency-Key has 200 characters at most.")
        with transaction.atomic():
            entry, first = IdempotentRequest.objects.select_for_update().get_or_create(
                user=user, key=key, defaults={"request_sha256": digest}
            )
            if not first and entry.request_sha256 != digest:
                return _problem("idempotency-key-reused", "This Idempotency-Key was used for another request.")
            if not first:
                return HttpResponse(bytes(entry.body), status=entry.status, content_type=entry.content_type)
            answer = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
            answer.render()
            if answer.status_code >= 300:
                # Nothing was made: the caller may mend the request and use the key again.
                entry.delete()
            else:
                entry.status, entry.content_type, entry.body = (
                    answer.status_code,
                    answer["Content-Type"],
                    answer.content,
                )
                entry.save()
            return answer


def _problem(code: str, title: str) -> JsonResponse:
    return JsonResponse(body(code, title, 422), status=422, content_type=CONTENT_TYPE)
