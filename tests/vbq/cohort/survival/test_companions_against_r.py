"""What stands beside the Cox model, against R 4.2: glm, survfit, survdiff, dfbeta, concordance (survival 3.5.3)."""

import numpy as np
import pytest

from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.cox import fit_cox
from vbq.cohort.survival.current_status import fit_current_status
from vbq.cohort.survival.influence import dfbeta
from vbq.cohort.survival.kaplan_meier import kaplan_meier, log_rank


@pytest.fixture
def lung(reference):
    """Age and sex, time and status of `lung`."""
    data = reference.dataset("lung")
    return data.X[:, [data.names.index("age"), data.names.index("sex")]], data.time, data.event


def test_the_current_status_model_is_glm_with_cloglog_and_offset(lung) -> None:
    X, time, event = lung
    fit = fit_current_status(X, time, event, ["age", "sex"])
    assert fit.intercept - fit.centre @ fit.coefficients == pytest.approx(-6.18565215617603, rel=1e-7)
    np.testing.assert_allclose(fit.coefficients, [0.0277157553368063, -0.762832752573813], rtol=1e-7)
    np.testing.assert_allclose(fit.standard_errors, [0.0111457899725725, 0.20358073352372], rtol=1e-6)
    assert fit.log_likelihood == pytest.approx(-179.684969601863, rel=1e-10)


def test_kaplan_meier_and_log_rank_are_survfit_and_survdiff(lung) -> None:
    X, time, event = lung
    km = kaplan_meier(time, event)
    np.testing.assert_allclose(km.at(np.array([100.0, 300.0])), [0.877859751099188, 0.549461027571469], rtol=1e-12)
    np.testing.assert_allclose(km.limits_at(100.0), [0.834954177912439, 0.922970101816467], rtol=1e-12)
    chi, _ = log_rank(time, event, X[:, 1].astype(np.int64))
    assert chi == pytest.approx(9.5975608336131, rel=1e-10)


def test_dfbeta_and_the_error_of_concordance_are_those_of_survival(lung) -> None:
    X, time, event = lung
    fit = fit_cox(X, time, event, ["age", "sex"])
    ours = dfbeta(fit)[:3]
    theirs = [
        [-0.000116886612479667, 0.00388717140446114],
        [0.00206989083280231, 0.0300948710634207],
        [-0.000388993774413871, -0.00624486861341888],
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-7)
    found = concordance(fit.fitted_predictor, time, event)
    assert found.standard_error == pytest.approx(0.0271344833511437, rel=1e-10)
