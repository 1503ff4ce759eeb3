"""What /metrics shows, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "Metrics"]

# Seconds; the support bot promises 0.12 at the 95th percentile.
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.06, 0.12, 0.25, 0.5, 1, 2.5, 5)
_BATCH = (1, 2, 4, 8, 12, 16, 32, 64, 128, 256)


class Metrics:
    """One registry a server: two of them in a process don't meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "serving_requests", "Requests to /v1/classify by HTTP status.", ["status"], registry=self.registry
        )
        self.errors = Counter("serving_errors", "Refused or failed requests by code.", ["code"], registry=self.registry)
        self.latency = Histogram(
            "serving_request_seconds", "From request to answer.", buckets=_LATENCY, registry=self.registry
        )
        self.batches = Histogram(
            "serving_batch_size", "Texts in one inference.", buckets=_BATCH, registry=self.registry
        )
        self.inference = Histogram(
            "serving_inference_seconds", "Inference of one batch.", buckets=_LATENCY,
            registry=self.registry,
        )  # fmt: skip
        self.queue = Gauge("serving_queue_texts", "Texts that wait for a worker or the model.", registry=self.registry)
        self.waiting = Gauge(
            "serving_requests_waiting", "Requests with a text that waits for a worker or the model.",
            registry=self.registry,
        )  # fmt: skip
        self.out_of_memory = Counter(
            "serving_out_of_memory", "Batches for which there was no memory.", registry=self.registry
        )
        self.parameters = Gauge(
            "serving_parameter", "What the release, or the machine's deployment, sets.", ["name"],
            registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge("serving_ready", "1 when the model is loaded and answers.", registry=self.registry)
        self.model = Gauge(
            "serving_model_info", "Always 1; the labels say what is served.",
            ["name", "sha256", "engine", "release", "simulated"], registry=self.registry,
        )  # fmt: skip

    def batch(self, texts: int, seconds: float) -> None:
        """Counts one inference of the batcher."""
        self.batches.observe(texts)
        self.inference.observe(seconds)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
