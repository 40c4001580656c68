"""Restricted cubic splines from the request to the model file and back."""

import datetime as dt
import hashlib

import numpy as np
import pytest

from vbq.cohort.artefact import Labels, to_artefact
from vbq.cohort.data.reading import read_table
from vbq.cohort.errors import NoFit
from vbq.cohort.fit import Request
from vbq.cohort.fitting import fit_cohort
from vbq.cohort.prediction import complete_matrix, curves_of
from vbq.cohort.validation.report import Asked, validate


def bent_cohort(n: int = 600) -> bytes:
    """People whose hazard has a valley in x and grows with z."""
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, n))
    time, censored = rng.exponential(8 * np.exp(-0.8 * x**2 - 0.5 * z)), rng.uniform(1, 15, n)
    rows = zip(x, z, np.minimum(time, censored), (time <= censored).astype(int), strict=True)
    return "\n".join(["x,z,time,event", *(f"{a:.4f},{b:.4f},{t:.4f},{e}" for a, b, t, e in rows)]).encode()


def test_a_spline_finds_a_valley_that_a_line_cannot_and_survives_the_model_file() -> None:
    data = bent_cohort()
    table = read_table(data, "f.csv")
    line = fit_cohort(table, Request("time", "event", ("x", "z")))
    bent = fit_cohort(table, Request("time", "event", ("x", "z"), splines=(("x", 4),)))
    assert bent.fit.names == ("x", "x'", "x''", "z")
    assert bent.concordance > line.concordance + 0.05
    assert any("non-linearity p = " in text for text in bent.warnings)
    digest = hashlib.sha256(data).hexdigest()
    model = to_artefact(bent, Labels("bent", "1.0.0", "f.csv", digest, dt.date(2025, 1, 1), 5.0))
    assert "spline" in (model.servable_reason or "")
    from_file = curves_of(model, complete_matrix(model, table), [3.0]).survival
    np.testing.assert_allclose(from_file, bent.fit.survival(bent.data.X, np.array([3.0])).survival, rtol=1e-10)
    checked = validate(model, table, Asked(replicates=20), digest).document
    assert checked["kind"] == "internal"


def test_a_spline_of_an_absent_or_two_valued_column_is_refused() -> None:
    rows = "\n".join(f"{i % 2},{i % 3 == 0:d},{i + 1}" for i in range(60))
    table = read_table(f"x,event,time\n{rows}\n".encode(), "f.csv")
    with pytest.raises(NoFit, match="too few different values"):
        fit_cohort(table, Request("time", "event", ("x",), splines=(("x", 3),)))
    with pytest.raises(NoFit, match="not among the covariates"):
        fit_cohort(table, Request("time", "event", ("x",), splines=(("y", 3),)))
