"""REST: ask the support bot."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from console.api.errors import CONTENT_TYPE, body
from console.demo.supportbot.ask import LONGEST, NothingServes, ask
from hardware.strict import Strict


class Question(Strict):
    text = serializers.CharField(max_length=LONGEST)
    machine = serializers.CharField(required=False, default="", allow_blank=True)


class Ask(APIView):
    """What a customer's question is about, as the served release says."""

    serializer_class = Question

    def post(self, request: Request) -> Response:
        """Ask a machine that serves the support bot. 409 when none does, 502 when it can't be reached."""
        asked = Question(data=request.data)
        asked.is_valid(raise_exception=True)
        machine = asked.validated_data["machine"]
        try:
            return Response(asdict(ask(asked.validated_data["text"], machine)))
        except NothingServes:
            what = f"{machine} serves no release now." if machine else "No machine serves the support bot now."
            mend = "Roll a release of it out, or wait until the rollout that runs has ended."
            return Response(body("nothing-serves", what, 409, mend=mend), status=409, content_type=CONTENT_TYPE)
