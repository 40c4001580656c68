"""One look at a model at work: everything that `vbq model monitor` reports, as a document without patients."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

from schemas.config import MonitoringPolicy
from schemas.model import Covariate, ModelArtefact
from vbq.monitor.drift import Group, groups, reference_of, shift, training_reference
from vbq.monitor.observed import Observed

OWN_PAST = "this site before"


class Alert(NamedTuple):
    """A figure beyond its threshold, in words."""

    code: str
    what: str
    text: str


def watch(
    model: ModelArtefact,
    now: Sequence[Observed],
    before: Sequence[Observed],
    policy: MonitoringPolicy,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The figures of the window `now`, compared with the training data and with the site's own past (`before`)."""
    names = [row.name for row in model.covariates]
    document: dict[str, Any] = {
        "model": model.id,
        "version": model.version,
        "outcome": model.outcome,
        "horizon": f"{model.horizon:g} {model.time_unit}",
        "labels": {row.name: _label(row) for row in model.covariates} | {"risk": "risk"},
        "images": _span(now),
        "n": len(now),
        "n_before": len(before),
        "states": dict(Counter(row.state for row in now).most_common()),
        "missing": {name: _missing(now, name) for name in names},
        "missing_before": {name: _missing(before, name) for name in names},
        "drift": {name: _drift(model, name, now, before) for name in [*names, "risk"]},
        "outside_training": _share([row.outside_training for row in now if row.risk is not None]),
        "classes": dict(Counter(row.risk_class for row in now if row.risk_class)),
        "by_scanner": [row._asdict() for row in _groups(now, "scanner")],
        "by_field_strength": [row._asdict() for row in _groups(now, "field_strength")],
        "by_method": [row._asdict() for row in _groups(now, "method")],
        "months": _months(now),
        "calibration": calibration,
    }
    document["alerts"] = [alert._asdict() for alert in alerts(document, policy)]
    return document


def _label(row: Covariate) -> str:
    """The covariate for people, with its unit where that is more than a number."""
    unit = f", {row.unit}" if row.unit not in {"", "1"} and not row.unit.startswith("{") else ""
    return f"{row.label}{unit}"


def _span(rows: Sequence[Observed]) -> dict[str, str] | None:
    """First and last month of the images: a day might point to one patient."""
    months = sorted(row.day.strftime("%Y-%m") for row in rows)
    return {"since": months[0], "until": months[-1]} if months else None


def alerts(document: Mapping[str, Any], policy: MonitoringPolicy) -> list[Alert]:
    """What lies beyond the thresholds of the configuration. Small samples raise none."""
    found: list[Alert] = []
    if document["n"] >= policy.smallest_sample:
        found += _drift_alerts(document, policy)
        found += _missing_alerts(document, policy)
    for kind in ("by_scanner", "by_field_strength", "by_method"):
        found += _group_alerts(kind, document[kind], policy)
    if document["calibration"]:
        found += _calibration_alerts(document["calibration"], policy)
    return found


def _drift_alerts(document: Mapping[str, Any], policy: MonitoringPolicy) -> list[Alert]:
    return [
        Alert("drift", name, f"{name}: PSI {row['psi']:.2f} against {row['source']}, above {policy.psi_alert:g}")
        for name, rows in document["drift"].items()
        for row in rows["shifts"]
        if row["psi"] - row["expected"] > policy.psi_alert
    ]


def _missing_alerts(document: Mapping[str, Any], policy: MonitoringPolicy) -> list[Alert]:
    return [
        Alert("missing", name, f"{name}: missing in {share:.0%}, above {policy.missing_alert:.0%}")
        for name, share in document["missing"].items()
        if share is not None and share > policy.missing_alert
    ]


def _group_alerts(kind: str, rows: Sequence[Mapping[str, Any]], policy: MonitoringPolicy) -> list[Alert]:
    return [
        Alert(
            "vbq-differs",
            f"{kind}: {row['name']}",
            f"VBQ of {row['name']}: {row['difference_sd']:+.2f} SD from the others ({row['n']} measurements), beyond "
            f"{policy.group_difference_sd:g} SD",
        )
        for row in rows
        if row["n"] >= policy.smallest_group
        and row["difference_sd"] is not None
        and abs(row["difference_sd"]) > policy.group_difference_sd
    ]


def _calibration_alerts(figures: Mapping[str, Any], policy: MonitoringPolicy) -> list[Alert]:
    low, high = figures["observed_to_expected_interval"]
    ratio, found = figures["observed_to_expected"], []
    if (ratio > policy.observed_to_expected_high and low > 1) or (ratio < policy.observed_to_expected_low and high < 1):
        text = f"{ratio:.2f} times as many events as expected (95 % interval {low:.2f} to {high:.2f}); recalibrate"
        found.append(Alert("calibration", "observed to expected", text))
    slope, (low, high) = figures["slope"], figures["slope_interval"]
    if (high < 1 or low > 1) and not policy.slope_low <= slope <= policy.slope_high:
        text = f"calibration slope {slope:.2f} (95 % interval {low:.2f} to {high:.2f}); recalibrate"
        found.append(Alert("calibration", "slope", text))
    return found


def _values(rows: Sequence[Observed], name: str) -> list[float]:
    if name == "risk":
        return [row.risk for row in rows if row.risk is not None]
    return [row.inputs[name] for row in rows if name in row.inputs]


def _drift(model: ModelArtefact, name: str, now: Sequence[Observed], before: Sequence[Observed]) -> dict[str, Any]:
    values = _values(now, name)
    references = (training_reference(model, name), reference_of(_values(before, name), OWN_PAST))
    shifts = [found for row in references if row is not None and (found := shift(values, row)) is not None]
    return {
        "n": len(values),
        "mean": fmean(values) if values else None,
        "median": median(values) if values else None,
        "shifts": [row._asdict() for row in shifts],
    }


def _missing(rows: Sequence[Observed], name: str) -> float | None:
    return _share([name not in row.inputs for row in rows])


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _groups(rows: Sequence[Observed], kind: str) -> list[Group]:
    return groups([(getattr(row, kind) or "not stated", row.inputs["vbq"]) for row in rows if "vbq" in row.inputs])


def _months(rows: Sequence[Observed]) -> list[dict[str, Any]]:
    found: dict[dt.date, list[Observed]] = {}
    for row in rows:
        found.setdefault(row.day.replace(day=1), []).append(row)
    return [
        {
            "month": month.strftime("%Y-%m"),
            "n": len(mine),
            "vbq": fmean(vbq) if (vbq := _values(mine, "vbq")) else None,
            "risk": fmean(risk) if (risk := _values(mine, "risk")) else None,
        }
        for month, mine in sorted(found.items())
    ]
