"""Recalibration from a plain cohort file: the numbers of R's glm, and words for files that cannot be used."""

import csv
import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ModelRefused
from schemas.model import ModelArtefact
from vbq.cohort.artefact import Labels, to_artefact
from vbq.cohort.data.reading import read_table
from vbq.cohort.errors import UnusableCohort
from vbq.cohort.fit import Request
from vbq.cohort.fitting import fit_cohort
from vbq.monitor.cohort_file import Asked, people_of_file
from vbq.monitor.recalibration import Times, fit
from vbq.risk.published import build

GOLDEN = Path(__file__).parents[2] / "golden" / "reference_r"
DAYS = Asked("time", "status", "days")


def seen_at_visits(n: int) -> bytes:
    """A CSV of made-up women who were seen once, after five years or later."""
    rng = np.random.default_rng(5)
    vbq, t, years = rng.normal(4.2, 0.6, n), rng.normal(-2.4, 1.2, n), 5 + rng.gamma(0.9, 1.6, n)
    event = rng.exponential(1 / (0.07 * np.exp(0.7 * (vbq - 4.2) - 0.5 * (t + 2.4)))) < years
    rows = zip(vbq, t, event.astype(int), years, strict=True)
    return "\n".join(["vbq,t_score,event,follow_up", *(f"{v:.2f},{s:.1f},{e},{y:.2f}" for v, s, e, y in rows)]).encode()


def half(odd: bool) -> bytes:
    header, *rows = (GOLDEN / "pbc.csv").read_text().splitlines()
    return "\n".join([header, *rows[0 if odd else 1 :: 2]]).encode()


@pytest.fixture(scope="module")
def model() -> ModelArtefact:
    request = Request("time", "status", ("age", "bili", "albumin"))
    labels = Labels("half", "1.0.0", "odd.csv", "0" * 64, dt.date(2026, 1, 1), 5.0, time_unit="days")
    return to_artefact(fit_cohort(read_table(half(odd=True), "odd.csv"), request), labels)


@pytest.mark.parametrize("slope", [True, False])
@pytest.mark.parametrize("times", ["exact", "visit"])
def test_intercept_and_slope_are_those_of_rs_glm(model: ModelArtefact, times: Times, slope: bool) -> None:
    with (GOLDEN / "recalibration.csv").open(newline="") as stream:
        theirs = {row["fit"]: row for row in csv.DictReader(stream)}[times if slope else f"{times} intercept"]
    asked = replace(DAYS, times=times)
    people = people_of_file(model, read_table(half(odd=False), "even.csv"), asked).people
    found = fit(model, people, times, slope=slope)
    errors = np.sqrt(np.diag(found.covariance))
    ours = {"intercept": found.intercept, "slope": found.slope, "se_intercept": errors[0], "se_slope": errors[1]}
    assert ours == {name: pytest.approx(float(theirs[name]), rel=1e-7, abs=1e-9) for name in ours}


def test_the_published_model_reads_a_cohort_file_and_sees_that_its_times_are_visits() -> None:
    file = seen_at_visits(400)
    found = people_of_file(build(), read_table(file, "cohort.csv"), Asked())
    assert found.times == "visit"
    assert any("the times look like those of the visit" in text for text in found.notes)
    assert len(found.people.event) == 400
    low, high = fit(build(), found.people, found.times, slope=True).slope_interval
    assert low < high
    said = people_of_file(build(), read_table(file, "cohort.csv"), Asked(times="exact", unit="years"))
    assert said.times == "exact"
    assert said.notes == ("the times look like those of visits, and --times exact was said; it is used",)


GOOD = "vbq,t_score,event,follow_up\n4.2,-2.1,1,5.5\n"


@pytest.mark.parametrize(
    ("text", "asked", "words"),
    [
        (GOOD + "4.1,-2.0,0,0\n", Asked(), "column 'follow_up', line 3: no follow-up"),
        (GOOD + "4.1,-2.0,0,-1\n", Asked(), "line 3: negative follow-up"),
        (GOOD + "41,-2.0,0,5\n", Asked(), "column 'vbq', line 3: outside .* where the model refuses"),
        (GOOD + "4.1,-2.0,2,5\n", Asked(), "column 'event', line 3: not 0 or 1"),
        (GOOD + "4.1,x,0,5\n", Asked(), "column 't_score': line 3: text"),
        (GOOD + "4.1,-2.0,0,600\n", Asked(), "hardly years; say --time-unit"),
        (GOOD, Asked(unit="days"), "hardly in days"),
        (GOOD, Asked(time="when"), "no column 'when'"),
        (GOOD.replace("event", "outcome_of_it"), Asked(), "known as event; name it with --event"),
        (GOOD.replace("t_score", "tt"), Asked(), "no column 't_score'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_place(text: str, asked: Asked, words: str) -> None:
    with pytest.raises(UnusableCohort, match=words):
        people_of_file(build(), read_table(text.encode(), "c.csv"), asked)


def test_a_cox_model_of_visits_has_nothing_to_recalibrate() -> None:
    table = read_table(seen_at_visits(200), "visits.csv")
    fitted = fit_cohort(table, Request("follow_up", "event", ("vbq", "t_score")))
    served = to_artefact(fitted, Labels("visits", "1.0.0", "v.csv", "0" * 64, dt.date(2026, 1, 1), 5.0))
    with pytest.raises(ModelRefused, match="no risk to recalibrate"):
        people_of_file(served, table, Asked())


def test_people_with_one_and_the_same_risk_have_no_slope() -> None:
    rows = "".join(f"4.2,-2.1,{k % 2},5.5\n" for k in range(60))
    people = people_of_file(
        build(), read_table(f"vbq,t_score,event,follow_up\n{rows}".encode(), "c.csv"), Asked()
    ).people
    with pytest.raises(ModelRefused, match="everybody the same risk"):
        fit(build(), people, "visit", slope=True)
    assert fit(build(), people, "visit", slope=False).events == 30
