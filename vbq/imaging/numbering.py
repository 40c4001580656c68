"""Which body is which: counted up from the sacrum, with a confidence, and doubts that a person must settle.

A lumbar view cannot show how many lumbar vertebrae there are. Counting from the sacrum is what readers do too; where
the sacrum is out of view, has merged with the body above or looks like one, the count is a proposal to be confirmed.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, label, map_coordinates

from schemas.measurement import Level, Reason
from vbq.imaging.bodies import MERGED_RATIO, Body
from vbq.imaging.endplates import Point
from vbq.imaging.junction import junction_doubts
from vbq.imaging.listhesis import slips
from vbq.imaging.network import DISC, SACRUM, VERTEBRAL_BODY
from vbq.imaging.sacrum import sacral_doubts

FROM_BELOW: tuple[Level, ...] = ("L5", "L4", "L3", "L2", "L1", "T12", "T11")
SMALLEST_SACRUM_MM2 = 250.0
SURE_SACRUM, SURE_BODY = 0.80, 0.80
ABOVE_PLATE_MM, BELOW_PLATE_MM = 3.0, 17.0  # where the disc below the lowest body is looked for
DISC_SURE = 0.97  # merged phantoms: .59 to .94; any disc, worn or collapsed: over .99; real: over .99, one bridged .96
GAP = (0.68, 1.40)  # distance of neighbouring bodies over what their neighbours' distances let expect
CONFIDENT = 0.6

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Numbering:
    """Levels to bodies. `unconfirmed` is empty where the count can stand without a person."""

    levels: dict[Level, Body]
    sacrum_top: Point | None
    confidence: float
    unconfirmed: list[Reason] = field(default_factory=list)
    remarks: list[Reason] = field(default_factory=list)


def number_bodies(bodies: list[Body], probabilities: Probabilities, pixel_mm: tuple[float, float]) -> Numbering:
    """Number `bodies` (from head to foot), found in the map (6, rows, columns)."""
    whole = [body for body in bodies if not body.cut or body is not bodies[0]]
    if not whole:
        return Numbering({}, None, 0.0)
    lowest = whole[-1]
    sacrum = _sacrum(probabilities, pixel_mm, lowest)
    doubts: list[Reason] = []
    confidence = float(np.mean([body.sureness for body in whole[-5:]]))
    if sacrum is None:
        doubts.append(Reason(code="sacrum-not-in-view", text="the sacrum is not in view, so nothing fixes the count"))
        confidence *= 0.4
    else:
        confidence *= sacrum.sureness
        discs = probabilities.argmax(axis=0) == DISC
        doubts += (
            _transition(lowest, sacrum)
            or sacral_doubts(sacrum.piece, discs, pixel_mm, whole, sacrum.top)
            or junction_doubts(whole, sacrum.piece, pixel_mm, sacrum.top)
        )
    doubts += _uneven(whole)
    slipped = slips(whole)
    confidence *= 0.5 ** len(doubts)
    named = dict(zip(FROM_BELOW, reversed(whole), strict=False))
    levels = {level: named[level] for level in reversed(FROM_BELOW) if level in named}
    for upper, lower in pairwise(levels):
        slip = slipped.get(id(levels[upper]))
        if slip is not None:
            text = f"{upper} lies {slip:.0f} mm off {lower} (listhesis), which can hide a vertebra or feign one"
            doubts.append(Reason(code="listhesis", text=text))
            confidence *= 0.5
    if not doubts and confidence < CONFIDENT:
        text = "the network is not sure of the lowest body and the sacrum"
        doubts.append(Reason(code="numbering-unsure", text=text))
    return Numbering(levels, sacrum.top if sacrum else None, confidence, doubts)


@dataclass(frozen=True, eq=False)
class _Sacrum:
    top: Point
    sureness: float
    bodylike: float
    disc_above: float
    distance_mm: float
    piece: NDArray[np.bool_]


def _sacrum(probabilities: Probabilities, pixel_mm: tuple[float, float], lowest: Body) -> _Sacrum | None:
    """The piece of sacrum below the lowest body; None where there is none near."""
    mask = probabilities.argmax(axis=0) == SACRUM
    parts, count = label(binary_opening(mask, iterations=1))
    area = pixel_mm[0] * pixel_mm[1]
    best: _Sacrum | None = None
    for number in range(1, count + 1):
        piece = parts == number
        if piece.sum() * area < SMALLEST_SACRUM_MM2:
            continue
        rows, columns = np.nonzero(piece)
        y, x = (rows + 0.5) * pixel_mm[0], (columns + 0.5) * pixel_mm[1]
        away = np.hypot(y - lowest.centre[0], x - lowest.centre[1])
        first = int(np.argmin(away))
        near = away < away[first] + 14.0  # S1's upper part
        below = (y[near].mean() - lowest.centre[0]) > 0
        if not below or away[first] > 1.6 * lowest.height_mm:
            continue
        top = (float(y[near].mean()), float(x[near].mean()))
        seen = probabilities[:, rows[near], columns[near]].mean(axis=1)
        found = _Sacrum(
            top,
            float(seen[SACRUM]),
            float(seen[VERTEBRAL_BODY]),
            _disc_below(probabilities, pixel_mm, lowest),
            float(away[first]),
            piece,
        )
        if best is None or found.distance_mm < best.distance_mm:
            best = found
    return best


def _disc_below(probabilities: Probabilities, pixel_mm: tuple[float, float], lowest: Body) -> float:
    """The highest probability of disc below the lower plate, mean over nine places along it.

    A disc is sure all along, be it worn to a rest; where bone has grown across, it fails at some places.
    """
    plate = lowest.lower_plate
    along = np.linspace(0.1, 0.9, 9)[:, None]
    down = np.arange(-ABOVE_PLATE_MM, BELOW_PLATE_MM, 0.5)[None, :]
    rows = plate.front[0] + along * (plate.back[0] - plate.front[0]) + down * math.cos(plate.angle_rad)
    columns = plate.front[1] + along * (plate.back[1] - plate.front[1]) - down * math.sin(plate.angle_rad)
    places = [rows / pixel_mm[0] - 0.5, columns / pixel_mm[1] - 0.5]
    return float(map_coordinates(probabilities[DISC], places, order=1).max(axis=1).mean())


def _transition(lowest: Body, sacrum: _Sacrum) -> list[Reason]:
    """Signs of a transitional vertebra: the network is of two minds, or there is no disc above the sacrum."""
    doubts = []
    if sacrum.sureness < SURE_SACRUM or sacrum.bodylike > 1 - SURE_SACRUM or lowest.sureness < SURE_BODY:
        text = "the lowest vertebra looks like a lumbar body and like sacrum: it may be transitional"
        doubts.append(Reason(code="transitional", text=text))
    if sacrum.disc_above < DISC_SURE:
        text = "no disc is seen all along between the lowest body and the sacrum: they may have merged"
        doubts.append(Reason(code="sacrum-merged", text=text))
    return doubts


def _uneven(whole: list[Body]) -> list[Reason]:
    """Bodies that follow each other too closely or too far: one was missed, cut in two, or two were taken for one."""
    doubts = []
    if len(whole) >= 4:
        steps = np.array([math.dist(upper.centre, lower.centre) for upper, lower in pairwise(whole)])
        expected = np.array([np.median(np.delete(steps, index)) for index in range(len(steps))])
        # distances grow to the feet by about 3 % a level
        drift = 1 + 0.03 * (np.arange(len(steps)) - (len(steps) - 1) / 2)
        ratio = steps / (expected * drift)
        if ratio.max() > GAP[1] or ratio.min() < GAP[0]:
            text = "the bodies do not follow each other evenly: one may have been missed or taken twice"
            doubts.append(Reason(code="bodies-uneven", text=text))
        areas = np.array([body.area_mm2 for body in whole])
        if areas.max() > MERGED_RATIO * np.median(areas):
            text = "one body looks as large as two: two may have merged"
            doubts.append(Reason(code="bodies-merged", text=text))
    return doubts
