"""``Idempotency-Key`` on POST: the same key and body give the first answer again, another body is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils.crypto import salted_hmac
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from console.api.models import IdempotentRequest

LONGEST_KEY = 200
KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER,
    description=f"At most {LONGEST_KEY} characters. The same key and body again give the first answer.",
)  # fmt: skip


class KeyTooLong(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency-key-too-long"
    default_detail = f"An Idempotency-Key has {LONGEST_KEY} characters at most."


class KeyEmpty(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "idempotency-key-empty"
    default_detail = "The Idempotency-Key is empty. Give one, or leave the header out."


class KeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency-key-reused"
    default_detail = "This Idempotency-Key was used for another request."


class Idempotent:
    """For a view whose POST creates. Key and creation are one transaction: a crash leaves neither.

    What takes time and writes nothing, such as asking a machine, a view does in ``prepare(request)``, which is called
    before the transaction begins. An action that creates gives its answer through ``once``.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        made = getattr(super(), "create", None)
        if made is None:
            return

        # What the schema says of the request and its answers stands on the method that is wrapped.
        @extend_schema(parameters=[KEY])
        @wraps(made)
        def create(self: Idempotent, request: Request, *args: Any, **kwargs: Any) -> Response:
            return self.once(request, lambda: made(self, request, *args, **kwargs))

        cls.create = create  # type: ignore[attr-defined]

    def once(self, request: Request, make: Callable[[], Response]) -> Response:
        """The answer that ``make`` gives, or the one that it gave when this key was first sent."""
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return make()
        if not key.strip():
            raise KeyEmpty
        if len(key) > LONGEST_KEY:
            raise KeyTooLong
        # With a key: a plain hash of a body that holds a secret would let the secret be guessed and checked.
        digest = salted_hmac("console.api.idempotency", _said(request), algorithm="sha256").hexdigest()
        mine = {"user": str(request.user.pk), "key": key}
        there = IdempotentRequest.objects.filter(**mine).first()
        if there is not None:
            return _again(there, digest)
        if hasattr(self, "prepare"):
            self.prepare(request)
        # What is refused rolls the key back with it: the caller may mend the request and use the key again.
        with transaction.atomic():
            entry, first = IdempotentRequest.objects.select_for_update().get_or_create(
                **mine, defaults={"request_sha256": digest}
            )
            if not first:
                return _again(entry, digest)
            answer = make()
            entry.status, entry.body = answer.status_code, JSONRenderer().render(answer.data)
            if answer.status_code >= status.HTTP_300_MULTIPLE_CHOICES or answer.status_code == status.HTTP_200_OK:
                # Nothing was made, as with a dry run.
                entry.delete()
            else:
                entry.save()
            return answer


def _said(request: Request) -> str:
    """What the request says, however it is written: two bodies that mean the same are the same body."""
    given = dict(request.data.lists()) if isinstance(request.data, QueryDict) else request.data
    return f"{request.get_full_path()}\n{json.dumps(given, sort_keys=True, default=str)}"


def _again(entry: IdempotentRequest, digest: str) -> Response:
    if entry.request_sha256 != digest:
        raise KeyReused
    return Response(json.loads(bytes(entry.body)), status=entry.status)
