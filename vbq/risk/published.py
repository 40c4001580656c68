"""How lin2025-vbq-t is made from the figures that Lin et al. printed (Spine 2025;50:1296-1302).

Printed: hazard ratios of VBQ and T together with their 95 % limits (Table 2, Model 2), the group sizes and the means
and SDs (Table 1). Not printed: the baseline, the covariance of the two estimates, individual follow-up. What stands in
for them is derived here and said in the model itself. scipy is imported by `calibrate` alone, never when serving.
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.model import (
    Baseline,
    BaselinePoint,
    Covariate,
    ModelArtefact,
    Population,
    RiskThresholds,
    Span,
    Training,
)
from vbq.risk.published_attributes import source_attributes

Z: Final = 1.959963984540054

N, EVENTS = 137, 54
VBQ_HR, VBQ_LIMITS, VBQ_MEAN, VBQ_SD = 1.87, (1.26, 2.78), 4.26, 0.73
T_HR, T_LIMITS, T_MEAN, T_SD = 0.76, (0.63, 0.92), -2.48, 1.60
VBQ_T_CORRELATION = -0.40  # printed as r = 0.4; the group means say that it is negative

# Not printed. Consistency with the unadjusted estimates bounds it to +.29 ... +.42; its sign follows from r = -.40,
# since two estimates correlate as minus their information does.
ESTIMATES_CORRELATION: Final = 0.42

# Follow-up of at least 5 years, 6.4 +- 1.5 (SD) on average: 5 + gamma with mean 1.4 and SD 1.5, and none beyond 12.5
# years (enrolled from 2012, submitted in 2024).
FOLLOW_UP_SHORTEST, FOLLOW_UP_LONGEST = 5.0, 12.5
GAMMA_SHAPE, GAMMA_SCALE = 0.87, 1.61
HORIZON: Final = 5.0

CREATED: Final = dt.date(2026, 11, 22)

# As the model carries them: `calibrate` gives them to the digits that are kept (tests/vbq/risk/test_published.py).
SURVIVAL_AT_HORIZON: Final = 0.701
SE_LOG_HAZARD: Final = 0.16


class Coefficient(NamedTuple):
    """log hazard ratio per unit, and its standard error."""

    beta: float
    se: float


def coefficient(ratio: float, limits: tuple[float, float]) -> Coefficient:
    """From a printed hazard ratio with 95 % limits that are symmetric on the log scale."""
    low, high = limits
    return Coefficient(math.log(ratio), math.log(high / low) / (2.0 * Z))


class Calibration(NamedTuple):
    """S0 at the horizon for a woman at the cohort's means, and the standard error of log H0."""

    survival: float
    se_log_hazard: float


def calibrate(*, weibull_shape: float = 1.0, events: int = EVENTS, n: int = N) -> Calibration:
    """The baseline for which the expected share of women with an event is events / n.

    H(t | x) = H0(5) (t / 5)^shape exp(lp); lp ~ Normal(0, sd of the linear predictor); t = follow-up as above.
    The error is that of the binomial share, carried through the calibration.
    """
    share = events / n
    se = math.sqrt(share * (1.0 - share) / n)
    low, mid, high = (_log_hazard(p, weibull_shape) for p in (share - se, share, share + se))
    return Calibration(math.exp(-math.exp(mid)), (high - low) / 2.0)


def linear_predictor_sd() -> float:
    """Of the published coefficients in the published cohort; about .75."""
    vbq, t = coefficient(VBQ_HR, VBQ_LIMITS).beta * VBQ_SD, coefficient(T_HR, T_LIMITS).beta * T_SD
    return math.sqrt(vbq * vbq + t * t + 2.0 * VBQ_T_CORRELATION * vbq * t)


def _log_hazard(share: float, shape: float) -> float:
    from scipy.optimize import brentq

    ratios, times = _normal_midpoints(), _follow_up_midpoints()
    growth = [(t / HORIZON) ** shape for t in times]

    def surplus(log_h0: float) -> float:
        hazards = [math.exp(log_h0 + lp) for lp in ratios]
        survival = sum(math.exp(-h * g) for h in hazards for g in growth)
        return 1.0 - survival / (len(ratios) * len(times)) - share

    return float(brentq(surplus, -8.0, 3.0, xtol=1e-10))


def _normal_midpoints(count: int = 200) -> Sequence[float]:
    """`count` equally likely values of the linear predictor."""
    from scipy.special import ndtri

    sd = linear_predictor_sd()
    return [sd * float(ndtri((i + 0.5) / count)) for i in range(count)]


def _follow_up_midpoints(count: int = 200) -> Sequence[float]:
    """`count` equally likely follow-up times in years."""
    from scipy.special import gammaincinv

    times = (
        FOLLOW_UP_SHORTEST + GAMMA_SCALE * float(gammaincinv(GAMMA_SHAPE, (i + 0.5) / count)) for i in range(count)
    )
    return [min(time, FOLLOW_UP_LONGEST) for time in times]


def build() -> ModelArtefact:
    """The whole artefact; its canonical bytes are vbq/risk/models/lin2025-vbq-t.json."""
    vbq, t = coefficient(VBQ_HR, VBQ_LIMITS), coefficient(T_HR, T_LIMITS)
    covariance = ESTIMATES_CORRELATION * vbq.se * t.se
    hazard = -math.log(SURVIVAL_AT_HORIZON)
    return ModelArtefact(
        id="lin2025-vbq-t",
        version="1.0.0",
        title="Five-year risk of a new or worsened vertebral fracture from VBQ and the lumbar-spine T-score",
        kind="published",
        status="derived from a publication, research use, not validated",
        outcome="new (20 % loss of height or more) or worsened (one Genant grade or more) vertebral fracture "
        "on a radiograph",
        horizon=HORIZON,
        covariates=_covariates(vbq, t),
        covariance=_rounded([[vbq.se**2, covariance], [covariance, t.se**2]]),
        baseline=Baseline(
            form="points",
            points=[
                BaselinePoint(
                    time=HORIZON,
                    cumulative_hazard=_keep(hazard),
                    variance=_keep((SE_LOG_HAZARD * hazard) ** 2),
                    mean=[0.0, 0.0],
                )
            ],
            support=Span(low=HORIZON, high=HORIZON),
        ),
        interval="log-log",
        population=Population(
            sex="female",
            menopause="post",
            description="Women after menopause with lumbar-spine DXA and contrast-free sagittal T1 MRI, without "
            "metabolic bone disease, bone cancer, spinal instrumentation, spinal infection, severe "
            "deformity or high-energy trauma",
        ),
        training=Training(
            description="One spine service in Foshan, China; enrolled 2012 to 2015, one 1.5 T scanner, followed "
            "for over 5 years (mean 6.4). Only printed figures were available, not the data.",
            n=N,
            events=EVENTS,
            data_digest=None,
            published="Lin W, Chen T, Zheng G, et al. Vertebral Fracture Prediction From MRI-based Vertebral Bone"
            " Quality Scores in Postmenopausal Women: A Longitudinal Cohort Study. Spine "
            "2025;50:1296-1302. doi:10.1097/BRS.0000000000005209",
        ),
        validation=_validation(),
        thresholds=RiskThresholds(moderate=0.15, high=0.30),
        software={"derivation": "vbq.risk.published"},
        intended_use="Research: shows a clinician who already looks at a lumbar MRI and a DXA what a published "
        "cohort suggests about the five-year risk of vertebral fracture. Informs, does not replace, "
        "clinical judgement.",
        caution="Derived from one publication with 137 women and never validated; not for decisions about treatment.",
        source_attributes=source_attributes(),
        created=CREATED,
    )


def _covariates(vbq: Coefficient, t: Coefficient) -> list[Covariate]:
    # The paper prints no ranges; mean +- 2 SD stands in for the range of its data.
    return [
        Covariate(
            name="vbq",
            label="VBQ",
            unit="1",
            centre=VBQ_MEAN,
            training=Span(low=_keep(VBQ_MEAN - 2 * VBQ_SD), high=_keep(VBQ_MEAN + 2 * VBQ_SD)),
            physiological=Span(low=0.5, high=12.0),
            coefficient=_keep(vbq.beta),
            standard_error=_keep(vbq.se),
        ),
        Covariate(
            name="t_score",
            label="DXA T-score, lumbar spine (L1-L4)",
            unit="{T-score}",
            centre=T_MEAN,
            training=Span(low=_keep(T_MEAN - 2 * T_SD), high=_keep(T_MEAN + 2 * T_SD)),
            physiological=Span(low=-8.0, high=6.0),
            coefficient=_keep(t.beta),
            standard_error=_keep(t.se),
        ),
    ]


def _validation() -> dict[str, float | str | None]:
    return {
        "external_validation": None,
        "calibration": None,
        "discrimination": None,
        "baseline_assumption": "constant hazard; Weibull shapes 0.7, 1.5 and 2 would give S0(5) = 0.683, "
        "0.730 and 0.756",
        "covariance_assumption": "correlation of the two estimates +0.42, not published; bounds +0.29 to +0.42",
        "training_range": "mean +- 2 SD; the paper prints no range",
        "thresholds": "0.15 and 0.30 choose the word shown beside the number; they are not a validated rule",
        "event_times": "the paper's event times look like the times of the final radiograph; its hazard "
        "ratios are taken as printed",
    }


def _keep(value: float) -> float:
    """Ten significant digits: more than the source holds, and the same bytes whatever the machine's libm."""
    return float(f"{value:.10g}")


def _rounded(rows: list[list[float]]) -> list[list[float]]:
    return [[_keep(value) for value in row] for row in rows]
