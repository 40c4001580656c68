"""What makes a measurement doubtful without forbidding it: one function per kind of doubt, each giving flags."""

from collections.abc import Mapping
from itertools import combinations, pairwise

import numpy as np

from schemas.measurement import Acquisition, Ellipse, Level, Reason
from vbq.imaging.regions import overlap
from vbq.imaging.slices import MidSagittal
from vbq.imaging.vbq import ORDER, Score
from vbq.imaging.volume import Floats, Slice

CSF_DISAGREEMENT = 0.15
CSF_SD = 0.30
BODY_OUTLIER = 0.30
SMALL_MM2 = 20.0
USUAL_VBQ = (1.2, 7.0)
OFF_MIDLINE_MM = 5.0
SATURATED_SHARE = 0.01
COARSE_STEP = 0.04  # of the CSF's mean between one grey level and the next: rounding is half of it
FEWEST_VALUES = 16  # an image of fewer does not show its step


def flags_of(result: Score, values: Mapping[tuple[str, Level], Floats], image: Slice) -> list[Reason]:
    """Every doubt about a score and its regions on their slice."""
    return [
        *_csf_flags(result),
        *_body_flags(result),
        *_pixel_flags(result, values, image),
        *_place_flags(result, image),
    ]


def _csf_flags(result: Score) -> list[Reason]:
    flags: list[Reason] = []
    used = {level: region for level, region in result.csf.items() if region.used}
    means = np.array([region.mean for region in used.values()])
    spread = float((means.max() - means.min()) / means.mean())
    if spread > CSF_DISAGREEMENT:
        text = (
            f"the CSF regions differ by {spread:.0%} (over {CSF_DISAGREEMENT:.0%}); the score depends on which is right"
        )
        flags.append(Reason(code="csf-levels-disagree", text=text))
    uneven = [level for level, region in used.items() if region.mean > 0 and region.sd / region.mean > CSF_SD]
    if uneven:
        text = f"the CSF region at {', '.join(uneven)} is uneven: it may hold nerve roots, fat or vessels"
        flags.append(Reason(code="csf-uneven", text=text))
    bright = [level for level in used if level in result.levels and used[level].mean >= result.levels[level].mean]
    if bright:
        text = f"the CSF at {', '.join(bright)} is not darker than the bone beside it; check series and regions"
        flags.append(Reason(code="csf-not-darker", text=text))
    return flags


def _body_flags(result: Score) -> list[Reason]:
    flags: list[Reason] = []
    used = {level: region.mean for level, region in result.levels.items() if region.used}
    median = float(np.median(list(used.values())))
    for level, mean in used.items():
        if median > 0 and abs(mean / median - 1) > BODY_OUTLIER:
            off = abs(mean / median - 1)
            text = f"{level} differs by {off:.0%} from the other bodies: a lesion, a fracture or the coil"
            flags.append(Reason(code="body-outlier", text=text))
    low, high = USUAL_VBQ
    if not low <= result.vbq <= high:
        text = f"a VBQ outside {low:g} to {high:g} is unusual; check series and regions"
        flags.append(Reason(code="vbq-unusual", text=text))
    return flags


def _pixel_flags(result: Score, values: Mapping[tuple[str, Level], Floats], image: Slice) -> list[Reason]:
    flags: list[Reason] = []
    small = [
        f"{level}{' CSF' if regions is result.csf else ''}"
        for regions in (result.levels, result.csf)
        for level, region in regions.items()
        if region.used and region.area_mm2 < SMALL_MM2
    ]
    if small:
        text = f"small regions (under {SMALL_MM2:g} mm2): {', '.join(small)}"
        flags.append(Reason(code="small-region", text=text))
    if image.ceiling is not None:
        ceiling = image.ceiling
        full = [
            f"{level} {kind}"
            for (kind, level), pixels in values.items()
            if _share_at(pixels, ceiling) > SATURATED_SHARE
        ]
        if full:
            text = f"pixels at the largest value that can be stored: {', '.join(full)}; their mean is too low"
            flags.append(Reason(code="saturated", text=text))
    return [*flags, *_grey_flags(result, image)]


def _grey_flags(result: Score, image: Slice) -> list[Reason]:
    """CSF is dark on T1: in 8 bits it may be a few steps above nothing, and rounding is then a share of it."""
    fluid = float(np.mean([region.mean for region in result.csf.values() if region.used]))
    values = np.unique(image.pixels)
    if fluid <= 0 or len(values) < FEWEST_VALUES:
        return []
    step = float(np.diff(values).min()) / fluid
    if step <= COARSE_STEP:
        return []
    text = f"one grey level is {step:.0%} of the CSF's signal: rounding alone can move the score by {step / 2:.0%}"
    return [Reason(code="coarse-grey-levels", text=text)]


def _share_at(pixels: Floats, ceiling: float) -> float:
    return float(np.mean(pixels >= ceiling))


def _place_flags(result: Score, image: Slice) -> list[Reason]:
    """Do the regions lie as a spine does: in order from head to foot, apart, and CSF behind its body?"""
    flags: list[Reason] = []
    present = [level for level in ORDER if level in result.levels]
    heights = [_patient_mm(result.levels[level].ellipse, image)[2] for level in present]
    if any(upper <= lower for upper, lower in pairwise(heights)):
        flags.append(Reason(code="levels-out-of-order", text="the levels do not follow each other from head to foot"))
    for level, region in result.csf.items():
        body = result.levels.get(level)
        if body and _patient_mm(region.ellipse, image)[1] <= _patient_mm(body.ellipse, image)[1]:
            flags.append(
                Reason(code="csf-not-posterior", text=f"the CSF region at {level} does not lie behind its body")
            )
    everything = [(level, region) for regions in (result.levels, result.csf) for level, region in regions.items()]
    for (one, first), (other, second) in combinations(everything, 2):
        if overlap(first.ellipse, second.ellipse, image):
            flags.append(Reason(code="regions-overlap", text=f"the regions {one} and {other} overlap"))
    return flags


def _patient_mm(ellipse: Ellipse, image: Slice) -> Floats:
    """Patient coordinates (LPS, mm) of an ellipse's centre (PS3.3 C.7.6.2.1.1)."""
    row, column = ellipse.center
    row_mm, column_mm = image.pixel_spacing_mm
    along_row, along_column = np.array(image.orientation[:3]), np.array(image.orientation[3:])
    return np.asarray(image.position_mm) + along_row * column * column_mm + along_column * row * row_mm


def slice_flags(slices: tuple[Slice, ...], index: int, mid: MidSagittal) -> list[Reason]:
    """Is the measured slice the mid-sagittal one? Over 5 mm off it a third of scores are 15 % wrong."""
    off = abs(slices[index].along_normal_mm - slices[mid.index].along_normal_mm)
    if off <= OFF_MIDLINE_MM:
        return []
    return [Reason(code="slice-off-midline", text=f"the slice lies {off:.0f} mm from the one that looks mid-sagittal")]


def acquisition_flags(acquisition: Acquisition) -> list[Reason]:
    """What the header does not say and a reader of the number would want to know."""
    unknown = [
        name
        for name, value in (
            ("field strength", acquisition.field_strength_t),
            ("TR", acquisition.repetition_time_ms),
            ("TE", acquisition.echo_time_ms),
            ("manufacturer", acquisition.manufacturer),
        )
        if value is None
    ]
    if not unknown:
        return []
    text = f"not in the header: {', '.join(unknown)}; VBQ is comparable only between like acquisitions"
    return [Reason(code="acquisition-unknown", text=text)]
