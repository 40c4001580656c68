"""Regions without a reader: spine found, levels numbered, ovals placed, doubts gathered. Slices in, findings out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.errors import NotMeasurable
from schemas.measurement import BodyShape, Ellipse, Level, Reason, Region
from vbq.imaging.bodies import Body, find_bodies
from vbq.imaging.canonical import SagittalView
from vbq.imaging.coil import coil_slope, slope_to_the_back
from vbq.imaging.fluid import fluid_ovals
from vbq.imaging.marrow import Marrow, body_oval, outlying, pixels_in
from vbq.imaging.network import Network
from vbq.imaging.regions import region_of
from vbq.imaging.shape import body_shapes
from vbq.imaging.slices import MINIMUM_SLICES
from vbq.imaging.spine import Spine, find_spine
from vbq.imaging.volume import Floats, Slice

REGION_LEVELS: tuple[Level, ...] = ("T12", "L1", "L2", "L3", "L4", "L5")
MINIMUM_BODIES = 3
OWN_SLICE_MM = 4.0  # a level whose midline lies farther from the chosen slice is measured on its own
SAME_BODY_MM = 9.0
SURE_ENOUGH = 0.6
# Medians of the bodies; adults' lumbar ones are over 25 and 20, those of necks 17 and 13.
SMALLEST_DEPTH_MM, SMALLEST_HEIGHT_MM = 20.0, 15.0
BONE_OVER_FLUID = 1.1  # on T1 CSF is dark: bone is brighter by more than this


@dataclass(frozen=True, eq=False)
class Found:
    """Regions on their slices. `values` holds their pixels by ("body" | "csf", level)."""

    spine: Spine
    bodies: dict[Level, Region]
    csf: dict[Level, Region]
    values: dict[tuple[str, Level], Floats]
    outlying: dict[Level, str]
    """Levels that do not count, with the reason."""
    shapes: dict[Level, BodyShape]
    coil_per_mm: float | None
    """Relative change of the coil's sensitivity per mm to the back, as the bodies' marrow tells it."""
    flags: list[Reason] = field(default_factory=list)


def find_regions(slices: Sequence[Slice], start: int, network: Network, *, fluid: bool = True) -> Found:
    """Find body and (where `fluid`) CSF regions in an ordered sagittal stack, looking first at slice `start`.

    Raises NotMeasurable where there are too few slices or no lumbar spine is seen. Levels alone can be named on a
    single slice; how near it is to the middle then stays unknown, and a flag says so.
    """
    spine = checked_spine(slices, start, network, levels_only=not fluid)
    flags: list[Reason] = []
    if len(slices) < MINIMUM_SLICES:
        text = f"{len(slices)} slice(s) only: how near they are to the middle of the spine cannot be told"
        flags.append(Reason(code="few-slices", text=text))
    bodies: dict[Level, Region] = {}
    values: dict[tuple[str, Level], Floats] = {}
    marrow: dict[Level, Marrow] = {}
    slopes: dict[Level, float] = {}
    elsewhere: list[str] = []
    shown = dict(spine.levels)  # each as its own slice shows it: beside its middle a body looks broken
    for level in REGION_LEVELS:
        if level not in spine.levels:
            continue
        place = place_of(spine, level)
        body = shown[level] = _on_slice(spine, spine.levels[level], place)
        view = spine.views[place]
        oval = body_oval(body, view)
        seen = pixels_in(oval, view)
        if body.cut or seen is None:
            continue
        bodies[level] = region_of(view.in_slice(oval), view.image)
        values["body", level] = seen
        marrow[level] = Marrow(body.centre[0], seen)
        slope = slope_to_the_back(oval, view)
        if slope is not None:
            slopes[level] = slope
        if place != spine.best:
            elsewhere.append(level)
    if elsewhere:
        text = f"the spine curves to the side: {', '.join(elsewhere)} measured on slices of their own"
        flags.append(Reason(code="slice-per-level", text=text))
    shapes = body_shapes(shown)
    found = Found(spine, bodies, {}, values, _not_counting(marrow, shapes), shapes, coil_slope(slopes), flags)
    if fluid:
        for level, one in fluid_ovals(spine).items():
            view = spine.views[one.place]
            found.csf[level] = region_of(view.in_slice(one.oval), view.image)
            values["csf", level] = _values(one.oval, view)
        leave_out_bright_fluid(found)
    return found


def leave_out_bright_fluid(found: Found) -> None:
    """On T1 an oval as bright as bone lies in fat, where others are dark: it is no CSF (seen in severe scoliosis).

    Where all are bright the contrast is not T1's, which the gate says.
    """
    if not found.bodies:
        return
    bone = float(np.median([region.mean for region in found.bodies.values()]))
    bright = [level for level, region in found.csf.items() if bone < BONE_OVER_FLUID * region.mean]
    if not bright or len(bright) == len(found.csf):
        return
    for level in bright:
        del found.csf[level], found.values["csf", level]
    text = f"where CSF was sought at {', '.join(bright)} the signal is that of bone or fat: left out"
    found.flags.append(Reason(code="csf-not-dark", text=text))


def checked_spine(slices: Sequence[Slice], start: int, network: Network, *, levels_only: bool = False) -> Spine:
    """The spine of the stack. Raises NotMeasurable where it is not one that can be measured, or numbered."""
    if len(slices) < MINIMUM_SLICES and not levels_only:
        raise NotMeasurable(
            f"{len(slices)} slices are too few to find the midline (at least {MINIMUM_SLICES}); give regions by hand",
            code="too-few-slices",
        )
    spine = find_spine(slices, start, network)
    sureness = float(np.mean([body.sureness for body in spine.bodies])) if spine.bodies else 0.0
    if len(spine.bodies) < MINIMUM_BODIES or (spine.midline is None and not levels_only):
        raise NotMeasurable(
            f"{len(spine.bodies)} vertebral bodies are seen on the slice; this does not look like a lumbar spine",
            code="no-lumbar-spine",
        )
    depth = float(np.median([body.depth_mm for body in spine.bodies]))
    height = float(np.median([body.height_mm for body in spine.bodies]))
    if depth < SMALLEST_DEPTH_MM or height < SMALLEST_HEIGHT_MM:
        raise NotMeasurable(
            f"the vertebral bodies are {depth:.0f} mm deep and {height:.0f} mm high: too small for an adult's lumbar "
            "spine (another part of the spine, a child, or a wrong pixel spacing)",
            code="wrong-anatomy",
        )
    if sureness < SURE_ENOUGH:
        raise NotMeasurable("the network is not sure of what it sees in these images", code="low-confidence")
    return spine


def place_of(spine: Spine, level: Level) -> int:
    """The slice to measure a level on: the chosen one, unless the level's midline lies far from it."""
    if spine.midline is None or level not in spine.midline.at_mm:
        return spine.best
    at = spine.midline.at_mm[level]
    if abs(spine.along_mm[spine.best] - at) <= OWN_SLICE_MM:
        return spine.best
    return min(spine.predictions, key=lambda k: abs(spine.along_mm[k] - at))


def _on_slice(spine: Spine, body: Body, place: int) -> Body:
    """The same body as another slice shows it, where it does."""
    if place == spine.best:
        return body
    prediction = spine.predictions[place]
    shown = find_bodies(prediction.probabilities, prediction.pixel_mm)
    near = [one for one in shown if _apart(one, body) < SAME_BODY_MM]
    return min(near, key=lambda one: _apart(one, body)) if near else body


def _apart(one: Body, other: Body) -> float:
    return float(np.hypot(one.centre[0] - other.centre[0], one.centre[1] - other.centre[1]))


def _values(oval: Ellipse, view: SagittalView) -> Floats:
    seen = pixels_in(oval, view)
    assert seen is not None, "an oval of CSF lies within what the network saw"
    return seen


def _not_counting(marrow: dict[Level, Marrow], shapes: dict[Level, BodyShape]) -> dict[Level, str]:
    found = outlying(marrow)
    for level, shape in shapes.items():
        if level in marrow and shape.suspected_genant_grade >= 1 and "hardly any signal" not in found.get(level, ""):
            found[level] = f"{shape.loss:.0%} of its height is lost: suspected fracture"
    return found
