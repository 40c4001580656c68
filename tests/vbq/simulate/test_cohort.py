"""Synthetic cohorts and the tables that come out of them."""

import numpy as np
import pytest

from vbq.cohort.data.check import check_table
from vbq.cohort.data.reading import read_table
from vbq.cohort.data.standard import standard_cohort
from vbq.cohort.errors import NoFit
from vbq.cohort.report.analysis import Analysis, analyse
from vbq.simulate.cohort import COLUMNS, classes_of, published_cohort, resampled, simulate_cohort
from vbq.simulate.cohort_targets import MARGINALS, N


@pytest.fixture(scope="module")
def analysed() -> Analysis:
    """The published cohort of seed 3, analysed. Annealing takes seconds, compiling some more at first."""
    return analyse(standard_cohort(read_table(simulate_cohort(N, 3).csv(), "synthetic.csv")), 0, 1)


def test_the_group_means_are_those_printed(analysed) -> None:
    rows = {row.name: row for row in analysed.table1}
    for m in MARGINALS:
        for summary, (mean, sd) in ((rows[m.name].event, m.event), (rows[m.name].no_event, m.other)):
            assert summary["mean"] == pytest.approx(mean, abs=0.5 * 10**-m.printed + 1e-9)
            assert summary["sd"] == pytest.approx(sd, abs=0.5 * 10**-m.printed + 1e-9)
    assert rows["dxa_category"].event["counts"] == {"normal": 3, "osteopenia": 9, "osteoporosis": 42}
    assert rows["history_vf"].event["counts"]["yes"] == 42


def test_the_published_hazard_ratios_come_out(analysed) -> None:
    published = {
        "unadjusted": {"vbq": 2.29, "t_score": 0.70, "history_vf": 6.6},
        "adjusted": {"vbq": 1.93, "t_score": 0.71},
        "mutual": {"vbq": 1.87, "t_score": 0.76},
    }
    for block, rows in published.items():
        for marker, ratio in rows.items():
            assert analysed.cox[block][marker]["hr"] == pytest.approx(ratio, rel=0.02)


def test_correlation_and_roc_curves_come_out(analysed) -> None:
    assert analysed.correlation.r == pytest.approx(-0.40, abs=0.01)
    areas = {name: curve.area.auc for name, curve in analysed.roc.items()}
    assert areas == pytest.approx({"vbq_osteoporosis": 0.67, "vbq_prior_vf": 0.72, "t_prior_vf": 0.78}, abs=0.01)
    assert analysed.visits.recognised


def test_a_seed_gives_one_cohort_and_another_seed_another() -> None:
    first, again, other = (published_cohort(seed, 50).csv() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_large_cohort_is_of_the_same_population_and_passes_the_check() -> None:
    base = published_cohort(1, 50)
    many = resampled(base, 20_000, np.random.default_rng(0))
    assert many.columns["event"].mean() == pytest.approx(54 / 137, abs=1e-4)
    for name in ("age", "vbq", "t_score", "crcl"):
        assert many.columns[name].mean() == pytest.approx(base.columns[name].mean(), rel=0.03)
        assert many.columns[name].std() == pytest.approx(base.columns[name].std(), rel=0.05)
    table = read_table(many.csv(), "synthetic.csv")
    assert table.columns == COLUMNS
    assert table.n == 20_000
    errors = [problem for problem in check_table(table).problems if problem.severity == "error"]
    assert errors == []


def test_classes_follow_the_who_rule() -> None:
    assert classes_of(np.array([-1.0, -1.1, -1.1, -2.5]), np.array([1, 0, 1, 0])).tolist() == [0, 1, 2, 2]


def test_a_cohort_too_small_to_analyse_is_refused() -> None:
    with pytest.raises(NoFit, match="cannot be analysed"):
        simulate_cohort(3, 1)
