"""Times in years, months or days give one and the same model; a unit that cannot be is not served."""

import csv
import datetime as dt
import json
import math
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from commands.model_fit import fit, predict
from schemas.errors import ModelRefused
from schemas.model import PER_YEAR, ModelArtefact
from vbq.cohort.artefact import doubt_of_unit
from vbq.monitor.recalibration import cumulative_hazard
from vbq.risk.score import Stated, score
from vbq.risk.score import predict as risk_of


def call(command: click.Command, *arguments: object) -> object:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same 300 synthetic women, followed for up to nine years, in each unit."""
    rng = np.random.default_rng(5)
    n = 300
    vbq, t_score = rng.normal(3.9, 0.4, n).round(2), rng.normal(-2.3, 0.8, n).round(2)
    hazard = 0.05 * np.exp(0.8 * (vbq - 3.9) - 0.4 * (t_score + 2.3))
    event_time, end = rng.exponential(1 / hazard), rng.uniform(2.0, 9.0, n)
    time, event = np.minimum(event_time, end), (event_time <= end).astype(int)
    folder = tmp_path_factory.mktemp("units")
    made: dict[str, Path] = {}
    for unit, per_year in PER_YEAR.items():
        path = folder / f"{unit}.csv"
        rows = [
            f"{t * per_year!r},{e},{v},{s}"
            for t, e, v, s in zip(time.tolist(), event.tolist(), vbq, t_score, strict=True)
        ]
        path.write_text("follow_up,event,vbq,t_score\n" + "\n".join(rows) + "\n")
        made[unit] = path
    return made


def fitted(path: Path, out: Path, *options: str) -> tuple[ModelArtefact, str]:
    done = call(
        fit, path, "--time", "follow_up", "--event", "event", "--covariates", "vbq,t_score", "--out", out, *options
    )
    assert done.exit_code == 0, done.output  # type: ignore[attr-defined] # click's Result
    return ModelArtefact.model_validate_json(out.read_bytes()), done.stderr  # type: ignore[attr-defined] # as above


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("unit", ["months", "days"])
def test_the_unit_of_the_times_changes_no_risk(cohorts: dict[str, Path], tmp_path: Path, unit: str) -> None:
    years, _ = fitted(cohorts["years"], tmp_path / "y.json", "--time-unit", "years")
    other, _ = fitted(cohorts[unit], tmp_path / "o.json", "--time-unit", unit)
    assert (years.time_unit, other.time_unit) == ("years", unit)
    assert other.horizon == pytest.approx(5 * PER_YEAR[other.time_unit])
    inputs = {"vbq": Stated(4.3, "1"), "t_score": Stated(-2.9, "{T-score}")}
    for horizon in (None, 3.0):
        one, two = risk_of(years, inputs, horizon), risk_of(other, inputs, horizon)
        assert one.horizon_years == two.horizon_years == (horizon or 5.0)
        assert (two.risk, two.lower, two.upper) == pytest.approx((one.risk, one.lower, one.upper), rel=1e-9)
    assert score(other, inputs, on=dt.date(2026, 1, 1)).horizon_years == 5.0
    moments = np.array([1.0, 4.0, 6.0])
    assert cumulative_hazard(other, moments) == pytest.approx(cumulative_hazard(years, moments), rel=1e-9)
    with pytest.raises(ModelRefused, match=unit):
        risk_of(other, inputs, 30.0)


def test_predictions_are_asked_for_in_any_unit(cohorts: dict[str, Path], tmp_path: Path) -> None:
    fitted(cohorts["days"], tmp_path / "d.json", "--time-unit", "days")
    found = {}
    for unit, times in (("years", "1,4"), ("days", "365.25,1461")):
        out = tmp_path / f"{unit}.csv"
        options = ("--data", cohorts["days"], "--times", times, "--time-unit", unit, "--out", out)
        assert call(predict, tmp_path / "d.json", *options).exit_code == 0  # type: ignore[attr-defined] # click's Result
        rows = rows_of(out)
        assert {row["time"] for row in rows} == {repr(float(time)) for time in times.split(",")}
        found[unit] = [float(row["survival"]) for row in rows]
    assert found["years"] == pytest.approx(found["days"], rel=1e-12)
    default = tmp_path / "default.csv"
    call(predict, tmp_path / "d.json", "--data", cohorts["days"], "--times", "365.25,1461", "--out", default)
    assert [float(row["survival"]) for row in rows_of(default)] == found["days"]


def test_a_unit_that_is_not_stated_must_be_plausible(cohorts: dict[str, Path], tmp_path: Path) -> None:
    years, said = fitted(cohorts["years"], tmp_path / "a.json")
    assert years.servable
    assert "taken to be years" in said
    for unit in ("months", "days"):
        model, said = fitted(cohorts[unit], tmp_path / "b.json")
        assert not model.servable
        assert "--time-unit" in said
        with pytest.raises(ModelRefused, match="--time-unit"):
            risk_of(model, {"vbq": Stated(4.0, "1"), "t_score": Stated(-2.0, "{T-score}")})
    wrong, said = fitted(cohorts["days"], tmp_path / "c.json", "--time-unit", "years")
    assert not wrong.servable
    assert "not in years" in said
    wrong, said = fitted(cohorts["years"], tmp_path / "d.json", "--time-unit", "days")
    assert not wrong.servable
    assert "hardly in days" in said


def test_whether_a_unit_can_be() -> None:
    assert doubt_of_unit(9.0, None) is None
    assert doubt_of_unit(108.0, None) is not None
    assert doubt_of_unit(108.0, "months") is None
    assert doubt_of_unit(3287.0, "days") is None
    assert doubt_of_unit(math.nextafter(120.0, 121.0), "years") is not None
    assert doubt_of_unit(9.0, "days") is not None


def test_the_unit_is_part_of_the_file(cohorts: dict[str, Path], tmp_path: Path) -> None:
    fitted(cohorts["months"], tmp_path / "m.json", "--time-unit", "months")
    document = json.loads((tmp_path / "m.json").read_text())
    assert (document["time_unit"], document["horizon"]) == ("months", 60.0)
