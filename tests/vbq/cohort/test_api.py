"""The notebook's way in."""

import datetime as dt
import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from schemas.errors import VbqError
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
    assert validation.summary.loc["concordance", "corrected"] == validation.document["concordance"]["corrected"]
    assert list(validation.summary.index) == ["concordance", "slope", "brier", "ipa"]
    assert validation.plot().get_ylabel() == "Observed risk"
    with pytest.raises(NoFit, match="visits, not events"):
        fit_model(frame, **chosen).predict(frame, [6.0])


def test_a_report_has_table_2_and_roc_curves(frame) -> None:
    found = report_cohort(frame)
    assert set(found.summary["model"]) == {"unadjusted", "mutual"}
    assert found.plot().get_ylabel() == "Sensitivity"
    assert np.isfinite(found.document["correlation"]["r"])
    assert check_cohort(frame).ok


def test_a_check_lists_its_problems_and_draws_what_is_missing(frame) -> None:
    frame.loc[4, "vbq"] = 400.0
    frame.loc[frame.index[:150], "age"] = np.nan
    found = check_cohort(frame)
    assert not found.ok
    wrong = found.summary.query("severity == 'error'")
    assert (wrong["column"].tolist(), wrong["rows"].tolist()) == (["vbq"], [[5]])
    bars = {row.get_text(): bar.get_width() for row, bar in zip(*drawn(found.plot()), strict=True)}
    assert bars["age"] == 50.0
    assert bars["vbq"] == 0.0


def drawn(ax):
    return ax.get_yticklabels(), ax.patches


def test_everything_is_drawn_onto_axes_of_the_caller_without_a_display(frame, tmp_path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8))
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).ravel()
    model = fit_model(frame, time="follow_up", event="event", covariates=["vbq", "t_score"], kind="current-status")
    results = (model, report_cohort(frame), check_cohort(frame), model.validate(frame, bootstrap=20))
    assert [result.plot(ax) for result, ax in zip(results, axes, strict=True)] == list(axes)
    assert all(isinstance(result.summary, pd.DataFrame) for result in results)
    figure.savefig(tmp_path / "all.png")
    assert (tmp_path / "all.png").stat().st_size > 10_000


def test_the_notebook_s_names_need_no_display_library() -> None:
    words = "import sys; from vbq.cohort import fit_model; print('matplotlib' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_results_show_themselves_without_anybodys_values(frame) -> None:
    model = fit_model(frame, time="follow_up", event="event", covariates=["vbq", "t_score"], kind="current-status")
    assert repr(model).startswith("Current-status model")
    assert "external validation on" in repr(model.validate(frame.head(150), bootstrap=20))
    assert repr(check_cohort(frame)).endswith("sound")
    assert repr(report_cohort(frame)).startswith(f"Report on {len(frame)} people")
    assert "array(" not in repr(model)


def test_completion_shows_the_names_for_notebooks() -> None:
    import vbq.cohort

    assert {"fit_model", "report_cohort", "check_cohort"} <= set(dir(vbq.cohort))
    assert all(getattr(vbq.cohort, name).__doc__ for name in dir(vbq.cohort))


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda f: f.to_dict(), {}, "give a pandas DataFrame"),
        (lambda f: pd.concat([f, f["vbq"]], axis=1), {}, "column vbq occurs more than once"),
        (lambda f: f.iloc[:0], {}, "no rows"),
        (lambda f: f.assign(vbq=[4.2, "high"] * (len(f) // 2)), {}, "text where a number is expected"),
        (lambda f: f, {"kind": "coxx"}, "kind is 'coxx'; it can be cox or current-status"),
        (lambda f: f, {"ties": "exact"}, "ties is 'exact'"),
        (lambda f: f, {"splines": {"age": 4}}, "not among the covariates"),
    ],
)
def test_a_wrong_call_is_answered_in_words(frame, change, options, words) -> None:
    with pytest.raises(VbqError, match=words):
        fit_model(change(frame), time="follow_up", event="event", covariates="vbq", **options)


def test_one_covariate_and_one_time_need_no_list(frame) -> None:
    model = fit_model(frame, time="follow_up", event="event", covariates="vbq", kind="current-status")
    assert list(model.predict(frame.head(2), 5)["time"]) == [5.0, 5.0]
