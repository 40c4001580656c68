"""A Cox fit served as an artefact gives what R's survfit gives: the same survival, the same limit."""

import csv
from pathlib import Path

import numpy as np
import pytest

from schemas.model import Baseline, BaselinePoint, ModelArtefact, Span
from vbq.cohort.survival.cox import fit_cox
from vbq.risk.artefact import canonical, parse
from vbq.risk.score import Scorer, Stated

FOLDER = Path(__file__).parents[2] / "golden" / "reference_r"


def columns(name: str) -> tuple[list[str], np.ndarray]:
    with (FOLDER / name).open(newline="") as stream:
        header, *rows = csv.reader(stream)
    return header, np.array([[float(cell) for cell in row] for row in rows])


def served(published: ModelArtefact, header: list[str], rows: np.ndarray) -> ModelArtefact:
    """The Efron fit of the data as a model file, written and read again."""
    names, X = header[2:], rows[:, 2:]
    fit = fit_cox(X, rows[:, 0], rows[:, 1], names)
    b = fit.baseline
    wide = Span(low=-1e9, high=1e9)
    covariates = [
        published.covariates[0].but(
            name=name, unit="1", centre=float(c), coefficient=float(beta), training=None, physiological=wide
        )
        for name, c, beta in zip(names, fit.centre, fit.coefficients, strict=True)
    ]
    points = [
        BaselinePoint(time=float(t), cumulative_hazard=float(h), variance=float(v), mean=m.tolist())
        for t, h, v, m in zip(b.time, b.hazard, b.variance, b.mean, strict=True)
    ]
    model = ModelArtefact.model_validate(
        {
            **dict(published),
            "kind": "cox",
            "interval": "log",
            "covariates": covariates,
            "covariance": fit.covariance.tolist(),
            "baseline": Baseline(form="steps", points=points, support=Span(low=0.0, high=fit.longest_time)),
        }
    )
    return parse(canonical(model))


@pytest.mark.parametrize("name", ["gbsg", "lung", "pbc", "rossi"])
def test_survival_and_its_lower_limit_are_those_of_r(published, name) -> None:
    header, rows = columns(f"{name}.csv")
    model = served(published, header, rows)
    _, survival = columns(f"{name}_efron_surv.csv")
    _, lower = columns(f"{name}_efron_lower.csv")
    for line, limit in zip(survival, lower, strict=True):
        scorer = Scorer(model, float(line[0]))
        for person, (theirs, their_limit) in enumerate(zip(line[1:], limit[1:], strict=True)):
            values = dict(zip(header[2:], rows[person, 2:].tolist(), strict=True))
            found = scorer({key: Stated(value, "1") for key, value in values.items()})
            assert 1.0 - found.risk == pytest.approx(theirs, rel=1e-7)
            assert 1.0 - found.upper == pytest.approx(their_limit, rel=1e-7)
