"""``/metrics`` for Prometheus: the fleet's NPUs under npu-exporter's names, and the console's own jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.models import Count
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hardware.telemetry.metrics import families
from jobs.models import Job
from jobs.states import ENDED, JobState


class Everything(Collector):
    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from families()
        jobs = GaugeMetricFamily("console_jobs", "Jobs that have not ended, by state", labels=["state"])
        open_jobs = Job.objects.exclude(state__in=ENDED).order_by()
        counts = dict(open_jobs.values_list("state").annotate(Count("pk")))
        # None is known to be none, so that a board shows 0.
        for state in sorted(set(JobState) - set(ENDED)):
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs


class OneForm(DefaultContentNegotiation):
    """There is one form only; a scraper asks for several, with versions."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return next(iter(renderers)), CONTENT_TYPE_LATEST


class TextFormat(BaseRenderer):
    media_type = "text/plain"
    format = "txt"
    charset = None

    def render(self, data: object, accepted_media_type: str | None = None, renderer_context: object = None) -> bytes:
        return data if isinstance(data, bytes) else f"# {data}\n".encode()


class Metrics(APIView):
    """Prometheus logs in like any client: ``authorization: {type: Token, credentials: ...}`` in its scrape_config."""

    renderer_classes = [TextFormat]
    content_negotiation_class = OneForm
    schema = None

    def get(self, request: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(Everything())
        return Response(generate_latest(registry))
