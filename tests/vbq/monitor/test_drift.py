"""The indices of drift: nothing where nothing changed, something where something did."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import MonitoringPolicy
from schemas.model import ModelArtefact
from vbq.monitor.comparison import compare
from vbq.monitor.drift import Reference, groups, reference_of, shift, training_reference
from vbq.monitor.observed import Observed, observed
from vbq.monitor.watch import watch
from vbq.risk.published import build

MODEL = build()


def normal(n: int, mean: float, sd: float, seed: int) -> list[float]:
    dice = random.Random(seed)
    return [dice.gauss(mean, sd) for _ in range(n)]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=300), st.integers(2, 8))
def test_the_index_is_never_negative(values, bins) -> None:
    edges = tuple(float(k) for k in range(1, bins))
    found = shift(values, Reference(edges, (1 / bins,) * bins, 100, "made up"))
    assert found is not None
    assert found.psi >= -1e-12


def test_psi_is_what_its_definition_says() -> None:
    found = shift([0.0] * 8000 + [2.0] * 2000, Reference((1.0,), (0.5, 0.5), None, "made up"))
    assert found is not None
    assert found.psi == pytest.approx(0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5), rel=1e-3)


def test_the_same_population_drifts_as_much_as_chance_says_and_another_one_more() -> None:
    reference = training_reference(MODEL, "vbq")
    assert reference is not None
    assert reference.source == "normal with the published mean and SD"
    psi = [shift(normal(200, 4.26, 0.73, seed), reference) for seed in range(200)]
    mean = sum(row.psi for row in psi if row) / len(psi)
    expected = 9 / 200  # the reference is exact here, whatever number of people it is said to rest on
    assert mean == pytest.approx(expected, rel=0.25)
    other = shift(normal(200, 4.26 + 0.73, 0.73, 1), reference)
    assert other is not None
    assert other.psi > 0.5


def test_a_reference_in_the_models_file_is_preferred() -> None:
    stored: ModelArtefact = MODEL.but(
        validation={"reference.vbq.edges": [4.0, 5.0], "reference.vbq.shares": [0.3, 0.5, 0.2]}
    )
    found = training_reference(stored, "vbq")
    assert found is not None
    assert (found.edges, found.source) == ((4.0, 5.0), "training data")
    assert training_reference(stored, "risk") is None
    assert training_reference(MODEL.but(kind="cox"), "vbq") is None


def test_few_or_equal_values_make_no_reference() -> None:
    assert reference_of([1.0] * 100, "past") is None
    assert reference_of(normal(19, 0, 1, 1), "past") is None
    assert reference_of(normal(20, 0, 1, 1), "past") is not None


def test_groups_are_compared_with_all_the_others() -> None:
    rows = [*(("1.5 T", value) for value in normal(100, 4.0, 0.5, 1)), *(("3 T", v) for v in normal(50, 5.0, 0.5, 2))]
    first, second = groups(rows)
    assert (first.name, first.n, second.name) == ("1.5 T", 100, "3 T")
    assert first.difference_sd == pytest.approx(-2.0, abs=0.6)
    assert groups([("1.5 T", 4.0)])[0].difference_sd is None


def stored(vbq: float | None, t: float | None, tesla: float = 1.5, **more: object) -> Observed:
    inputs = [{"name": name, "value": value} for name, value in (("vbq", vbq), ("t_score", t)) if value is not None]
    risk = {"risk": 0.2, "risk_class": "moderate", "flags": []} if len(inputs) == 2 else None
    body = {
        "state": "complete" if risk else "incomplete",
        "created": "2026-05-04T10:00:00Z",
        "inputs": [*inputs, {"name": "sex", "value": "female"}],
        "risk": risk,
        "measurement": {"method": "reader", "acquisition": {"study_date": "2026-05-01", "field_strength_t": tesla}},
        "patient": "Patient/secret",
        **more,
    }
    return observed(body, MODEL)


def test_what_monitoring_keeps_of_an_assessment_holds_no_patient() -> None:
    row = stored(4.5, -2.0)
    assert "secret" not in repr(row)
    assert row.field_strength == "1.5 T"
    assert row.predictor == pytest.approx(0.6259 * 0.24 - 0.2744 * 0.48, abs=1e-3)
    assert stored(4.5, None).predictor is None


def test_a_watch_over_the_same_population_raises_nothing_and_over_another_one_alerts() -> None:
    policy = MonitoringPolicy()
    vbq, t = normal(300, 4.26, 0.73, 1), normal(300, -2.48, 1.6, 2)
    calm = watch(MODEL, [stored(*pair) for pair in zip(vbq, t, strict=True)], [], policy)
    assert calm["alerts"] == []
    assert calm["missing"] == {"vbq": 0.0, "t_score": 0.0}
    now = [
        stored(v + (2.0 if i % 3 == 0 else 0.0), None if i % 2 else s, 3.0 if i % 3 == 0 else 1.5)
        for i, (v, s) in enumerate(zip(vbq, t, strict=True))
    ]
    loud = watch(MODEL, now, [], policy)
    assert {(row["code"], row["what"]) for row in loud["alerts"]} >= {
        ("drift", "vbq"),
        ("missing", "t_score"),
        ("vbq-differs", "by_field_strength: 3 T"),
    }
    few = watch(MODEL, now[:10], [], policy)
    assert few["alerts"] == []


class Row:
    def __init__(self, active: float | None, shadow: float | None, old: str | None, new: str | None) -> None:
        self.active_risk, self.risk, self.active_class, self.risk_class = active, shadow, old, new
        self.active_state = "complete" if active is not None else "incomplete"
        self.state = "complete" if shadow is not None else "refused"
        self.reason = None if shadow is not None else "input-missing"


def test_two_models_are_compared_on_those_for_whom_both_speak() -> None:
    rows = [Row(0.1, 0.2, "low", "moderate"), Row(0.3, 0.4, "high", "high"), Row(0.2, None, "moderate", None)]
    found = compare(rows)
    assert (found["n"], found["both"], found["active_alone"], found["other_class"]) == (3, 2, 1, 1)
    assert found["agreement"]["mean"] == pytest.approx(0.1)
    assert found["agreement"]["correlation"] == pytest.approx(1.0)
    assert found["classes"]["low"]["moderate"] == 1
    assert found["reasons"] == {"input-missing": 1}
    assert compare([])["agreement"] is None
