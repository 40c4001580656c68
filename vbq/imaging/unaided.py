"""The automatic measurement: from regions found to a score with its interval, or the reason why there is none."""

from collections.abc import Sequence

import numpy as np

from schemas.errors import NotMeasurable
from schemas.measurement import Level, Measurement, Numbering, Reason, Region, SliceRef
from vbq.imaging.automatic import Found, find_regions
from vbq.imaging.coil import PLACEMENT_IN_COMMON, PLACEMENT_MM, STEEP_PER_MM
from vbq.imaging.fluid import fluid_ovals
from vbq.imaging.marrow import body_oval, pixels_in
from vbq.imaging.network import Network
from vbq.imaging.quality import OFF_MIDLINE_MM, flags_of
from vbq.imaging.spine import Spine
from vbq.imaging.suitability import doubts, obstacles
from vbq.imaging.vbq import Score, score
from vbq.imaging.volume import Slice

ALGORITHM = "vbq-automatic 0.4.0"
"""Name and version of this way of measuring; the version moves when the same input would give another number."""

CURVE_MM = 6.0
WIDE_RANGE = 0.10
WIDE_INTERVAL = 0.10
HALF_A_SLICE = 0.25
"""The midline is found to half a slice: the SD from the choice of slice is taken as a quarter of the range over one
slice to either side."""
Z95 = 1.959964


def measure_unaided(draft: Measurement, slices: Sequence[Slice], start: int, network: Network) -> Measurement:
    """Measure an ordered sagittal T1 stack; `draft` holds what is known already, `start` the first slice to look at.

    Status `needs_regions` where a spine is seen but regions cannot be placed, so that a person may; `not_measurable`
    where the images do not allow it; `needs_confirmation` where the levels are in doubt: then a number is given that
    counts only after a person has agreed.
    """
    draft = draft.but(algorithm=ALGORITHM, method="automatic")
    found = find_regions(slices, start, network)
    draft = draft.but(**_found_fields(found), flags=[*draft.flags, *found.flags, *_findings(found)])
    against = obstacles(found)
    if against:
        return draft.but(status="not_measurable", reasons=against, levels=_all_bodies(found), csf=found.csf)
    counting = {level: region for level, region in found.bodies.items() if level not in found.outlying}
    try:
        result = score(counting, found.csf, found.values)
    except NotMeasurable as error:
        reasons = [Reason(code=error.reason_code, text=error.detail)]
        return draft.but(status="needs_regions", reasons=reasons, levels=_all_bodies(found), csf=found.csf)
    bounds = _slice_range(found, result)
    interval = _widened(result, bounds, found.coil_per_mm)
    unsettled = doubts(found, result)
    return draft.but(
        status="needs_confirmation" if unsettled else "measured",
        reasons=unsettled,
        vbq=result.vbq,
        interval=interval,
        slice_range=bounds,
        variants=result.variants,
        levels=_with_outlying(found, result),
        csf=result.csf,
        flags=[
            *draft.flags,
            *result.flags,
            *_range_flags(result, bounds),
            *_interval_flags(result, interval, found.coil_per_mm),
            *flags_of(result, found.values, slices[found.spine.best]),
        ],
    )


def find_levels(draft: Measurement, slices: Sequence[Slice], start: int, network: Network) -> Measurement:
    """Find and number the levels only, on any contrast: no CSF, no score."""
    draft = draft.but(algorithm=ALGORITHM, method="automatic")
    found = find_regions(slices, start, network, fluid=False)
    unsettled = found.spine.numbering.unconfirmed
    text = "regions only: the levels were found and numbered; no score was asked for"
    return draft.but(
        **_found_fields(found),
        status="needs_confirmation" if unsettled else "measured",
        reasons=list(unsettled),
        levels=found.bodies,
        flags=[
            *draft.flags,
            *found.flags,
            *(flag for flag in _findings(found) if flag.code != "level-outlying"),  # which only a score cares for
            Reason(code="regions-only", text=text),
        ],
    )


def _found_fields(found: Found) -> dict[str, object]:
    spine = found.spine
    return {
        "slice": _reference(spine, spine.best),
        "runner_up": _reference(spine, spine.runner_up) if spine.runner_up is not None else None,
        "shapes": found.shapes,
        "numbering": Numbering(
            confidence=round(spine.numbering.confidence, 3),
            sacrum_in_view=spine.numbering.sacrum_top is not None,
            bodies=len(spine.bodies),
        ),
    }


def _reference(spine: Spine, place: int) -> SliceRef:
    uid = spine.views[place].image.sop_instance_uid
    return SliceRef(sop_instance_uid=uid, index=place, score=round(spine.scores[place], 3))


def _findings(found: Found) -> list[Reason]:
    """What a person should look at, whatever becomes of the score."""
    flags = []
    for level, shape in found.shapes.items():
        if shape.suspected_genant_grade:
            text = (
                f"{level} has lost about {shape.loss:.0%} of its height (suspected Genant grade "
                f"{shape.suspected_genant_grade}); a person should look, this is not a diagnosis"
            )
            flags.append(Reason(code="suspected-fracture", text=text))
    for level, why in found.outlying.items():
        flags.append(Reason(code="level-outlying", text=f"{level} does not count: {why}"))
    midline = found.spine.midline
    if midline is not None and midline.range_mm > CURVE_MM:
        text = (
            f"the canal leaves the plane by {midline.range_mm:.0f} mm between L1 and L4 (scoliosis or a tilted stack)"
        )
        flags.append(Reason(code="curved-to-the-side", text=text))
    off = -found.spine.scores[found.spine.best]
    if off > OFF_MIDLINE_MM:
        text = f"the nearest slice lies {off:.0f} mm from the canal's middle"
        flags.append(Reason(code="slice-off-midline", text=text))
    return flags


def _all_bodies(found: Found) -> dict[Level, Region]:
    return {
        level: region.but(used=False, reason=found.outlying[level]) if level in found.outlying else region
        for level, region in found.bodies.items()
    }


def _with_outlying(found: Found, result: Score) -> dict[Level, Region]:
    """The regions that were scored and those that do not count, from head to foot."""
    return {level: result.levels.get(level, region) for level, region in _all_bodies(found).items()}


def _slice_range(found: Found, result: Score) -> tuple[float, float] | None:
    """Least and greatest ratio when all regions are taken on the chosen slice alone, and on each neighbour alone."""
    spine = found.spine
    counting = [level for level, region in result.levels.items() if region.used]
    ratios = [result.vbq]
    seen_places = sorted(spine.predictions)
    at = seen_places.index(spine.best)
    for place in seen_places[max(0, at - 1) : at + 2]:
        view = spine.views[place]
        fluid = fluid_ovals(spine, only=place)
        bodies = [pixels_in(body_oval(spine.levels[level], view), view) for level in counting]
        seen = [float(values.mean()) for values in bodies if values is not None]
        if len(fluid) >= 2 and len(seen) == len(counting):
            # the same levels on both sides: the coil's falloff along the spine must not pass for a change of slice
            shared = [level for level in fluid if level in result.csf]
            here = float(np.mean([fluid[level].mean for level in shared]))
            chosen = float(np.mean([result.csf[level].mean for level in shared]))
            if here > 0:
                marrow = float(np.mean([result.levels[level].mean for level in counting]))
                ratios.append(result.vbq * (float(np.mean(seen)) / marrow) / (here / chosen))
    return (min(ratios), max(ratios)) if len(ratios) > 1 else None


def _widened(result: Score, bounds: tuple[float, float] | None, coil_per_mm: float | None) -> tuple[float, float]:
    """The score's interval with the choice of slice and the coil's falloff across the sac added, on the log scale."""
    spread = float(np.log(result.interval[1] / result.vbq))
    slices = Z95 * HALF_A_SLICE * float(np.log(bounds[1] / bounds[0])) if bounds is not None else 0.0
    fluid = sum(region.used for region in result.csf.values())
    shared = ((1 + (fluid - 1) * PLACEMENT_IN_COMMON) / fluid) ** 0.5
    place = Z95 * abs(coil_per_mm or 0.0) * PLACEMENT_MM * shared
    total = float(np.exp(np.linalg.norm([spread, slices, place])))
    return result.vbq / total, result.vbq * total


def _interval_flags(result: Score, interval: tuple[float, float], coil_per_mm: float | None) -> list[Reason]:
    flags = []
    wide = interval[1] / result.vbq - 1
    if wide > WIDE_INTERVAL:
        text = f"the score is uncertain by {wide:.0%} (95 % interval {interval[0]:.2f} to {interval[1]:.2f})"
        flags.append(Reason(code="interval-wide", text=text))
    if coil_per_mm is not None and abs(coil_per_mm) > STEEP_PER_MM:
        text = (
            f"the coil's signal changes by {abs(coil_per_mm):.1%} a mm from front to back: where in the sac the CSF "
            "regions lie changes the score"
        )
        flags.append(Reason(code="coil-falloff-steep", text=text))
    return flags


def _range_flags(result: Score, bounds: tuple[float, float] | None) -> list[Reason]:
    if bounds is None:
        text = "the neighbouring slices do not show enough CSF to compare with"
        return [Reason(code="slice-range-unknown", text=text)]
    wide = (bounds[1] - bounds[0]) / result.vbq
    if wide <= WIDE_RANGE:
        return []
    text = (
        f"over the chosen slice and its neighbours the score runs from {bounds[0]:.2f} to {bounds[1]:.2f} ({wide:.0%})"
    )
    return [Reason(code="slice-range-wide", text=text)]
