"""Painting what lies behind and beside the canal: foramina, pedicles, facets, laminae, spinous processes, ligaments."""

import numpy as np

from vbq.simulate.canvas import Canvas, box, ellipsoid, rounded
from vbq.simulate.plane import Image, Window
from vbq.simulate.profile import Corridor, Profile
from vbq.simulate.spine import Spine, Vertebra
from vbq.simulate.tissue import Tissue

CORTEX_MM = 0.8
Place = tuple[Image, Image, Image]  # mm beside the midline, mm behind the body, mm above its middle


def paint_posterior(canvas: Canvas, spine: Spine, profile: Profile, canal_mm: float, around: Corridor | None) -> None:
    """Everything behind the bodies but the canal's contents, from T8 to the sacrum."""
    if around is not None:
        _paint_foramina(canvas, around, profile)
        _paint_septum(canvas, around, profile)
    for body in spine.vertebrae:
        if body.sacral:
            _paint_sacral_arch(canvas, body, canal_mm)
        else:
            _paint_arch(canvas, body, canal_mm)


def _paint_foramina(canvas: Canvas, around: Corridor, profile: Profile) -> None:
    """Two columns of fat beside the canal; pedicles close them at each level."""
    window, x, q = around.window, around.x, around.q
    half = Profile.read(profile.canal_half_width, window.points.z)
    column = box((np.abs(x) - half - 5, 5.5), (q - 5, 6.5), rounding=2.0)
    canvas.lay(window, column, Tissue.EPIDURAL_FAT, share=0.85)


def _paint_septum(canvas: Canvas, around: Corridor, profile: Profile) -> None:
    """Between the muscles: interspinous ligament with fat, closed behind by the supraspinous ligament."""
    window, x, q = around.window, around.x, around.q
    behind = q - Profile.read(profile.canal_depth, window.points.z)
    half = Profile.read(profile.arch_depth, window.points.z) / 2
    canvas.lay(window, box((x, 2.8), (behind - half, half)), Tissue.FLAVUM, factor=1.5)
    canvas.lay(window, box((x, 1.5), (behind - half, half - 1)), Tissue.DEEP_FAT, share=0.4)
    canvas.lay(window, box((x, 3.0), (behind - 2 * half - 1, 1.0)), Tissue.LIGAMENT)


def _paint_arch(canvas: Canvas, body: Vertebra, canal_mm: float) -> None:
    """The arch of a thoracic or lumbar vertebra; the parts that a slice cannot meet are left out."""
    centre = body.place(0, body.depth_mm / 2 + canal_mm / 2 + 10, -0.35 * body.height_mm)
    window = canvas.plane.around(centre, (30, 34, 42))
    if window is None:
        return
    x, a, h = body.local(window.points)
    back = a - np.float32(body.depth_mm / 2)
    if np.abs(x).max() > 5:
        _paint_pillar(canvas, window, body, canal_mm, (np.abs(x), back, h))
    if np.abs(x).min() < 17:
        _paint_lamina(canvas, window, body, canal_mm, (np.abs(x), back, h))
    if np.abs(x).min() < 5:
        _paint_process(canvas, window, body, canal_mm, (np.abs(x), back, h))


def _paint_pillar(canvas: Canvas, window: Window, body: Vertebra, canal_mm: float, place: Place) -> None:
    """Root, pedicle and the articular pillar, which leans backwards going down; the joint is the gap between two."""
    side, back, h = place
    width = 13.5 if body.level.startswith("L") else 12.0
    height = body.height_mm
    root = ellipsoid((side - np.float32(width + 1), 6.0), (back - 4, 2.6), (h + np.float32(0.36 * height), 2.8))
    canvas.lay(window, root, Tissue.NERVE)
    pedicle = box(
        (side - np.float32(width + 1.5), 4.8),
        (back - np.float32(canal_mm * 0.4), canal_mm * 0.62),
        (h - np.float32(0.2 * height), 0.27 * height),
        rounding=2.5,
    )
    _bone(canvas, window, pedicle, body.marrow)
    lean = back - np.float32(canal_mm + 3.5) + np.float32(0.25) * (h + np.float32(0.25 * height))
    pillar = box(
        (side - np.float32(width + 2), 6.5), (lean, 6.0), (h + np.float32(0.28 * height), 0.56 * height), rounding=4
    )
    _bone(canvas, window, pillar, body.marrow)
    upper = ellipsoid((side - np.float32(width + 4), 6.0), (lean + 5, 3.6), (h - np.float32(0.36 * height), 9.0))
    _bone(canvas, window, upper, body.marrow)


def _paint_lamina(canvas: Canvas, window: Window, body: Vertebra, canal_mm: float, place: Place) -> None:
    """A slanted plate on either side, lined in front by the yellow ligament that runs to the next one."""
    side, back, h = place
    height = body.height_mm
    middle = h + np.float32(0.3 * height)
    slant = back - np.float32(canal_mm + 3.2) + side * np.float32(0.42) + middle * np.float32(0.22)
    flavum = box((side - 5, 7.0), (slant + np.float32(2.4), 1.6), (h + np.float32(0.62 * height), 0.3 * height))
    canvas.lay(window, flavum, Tissue.FLAVUM)
    lamina = box((side - 6, 8.0), (slant, 3.0), (middle, 0.36 * height), rounding=2.2)
    _bone(canvas, window, lamina, body.marrow)


def _paint_process(canvas: Canvas, window: Window, body: Vertebra, canal_mm: float, place: Place) -> None:
    """The spinous process: a hatchet in the lumbar spine, a long slope in the thoracic."""
    side, back, h = place
    lumbar = body.level.startswith("L")
    behind = back - np.float32(canal_mm)
    drop = np.float32(0.12 if lumbar else 0.55) * behind
    flare = np.clip(behind - 14, 0, 12) * np.float32(0.16 if lumbar else 0.05)
    tall = np.float32(7.2 if lumbar else 5.0) + flare
    long = {"L5": 10.5, "L4": 13.0}.get(body.level, 14.0 if lumbar else 13.5)
    process = rounded(
        side - np.float32(1.2),
        np.abs(behind - np.float32(long + 1)) - np.float32(long - 2),
        np.abs(h + np.float32(0.36 * body.height_mm) + drop) - tall + 2,
        rounding=2.0,
    )
    _bone(canvas, window, process, body.marrow)


def _paint_sacral_arch(canvas: Canvas, body: Vertebra, canal_mm: float) -> None:
    """The median crest and the wings of the sacrum."""
    rear = body.depth_mm / 2
    depth = canal_mm * {"S1": 0.92, "S2": 0.68, "S3": 0.5, "S4": 0.4}[body.level]
    window = canvas.plane.around(body.place(0, rear, 0), (60, 45, 40))
    if window is None:
        return
    x, a, h = body.local(window.points)
    side, back = np.abs(x), a - np.float32(rear)
    size = {"S1": 1.0, "S2": 0.8, "S3": 0.6, "S4": 0.4}[body.level]
    crest = box(
        (x, 4.0), (back - np.float32(depth + 5 * size + 1), 5.5 * size), (h + 2, 0.36 * body.height_mm), rounding=2.2
    )
    _bone(canvas, window, crest, body.marrow)
    wing = box(
        (side - np.float32(body.half_width_mm + 8), 20 * size),
        (back - np.float32(-3 + 0.3 * depth), 15 * size),
        (h, body.height_mm * 0.53),
        rounding=3.0,
    )
    _bone(canvas, window, wing, body.marrow)
    foramen = ellipsoid(
        (side - np.float32(body.half_width_mm - 8), 5.0), (back + 3, 6.0), (h + np.float32(0.4 * body.height_mm), 5.0)
    )
    canvas.lay(window, foramen, Tissue.EPIDURAL_FAT, share=0.9)
    canvas.lay(window, foramen * np.float32(2) + 3, Tissue.NERVE)


def _bone(canvas: Canvas, window: Window, distance: Image, marrow: float) -> None:
    canvas.lay(window, distance, Tissue.CORTEX)
    canvas.lay(window, distance + np.float32(CORTEX_MM), Tissue.MARROW, factor=0.95 * marrow)
