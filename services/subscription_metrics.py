"""Gauges of the subscriptions that notify us, by sender."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateways.fhir.subscriptions import Subscriptions
from schemas.errors import Unavailable


class SubscriptionGauges(Collector):
    """What is missing when it is scraped; nothing is reported while the database is away."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            rows = self._subscriptions.list()
        except Unavailable:
            return
        missing: Counter[str] = Counter()
        heard: dict[str, float] = {}
        for row in rows:
            missing[row.source] += row.missing
            heard[row.source] = max(heard.get(row.source, 0.0), row.heard_at)
        lost = GaugeMetricFamily(
            "vbq_subscription_missing", "events that a sender counted and we lack", labels=["sender"]
        )
        last = GaugeMetricFamily(
            "vbq_subscription_heard_seconds", "when a sender's subscription was last heard", labels=["sender"]
        )
        for sender, moment in sorted(heard.items()):
            lost.add_metric([sender], missing[sender])
            last.add_metric([sender], moment)
        yield lost
        yield last
