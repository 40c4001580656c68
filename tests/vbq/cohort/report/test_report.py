"""The report of any cohort."""

import json
from importlib.resources import files

import numpy as np
import pytest

from vbq.cohort.data.reading import read_table
from vbq.cohort.data.standard import bone_status, dxa_classes, standard_cohort
from vbq.cohort.describe import compare_categories, compare_number
from vbq.cohort.errors import UnusableCohort
from vbq.cohort.report.analysis import analyse
from vbq.cohort.report.document import document_of, html_of


def analysed(data: bytes, replicates: int = 0):
    return analyse(standard_cohort(read_table(data, "made-up.csv")), replicates, 1)


def test_a_report_says_what_it_can_and_names_what_it_cannot(visits) -> None:
    a = analysed(visits(), 30)
    document = json.loads(json.dumps(document_of(a), allow_nan=False))
    assert (document["n"], document["events"]) == (300, int(a.cohort.event.sum()))
    assert document["correlation"]["r"] < -0.2
    assert document["cox"]["mutual"]["vbq"]["hr"] > 1
    assert document["current_status"]["mutual"]["vbq"]["hr"] > document["cox"]["mutual"]["vbq"]["hr"]
    assert document["cox"]["adjusted"] == {}
    assert any("lacks weight, crcl, alp" in text for text in document["warnings"])
    assert document["models"][0]["optimism"]["concordance"]["corrected"] < 1


def test_both_numbers_of_a_contradiction_are_shown(visits) -> None:
    a = analysed(visits())
    template = files("vbq.cohort.report").joinpath("report.html").read_text(encoding="utf-8")
    page = html_of(a, template, "Made for a test.")
    for number in ("57 ± 10.3 kg", "55.05 ± 9.60 kg", "71.3 ± 7.2", "sensitivity 0.79, specificity 0.52"):
        assert number in page
    assert page.count("<svg") >= 4
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page


def test_a_cells_text_never_becomes_markup(visits) -> None:
    lines = visits(120).decode().splitlines()
    hostile = [lines[0] + ",ethnicity", *(line + ",<script>alert(1)</script>" for line in lines[1:])]
    template = files("vbq.cohort.report").joinpath("report.html").read_text(encoding="utf-8")
    assert "<script" not in html_of(analysed("\n".join(hostile).encode()), template, "")


def test_table_1_recomputes_the_paper_s_own_p_values() -> None:
    event = np.arange(137) < 54

    def column(mean_1: float, sd_1: float, mean_0: float, sd_0: float):
        rng = np.random.default_rng(1)
        a, b = rng.normal(size=54), rng.normal(size=83)
        return np.r_[(a - a.mean()) / a.std(ddof=1) * sd_1 + mean_1, (b - b.mean()) / b.std(ddof=1) * sd_0 + mean_0]

    phosphorus = compare_number("p", "p", "", column(1.13, 0.17, 1.17, 0.2), event)
    weight = compare_number("w", "w", "", column(51.9, 10, 57.1, 8.8), event)
    assert phosphorus.p == pytest.approx(0.228, abs=0.002)
    assert weight.total["mean"] == pytest.approx(55.05, abs=0.01)
    assert weight.total["sd"] == pytest.approx(9.60, abs=0.01)
    history = compare_categories("h", "h", ["yes"] * 42 + ["no"] * 12 + ["yes"] * 8 + ["no"] * 75, event)
    assert history.p is not None
    assert history.p < 0.001


def test_who_classes_with_a_fragility_fracture() -> None:
    assert dxa_classes(np.array([-1.0, -1.1, -1.1, -2.5, np.nan]), np.array([1, 0, 1, 0, 0])) == [
        "normal",
        "osteopenia",
        "osteoporosis",
        "osteoporosis",
        None,
    ]


def test_a_category_that_contradicts_its_t_score_is_told() -> None:
    data = b"dxa_category,t_score,event,follow_up\nnormal,-3,1,5\nosteoporosis,-3,0,5\n"
    _, notes = bone_status(standard_cohort(read_table(data, "f.csv")))
    assert "line 2" in notes[0]


def test_a_file_without_outcome_is_refused() -> None:
    with pytest.raises(UnusableCohort, match="no column for event"):
        standard_cohort(read_table(b"vbq,follow_up\n4,5\n", "f.csv"))


def test_a_column_without_a_value_costs_its_part_of_the_report_only(visits) -> None:
    lines = visits(120).decode().splitlines()
    a = analysed("\n".join([lines[0] + ",history_vf,weight", *(line + ",," for line in lines[1:])]).encode())
    assert "history_vf" not in a.cox["unadjusted"]
    assert "vbq" in a.cox["unadjusted"]
    assert any("no row has all of history_vf" in text for text in a.warnings)
    assert json.dumps(document_of(a), allow_nan=False)
