"""``ETag`` and ``If-Match``: an update says which version it was made for, so that nobody's change is lost unseen."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import transaction
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder


class VersionNotSaid(APIException):
    status_code = status.HTTP_428_PRECONDITION_REQUIRED
    default_code = "if-match-missing"
    default_detail = "An update needs If-Match with the ETag of the version it was made for. Read the object again."


class VersionChanged(APIException):
    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "version-changed"
    default_detail = "It has changed since that version was read. Read it again, then decide again."


class Tagged:
    """For a view that retrieves, updates and deletes; the tag is a hash of what the client may read. Deleting needs no
    ``If-Match``, but holds to one that is given.
    """

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        answer: Response = super().retrieve(request, *args, **kwargs)  # type: ignore[misc]
        answer["ETag"] = _tag(answer.data)
        return answer

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = request.headers.get("If-Match")
        if not given:
            raise VersionNotSaid
        with transaction.atomic():
            self._check(given)
            answer: Response = super().update(request, *args, **kwargs)  # type: ignore[misc]
        answer["ETag"] = _tag(answer.data)
        return answer

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            if given := request.headers.get("If-Match"):
                self._check(given)
            answer: Response = super().destroy(request, *args, **kwargs)  # type: ignore[misc]
        return answer

    def _check(self, given: str) -> None:
        """Raises ``VersionChanged``. Of two who change the same version at the same time, the second waits here."""
        there = self.get_object()  # type: ignore[attr-defined]
        type(there)._base_manager.select_for_update().only("pk").get(pk=there.pk)
        # A proxy that compresses answers makes it weak; it says what the object says, not its bytes.
        if given.removeprefix("W/") != _tag(self.get_serializer(self.get_object()).data):  # type: ignore[attr-defined]
            raise VersionChanged


def _tag(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, cls=JSONEncoder)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
