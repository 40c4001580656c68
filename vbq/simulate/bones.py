"""Painting vertebral bodies and discs."""

import math

import numpy as np

from vbq.simulate.canvas import Canvas, ellipsoid, rounded
from vbq.simulate.plane import Image, Vector
from vbq.simulate.spine import Disc, Vertebra
from vbq.simulate.tissue import Tissue

CORTEX_MM = 0.7


def reach_of(body: Vertebra, depth_mm: float, height_mm: float, margin_mm: float) -> Vector:
    """Half sides of a box of patient space that holds depth x height in the tilted frame of `body`."""
    cos, sin = abs(math.cos(body.tilt_rad)), abs(math.sin(body.tilt_rad))
    return (
        body.half_width_mm + margin_mm,
        (depth_mm * cos + height_mm * sin) / 2 + margin_mm,
        (depth_mm * sin + height_mm * cos) / 2 + margin_mm,
    )


def paint_body(canvas: Canvas, body: Vertebra) -> None:
    """Cortex, marrow, the basivertebral vein, and the edema of a fresh fracture."""
    window = canvas.plane.around(body.centre, reach_of(body, body.depth_mm, body.height_mm, 4))
    if window is None:
        return
    x, a, h = body.local(window.points)
    distance = body_distance(body, x, a, h)
    canvas.lay(window, distance, Tissue.CORTEX)
    marrow = Tissue.SACRAL_MARROW if body.sacral else Tissue.MARROW
    inner = distance + np.float32(CORTEX_MM)
    canvas.lay(window, inner, marrow, factor=body.marrow)
    if not body.sacral:
        back = a - np.float32(body.depth_mm / 2)
        deep = 0.12 * body.depth_mm  # half of how far it reaches in; readers' ovals lie ahead of it
        narrowing = np.float32(0.7) + np.maximum(back + np.float32(2 * deep), 0) * np.float32(0.14)
        length = np.abs(back + np.float32(deep - 1)) - np.float32(deep + 1)
        vein = rounded(np.abs(h) - narrowing, length, np.abs(x) - 4, rounding=0.0)
        canvas.lay(window, np.maximum(vein, inner - 1), Tissue.VEIN, share=0.8, factor=body.marrow)
    if body.fracture is not None and body.fracture.acute:
        edge = h - np.float32(body.height_mm * (0.5 - 0.6 * body.fracture.loss - 0.25))
        canvas.lay(window, np.maximum(inner, -edge), Tissue.EDEMA, share=0.75)


def body_distance(body: Vertebra, x: Image, a: Image, h: Image) -> Image:
    """Signed distance in mm to a body's surface: kidney-shaped from above, waisted, with hollow endplates."""
    half_depth, half_height = np.float32(body.depth_mm / 2), np.float32(body.height_mm / 2)
    if body.taper:
        a = a / (1 - np.float32(body.taper) * np.clip(np.float32(0.5) - h / np.float32(body.height_mm), 0, 1))
    side = np.minimum(np.square(x / np.float32(body.half_width_mm)), 1)
    waist = np.float32(body.waist_mm) * np.maximum(1 - np.square(h / half_height), 0)
    front = -half_depth * np.sqrt(1 - side)
    rear = half_depth * np.sqrt(1 - side**3) - np.float32(1.5) * np.maximum(1 - np.square(x / 9), 0) * np.float32(
        0.0 if body.sacral else 1.0
    )
    along = np.clip(a / half_depth, -1, 1)
    dome = 1 - np.square(along)
    top = half_height - np.float32(body.concavity_mm[0]) * dome - _lost(body, along)
    bottom = -half_height + np.float32(body.concavity_mm[1]) * dome
    rounding = 2.2
    depth = np.maximum(a - (rear - waist), (front + waist) - a) + np.float32(rounding)
    height = np.maximum(h - top, bottom - h) + np.float32(rounding)
    return rounded(depth, height, rounding=rounding)


def _lost(body: Vertebra, along: Image) -> Image | float:
    """How much lower than its back edge the upper endplate stands, mm; `along` runs from -1 in front to 1 behind."""
    if body.fracture is None or body.fracture.shape == "crush":
        return 0.0
    loss = np.float32(body.fracture.loss * body.height_mm)
    lowered: Image = loss * (np.float32(0.5) * (1 - along) if body.fracture.shape == "wedge" else 1 - np.square(along))
    return lowered


def paint_disc(canvas: Canvas, disc: Disc) -> None:
    """Annulus and nucleus; the bodies are painted over them and so shape them."""
    frame = disc.frame
    if disc.fused:
        return
    if disc.above.sacral:
        _paint_sacral_line(canvas, frame)
        return
    half_height = frame.height_mm / 2 + 3.5 + _gap(disc)
    window = canvas.plane.around(frame.centre, reach_of(frame, frame.depth_mm + 10, 2 * half_height, 4))
    if window is None:
        return
    x, a, h = frame.local(window.points)
    side = np.minimum(np.square(x / np.float32(frame.half_width_mm)), 1)
    half_depth = np.float32(frame.depth_mm / 2)
    bulge = np.float32(disc.bulge_mm) * np.maximum(1 - np.square(h / np.float32(frame.height_mm / 2 + 1)), 0)
    depth = np.maximum(
        a - half_depth * np.sqrt(1 - side**3) - bulge, -half_depth * np.sqrt(1 - side) - np.float32(0.6) * bulge - a
    )
    height = np.abs(h) - np.float32(half_height)
    canvas.lay(window, rounded(depth + 2, height + 2, rounding=2.0), Tissue.ANNULUS)
    nucleus = ellipsoid((x, 0.72 * frame.half_width_mm), (a, 0.40 * frame.depth_mm), (h, frame.height_mm * 0.95 + 2))
    soft = np.clip(np.float32(0.5) - nucleus * np.float32(0.18), 0, 1)
    inside = np.maximum(rounded(depth + 2, height + 2, rounding=2.0) + np.float32(1.5), nucleus - 2)
    fade = np.float32(1 - 0.45 * disc.degeneration) * soft
    canvas.lay(window, inside, Tissue.NUCLEUS, share=1.0, factor=0.5 + 0.5 * fade)


def _gap(disc: Disc) -> float:
    """A wedge or a sunken endplate below leaves more room for the disc."""
    fracture = disc.below.fracture
    return 0.0 if fracture is None or fracture.shape == "crush" else fracture.loss * disc.below.height_mm


def _paint_sacral_line(canvas: Canvas, frame: Vertebra) -> None:
    """The remnant of a disc between two sacral bodies."""
    window = canvas.plane.around(frame.centre, reach_of(frame, frame.depth_mm, 6, 3))
    if window is None:
        return
    x, a, h = frame.local(window.points)
    line = ellipsoid((x, 0.8 * frame.half_width_mm), (a, 0.47 * frame.depth_mm), (h, frame.height_mm / 2 + 0.7))
    canvas.lay(window, line, Tissue.ANNULUS)


def paint_bridge(canvas: Canvas, disc: Disc) -> None:
    """Bone that has grown across a disc: marrow from one body into the next, but for a rim of cortex."""
    frame = disc.frame
    window = canvas.plane.around(frame.centre, reach_of(frame, frame.depth_mm, frame.height_mm + 8, 3))
    if window is not None:
        x, a, h = frame.local(window.points)
        bridge = ellipsoid((x, 0.9 * frame.half_width_mm), (a, 0.46 * frame.depth_mm), (h, frame.height_mm + 3.0))
        canvas.lay(window, bridge, Tissue.SACRAL_MARROW, share=0.85)


def paint_modic(canvas: Canvas, disc: Disc, tissue: Tissue = Tissue.FATTY_LESION) -> None:
    """Change on both sides of a disc, in the front half: by default fat (Modic 2)."""
    for body, sign in ((disc.above, -1.0), (disc.below, 1.0)):
        centre = body.place(0, -0.2 * body.depth_mm, sign * body.height_mm / 2)
        window = canvas.plane.around(centre, (20, 16, 12))
        if window is None:
            continue
        x, a, h = body.local(window.points)
        patch = ellipsoid(
            (x, 15.0), (a + np.float32(0.2 * body.depth_mm), 10.0), (h - np.float32(sign * body.height_mm / 2), 6.0)
        )
        inner = body_distance(body, x, a, h) + np.float32(CORTEX_MM)
        canvas.lay(window, np.maximum(patch * np.float32(0.4), inner), tissue, share=0.9)


def paint_haemangioma(canvas: Canvas, body: Vertebra, size: float = 1.0) -> None:
    """A round fatty lesion inside a body, `size` times 7 mm in half width."""
    place = (2.0, -0.12 * body.depth_mm, 0.08 * body.height_mm)
    window = canvas.plane.around(body.place(*place), (9 * size, 9 * size, 9 * size))
    if window is None:
        return
    x, a, h = body.local(window.points)
    ball = ellipsoid(
        (x - np.float32(place[0]), 7.0 * size),
        (a - np.float32(place[1]), 6.5 * size),
        (h - np.float32(place[2]), 6.0 * size),
    )
    canvas.lay(window, ball * np.float32(0.5), Tissue.FATTY_LESION, share=0.85)


def paint_schmorl(canvas: Canvas, body: Vertebra) -> None:
    """Disc that has broken into the upper endplate: a dark pocket with a sclerotic rim, 9 mm deep."""
    top = body.height_mm / 2 - body.concavity_mm[0]
    centre = body.place(0, -0.05 * body.depth_mm, top)
    window = canvas.plane.around(centre, (14, 12, 13))
    if window is None:
        return
    x, a, h = body.local(window.points)
    back, down = a + np.float32(0.05 * body.depth_mm), h - np.float32(top)
    pocket = np.maximum(ellipsoid((x, 11.0), (back, 6.5), (down, 9.0)), body_distance(body, x, a, h))
    canvas.lay(window, pocket - np.float32(1.2), Tissue.CORTEX, share=0.8)
    canvas.lay(window, pocket, Tissue.NUCLEUS, factor=0.7)
