"""The score: VBQ = mean of the L1-L4 regions' means / mean of the L1-L3 CSF regions' means.

Lin et al., Spine 2025;50:1296-1302 (doi:10.1097/BRS.0000000000005209), Methods. Where a body cannot be measured, the
adjacent one stands in for it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from schemas.errors import NotMeasurable
from schemas.measurement import BODY_LEVELS, CSF_LEVELS, Level, Reason, Region
from vbq.imaging.volume import Floats

ORDER: tuple[Level, ...] = ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1")
STAND_INS: tuple[Level, ...] = ("T12", "L5")
MINIMUM_BODIES = 3
INDEPENDENT_PIXELS = 4.0  # interpolation to twice the acquired matrix makes four pixels one observation
Z95 = 1.959964


@dataclass(frozen=True)
class Score:
    """VBQ, its 95 % interval, the median variant, which regions counted and what was odd."""

    vbq: float
    interval: tuple[float, float]
    variants: dict[str, float]
    levels: dict[Level, Region]
    csf: dict[Level, Region]
    flags: list[Reason] = field(default_factory=list)


def score(
    levels: Mapping[Level, Region], csf: Mapping[Level, Region], values: Mapping[tuple[str, Level], Floats]
) -> Score:
    """Compute VBQ from measured regions.

    `values` holds each region's pixel values by ("body" | "csf", level), for the median variant.
    The interval spans noise within regions and disagreement between CSF levels; it knows nothing of the scanner or of
    where another reader would draw. Raises NotMeasurable where bodies or CSF are missing or the CSF has no signal.
    """
    bodies, flags = _with_stand_ins(levels)
    used_csf = [level for level in CSF_LEVELS if level in csf]
    if not used_csf:
        raise NotMeasurable("no CSF region at L1, L2 or L3; draw at least one", code="csf-missing")
    missing = [level for level in CSF_LEVELS if level not in csf]
    if missing:
        text = f"no CSF region at {', '.join(missing)}; the score uses {', '.join(used_csf)} alone"
        flags.append(Reason(code="csf-levels-missing", text=text))
    body_mean = float(np.mean([levels[level].mean for level in bodies]))
    csf_mean = float(np.mean([csf[level].mean for level in used_csf]))
    if csf_mean <= 0:
        raise NotMeasurable(
            "the CSF regions have no signal, so there is nothing to divide by; check where they lie",
            code="csf-no-signal",
        )
    if body_mean <= 0:
        raise NotMeasurable("the vertebral regions have no signal; check where they lie", code="bone-no-signal")
    vbq = body_mean / csf_mean
    medians = {key: float(np.median(pixels)) for key, pixels in values.items()}
    csf_median = float(np.mean([medians["csf", level] for level in used_csf]))
    variants = {}
    if csf_median > 0:
        variants["median"] = float(np.mean([medians["body", level] for level in bodies])) / csf_median
    return Score(
        vbq=vbq,
        interval=_interval(vbq, [levels[level] for level in bodies], [csf[level] for level in used_csf]),
        variants=variants,
        levels=_marked(levels, bodies),
        csf={level: region if level in used_csf else _unused(region, "CSF") for level, region in csf.items()},
        flags=flags,
    )


def _with_stand_ins(levels: Mapping[Level, Region]) -> tuple[list[Level], list[Reason]]:
    """The bodies that count, and flags for those that are missing or stood in for."""
    flags: list[Reason] = []
    used: list[Level] = [level for level in BODY_LEVELS if level in levels]
    spare = [level for level in STAND_INS if level in levels]
    for level in (level for level in BODY_LEVELS if level not in levels):
        if not spare:
            flags.append(Reason(code="level-missing", text=f"{level} was not measured and nothing stands in for it"))
            continue
        _, nearest = min((abs(ORDER.index(other) - ORDER.index(level)), other) for other in spare)
        spare.remove(nearest)
        used.append(nearest)
        flags.append(Reason(code="level-replaced", text=f"{nearest} stands in for {level}"))
    if len(used) < MINIMUM_BODIES:
        raise NotMeasurable(
            f"{len(used)} of at least {MINIMUM_BODIES} vertebral bodies have a region; draw L1 to L4, or T12 or L5 "
            "where one of them cannot be measured",
            code="too-few-bodies",
        )
    return sorted(used, key=ORDER.index), flags


def _marked(levels: Mapping[Level, Region], used: list[Level]) -> dict[Level, Region]:
    """Every region, those that do not count marked so."""
    marked: dict[Level, Region] = {}
    for level in ORDER:
        if level not in levels:
            continue
        if level not in used:
            marked[level] = _unused(levels[level], "bodies")
        elif level in BODY_LEVELS:
            marked[level] = levels[level]
        else:
            marked[level] = levels[level].but(reason="stands in for a body that was not measured")
    return marked


def _unused(region: Region, what: str) -> Region:
    which = "L1 to L3" if what == "CSF" else "L1 to L4"
    return region.but(used=False, reason=f"the score uses {which}")


def _interval(vbq: float, bodies: list[Region], csf: list[Region]) -> tuple[float, float]:
    """95 % interval on the log scale, by the delta method on the ratio of two means."""
    body = np.array([region.mean for region in bodies])
    fluid = np.array([region.mean for region in csf])
    noise_body = sum(_variance_of_mean(region) for region in bodies) / len(bodies) ** 2
    noise_csf = sum(_variance_of_mean(region) for region in csf) / len(csf) ** 2
    between_csf = float(fluid.var(ddof=1)) / len(csf) if len(csf) > 1 else 0.0
    relative = noise_body / body.mean() ** 2 + max(noise_csf, between_csf) / fluid.mean() ** 2
    spread = Z95 * math.sqrt(float(relative))
    return vbq * math.exp(-spread), vbq * math.exp(spread)


def _variance_of_mean(region: Region) -> float:
    return region.sd**2 / max(region.pixels / INDEPENDENT_PIXELS, 1.0)
