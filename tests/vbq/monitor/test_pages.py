"""The pages of monitoring and of a shadow model: what stands on them, above all where there is little to show."""

import datetime as dt
from statistics import NormalDist
from typing import Any

import pytest

from schemas.config import MonitoringPolicy
from vbq.monitor.comparison import compare
from vbq.monitor.observed import Observed
from vbq.monitor.pages import monitoring_page, shadow_page
from vbq.monitor.watch import watch
from vbq.risk.published import build

MADE = "2026-06-01 12:00 UTC"
MODEL = build()
NORMAL = [NormalDist().inv_cdf((k + 0.5) / 100) for k in range(100)]


def people(n: int, *, scanners: int = 1, months: int = 1) -> list[Observed]:
    return [
        Observed(
            day=dt.date(2024 + k % months // 12, 1 + k % months % 12, 1),
            state="complete",
            risk=0.1 + 0.001 * (k % 300),
            risk_class="moderate",
            outside_training=False,
            inputs={"vbq": 4.26 + 0.73 * NORMAL[k % 100], "t_score": -2.48 + 1.6 * NORMAL[k % 100]},
            method="automatic",
            scanner=f"Scanner {k % scanners}",
            field_strength="1.5 T",
            predictor=0.0,
        )
        for k in range(n)
    ]


def page(now: list[Observed], **calibration: Any) -> str:
    document = watch(MODEL, now, [], MonitoringPolicy(), calibration or None)
    window = {"since": "2026-03-01", "until": "2026-06-01"}
    thresholds = MonitoringPolicy().model_dump()
    missing = {"digest": "ab" * 32, "window": window, "thresholds": thresholds, "calibration_missing": "No outcomes."}
    return monitoring_page(document | missing, MADE)


def test_a_page_says_which_model_of_when_and_for_what_use() -> None:
    text = page(people(100, scanners=2, months=24))
    for words in (
        "lin2025-vbq-t 1.0.0",
        "within 5 years",
        "images of 2024-01 to 2025-12",
        "Research use",
        "ab" * 32,
        MADE,
    ):
        assert words in text
    assert "mean risk, %" in text
    assert "2024-01</text>" in text, "months are named on the axis"


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ([], ["Too few to judge", "Nobody was assessed in this window", "0 patients assessed"]),
        (people(1), ["1 patient assessed", "too few to tell", "one alone", "no other group", "No outcomes."]),
        (people(100), ["Nothing is beyond its threshold", "no other group"]),
    ],
)
def test_little_to_show_is_said_in_words(now: list[Observed], words: list[str]) -> None:
    text = page(now)
    for word in words:
        assert word in text
    assert "not known of" not in text


def test_a_shadow_without_scores_says_how_to_get_them() -> None:
    document = {"shadow": "own 1.0.0", "digest": "cd" * 32, "active": [], "since": None, **compare([])}
    text = shadow_page(document, [], MADE)
    assert "vbq model rescore --shadow" in text
    assert "Risk classes" not in text
    assert "<svg" not in text
