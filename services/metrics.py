"""What Prometheus scrapes: requests by route, and the inbox. Labels are routes and states, nothing of a patient."""

from collections.abc import Callable, Iterator, Mapping

from flask import Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from schemas.errors import Unavailable

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class InboxGauges(Collector):
    """The inbox as it is when it is scraped; nothing is reported while the database is away."""

    def __init__(self, stats: Callable[[], Mapping[str, float]]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            stats = self._stats()
        except Unavailable:
            return
        for name, value in stats.items():
            yield GaugeMetricFamily(f"vbq_inbox_{name}", f"inbox: {name.replace('_', ' ')}", value=value)


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self, stats: Callable[[], Mapping[str, float]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vbq_http_requests", "HTTP requests", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "vbq_http_request_seconds", "time to answer", ["route"], buckets=BUCKETS, registry=self.registry
        )
        self.events = Counter(
            "vbq_events", "resources written to the inbox or found there", ["outcome"], registry=self.registry
        )
        self.cards = Counter("vbq_cards", "cards by hook and indicator", ["hook", "indicator"], registry=self.registry)
        self.hook_calls = Counter(
            "vbq_hook_calls",
            "hook calls by what was ordered and what came of it",
            ["hook", "trigger", "result"],
            registry=self.registry,
        )
        self.prefetch = Counter(
            "vbq_prefetch_problems", "prefetch that could not be had", ["key", "problem"], registry=self.registry
        )
        self.feedback = Counter(
            "vbq_card_feedback",
            "what clinicians did with cards",
            ["hook", "outcome", "reason", "model_version"],
            registry=self.registry,
        )
        self.registry.register(InboxGauges(stats))
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def watch(self, asked: Request, response: Response, seconds: float) -> None:
        """Count and time one request."""
        rule = asked.url_rule
        self.count(rule.rule if rule else "(none)", asked.method, response.status_code, seconds)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count and time one answer."""
        key = (route, method, status)
        found = self._known.get(key)
        if found is None:  # looking a metric up by its labels costs more than counting
            found = self._known[key] = (self.requests.labels(*key), self.seconds.labels(key[0]))
        found[0].inc()
        found[1].observe(seconds)

    def page(self) -> Response:
        """GET /metrics."""
        return Response(generate_latest(self.registry), content_type=CONTENT_TYPE_LATEST)
