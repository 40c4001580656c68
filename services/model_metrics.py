"""What Prometheus scrapes of the model: which one is active, and the figures of the last `vbq model monitor`."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateways.registry.models import Models
from gateways.registry.monitoring import Monitoring
from schemas.errors import ModelRefused, Unavailable


class ModelGauges(Collector):
    """Read when it is scraped; what cannot be read is left out. Nothing of a patient."""

    def __init__(self, models: Models, monitoring: Monitoring) -> None:
        self._models = models
        self._monitoring = monitoring

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            yield self._deployed()
            last = self._monitoring.last()
        except (ModelRefused, Unavailable):
            return
        if last is not None:
            yield from gauges(*last)

    def _deployed(self) -> GaugeMetricFamily:
        active, state = self._models.deployed(), self._models.state()
        names = ["id", "version", "digest", "stage"]
        found = GaugeMetricFamily("vbq_model_info", "the model that is deployed; 0: it may not score", labels=names)
        model = active.artefact
        stage = state.stage(active.digest)
        found.add_metric([model.id, model.version, active.digest, stage], float(stage == "active"))
        return found


def gauges(created: float, figures: Mapping[str, Any]) -> Iterator[GaugeMetricFamily]:
    """The last run's figures as gauges."""
    yield GaugeMetricFamily("vbq_monitor_run_timestamp_seconds", "when the model was last monitored", value=created)
    yield GaugeMetricFamily("vbq_monitor_assessments", "patients in the window", value=figures["n"])
    yield GaugeMetricFamily("vbq_monitor_alerts", "figures beyond their thresholds", value=len(figures["alerts"]))
    psi = GaugeMetricFamily("vbq_monitor_psi", "population stability index", labels=["name", "against"])
    for name, row in figures["drift"].items():
        for shift in row["shifts"]:
            psi.add_metric([name, shift["source"]], shift["psi"])
    yield psi
    missing = GaugeMetricFamily("vbq_monitor_missing_share", "share of patients who lack an input", labels=["name"])
    for name, share in figures["missing"].items():
        if share is not None:
            missing.add_metric([name], share)
    yield missing
    tesla = GaugeMetricFamily("vbq_monitor_vbq_mean", "mean VBQ by field strength", labels=["field_strength"])
    for row in figures["by_field_strength"]:
        tesla.add_metric([row["name"]], row["mean"])
    yield tesla
    calibration = figures["calibration"]
    if calibration:
        for name in ("observed_to_expected", "intercept", "slope"):
            yield GaugeMetricFamily(
                f"vbq_monitor_{name}", "calibration: " + name.replace("_", " "), value=calibration[name]
            )
