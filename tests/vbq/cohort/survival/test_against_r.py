"""The engine beside R's survival package, on four public datasets."""

import numpy as np
import pytest

from vbq.cohort.survival.concordance import concordance
from vbq.cohort.survival.cox import CoxFit, fit_cox
from vbq.cohort.survival.zph import proportional_hazards

DATASETS = ("gbsg", "lung", "pbc", "rossi")
TIES = ("efron", "breslow")
ENGINES = ("numpy", "compiled")
CLOSE = 1e-8  # the promise is 1e-6 relative


def fitted(reference, name: str, ties: str = "efron", engine: str = "numpy") -> CoxFit:
    data = reference.dataset(name)
    return fit_cox(data.X, data.time, data.event, data.names, ties=ties, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("name", DATASETS)
def test_coefficients_and_standard_errors_are_those_of_r(reference, name, ties, engine) -> None:
    fit = fitted(reference, name, ties, engine)
    theirs = reference.table(f"{name}_{ties}_coef.csv", labels=1)
    np.testing.assert_allclose(fit.coefficients, theirs[:, 0], rtol=CLOSE)
    np.testing.assert_allclose(fit.standard_errors, theirs[:, 1], rtol=CLOSE)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("name", DATASETS)
def test_survival_steps_where_r_steps_with_its_limits(reference, name, ties) -> None:
    fit = fitted(reference, name, ties)
    theirs = reference.table(f"{name}_{ties}_surv.csv")
    curves = fit.survival(reference.dataset(name).X[:20], theirs[:, 0])
    np.testing.assert_allclose(curves.survival.T, theirs[:, 1:], rtol=CLOSE)
    if ties == "efron":
        np.testing.assert_allclose(curves.lower.T, reference.table(f"{name}_efron_lower.csv")[:, 1:], rtol=CLOSE)


@pytest.mark.parametrize("name", DATASETS)
def test_the_baseline_at_zero_covariates_is_that_of_basehaz(reference, name) -> None:
    fit = fitted(reference, name)
    theirs = reference.table(f"{name}_efron_bh.csv")
    at_zero = np.exp(-fit.centre @ fit.coefficients)
    np.testing.assert_allclose(fit.baseline.at(theirs[:, 1])[0] * at_zero, theirs[:, 0], rtol=CLOSE, atol=1e-300)


@pytest.mark.parametrize("name", DATASETS)
def test_the_proportional_hazards_test_is_cox_zph(reference, name) -> None:
    test = proportional_hazards(fitted(reference, name))
    theirs = reference.table(f"{name}_efron_zph.csv", labels=1)
    np.testing.assert_allclose([*test.chi_square, test.global_chi_square], theirs[:, 0], rtol=CLOSE)
    np.testing.assert_allclose(list(test.as_dict().values()), theirs[:, 2], rtol=CLOSE)


@pytest.mark.parametrize("name", DATASETS)
def test_concordance_is_that_of_r_to_every_printed_digit(reference, name) -> None:
    data = reference.dataset(name)
    c = concordance(fitted(reference, name).fitted_predictor, data.time, data.event)
    assert c.c == pytest.approx(reference.concordance(name), abs=5.1e-8)
