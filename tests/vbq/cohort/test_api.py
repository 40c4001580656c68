"""The notebook's way in."""

import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest

from vbq.cohort import check_cohort, fit_model, report_cohort
from vbq.cohort.errors import NoFit


@pytest.fixture
def frame(visits) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(visits()))


def test_a_fit_has_a_summary_a_plot_and_predictions(frame) -> None:
    chosen = {"time": "follow_up", "event": "event", "covariates": ["vbq", "t_score"]}
    model = fit_model(frame, **chosen, kind="current-status")
    assert list(model.summary.index) == ["vbq", "t_score"]
    assert (model.summary["lower"] < model.summary["hr"]).all()
    assert model.plot().get_xlabel().startswith("Hazard ratio")
    curves = model.predict(frame.head(3), [2.0, 5.0])
    assert curves["row"].tolist() == [0, 0, 1, 1, 2, 2]
    assert (curves["lower"] <= curves["survival"]).all()
    assert model.artefact(created=dt.date(2025, 1, 1)).servable
    validation = model.validate(frame, bootstrap=30)
    assert validation.document["kind"] == "internal"
    with pytest.raises(NoFit, match="visits, not events"):
        fit_model(frame, **chosen).predict(frame, [6.0])


def test_a_report_has_table_2_and_roc_curves(frame) -> None:
    found = report_cohort(frame)
    assert set(found.summary["model"]) == {"unadjusted", "mutual"}
    assert found.plot().get_ylabel() == "Sensitivity"
    assert np.isfinite(found.document["correlation"]["r"])
    assert check_cohort(frame).ok
