"""Where the bones are: vertebrae from S4 up along a curve, each with its own frame.

In a vertebra's frame `a` points to the back along the endplates, `h` to the head, `x` to the patient's left, all in mm
from the middle of the body. The origin of the patient's space is the middle of L3 (for a lumbar spine).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from vbq.simulate.parameters import Fracture, PhantomParameters
from vbq.simulate.plane import Image, Numbers, Points, Vector
from vbq.simulate.template import TEMPLATES, Template

COLLAPSED = 0.35  # of a sound disc's height


@dataclass(frozen=True)
class Vertebra:
    """One body: its frame, its size and what is wrong with it."""

    level: str
    centre: Vector
    tilt_rad: float
    lean_rad: float
    height_mm: float  # at the back
    depth_mm: float
    half_width_mm: float
    concavity_mm: tuple[float, float] = (1.0, 1.2)  # of the upper and the lower endplate
    waist_mm: float = 1.3
    marrow: float = 1.0
    fracture: Fracture | None = None
    mobile: bool = False
    taper: float = 0.0  # share of its depth by which the lower endplate is shorter than the upper one

    @property
    def sacral(self) -> bool:
        """Part of the sacrum: no posterior elements of the lumbar kind, no disc of any height below S1."""
        return self.level.startswith("S") and not self.mobile

    def local(self, points: Points) -> tuple[Image, Image, Image]:
        """(x, a, h) of points, mm."""
        x = points.x - np.float32(self.centre[0])
        y = points.y - np.float32(self.centre[1])
        z = points.z - np.float32(self.centre[2])
        cos, sin = np.float32(math.cos(self.tilt_rad)), np.float32(math.sin(self.tilt_rad))
        a = y * cos + z * sin
        h = z * cos - y * sin - x * np.float32(math.tan(self.lean_rad))
        return x, a, h

    def place(self, x: float, a: float, h: float) -> Vector:
        """The point of patient space at (x, a, h) of this frame."""
        cos, sin = math.cos(self.tilt_rad), math.sin(self.tilt_rad)
        up = h + x * math.tan(self.lean_rad)
        return self.centre[0] + x, self.centre[1] + a * cos - up * sin, self.centre[2] + a * sin + up * cos


@dataclass(frozen=True)
class Disc:
    """The space between a vertebra and the next one below."""

    above: Vertebra
    below: Vertebra
    frame: Vertebra  # a frame in the middle, its height that of the space
    degeneration: float  # 0 healthy, 1 black
    bulge_mm: float
    fused: bool = False  # bone has grown across


@dataclass(frozen=True)
class Spine:
    """All bodies from below, and the discs between them."""

    vertebrae: tuple[Vertebra, ...]
    discs: tuple[Disc, ...]

    def at(self, level: str) -> Vertebra:
        """The vertebra called `level`."""
        return next(vertebra for vertebra in self.vertebrae if vertebra.level == level)


def build_spine(parameters: PhantomParameters) -> Spine:
    """The spine of `parameters`; the same parameters give the same spine."""
    rng = np.random.default_rng([parameters.seed, 2])
    template = _varied(TEMPLATES[parameters.conditions.part], parameters)
    levels, count = template.levels, len(template.levels)
    tilt = np.array(template.tilt_deg)
    lordotic = tilt * np.where(tilt > -4, parameters.lordosis, 0.5 + 0.5 * parameters.lordosis)
    tilts = np.radians(lordotic + rng.normal(0, 1.2, count))
    heights = np.array(template.height_mm) * parameters.size * (1 + rng.normal(0, 0.015, count))
    depths = np.array(template.depth_mm) * parameters.size * (1 + rng.normal(0, 0.012, count))
    wear = np.clip(parameters.degeneration + rng.normal(0, 0.18, count), 0, 1)
    discs = np.array(template.disc_below_mm) * parameters.size * (1 - 0.45 * wear) * (1 + rng.normal(0, 0.05, count))
    fractures: dict[str, Fracture] = {fracture.level: fracture for fracture in parameters.fractures}
    for broken in fractures.values():
        if broken.shape == "wedge":  # the bodies above lean forwards over the lost front
            i = levels.index(broken.level)
            tilts[i + 1 :] += 0.6 * math.atan(broken.loss * heights[i] / depths[i])
    bodies = []
    mobile = {"S1"} if parameters.conditions.variant == "lumbarised-s1" else set()
    for i, level in enumerate(levels):
        fracture = fractures.get(level)
        kept = 1 - fracture.loss if fracture and fracture.shape == "crush" else 1.0
        sacral = level.startswith("S") and level not in mobile
        bodies.append(
            Vertebra(
                level=level,
                centre=(0.0, 0.0, 0.0),
                tilt_rad=float(tilts[i]),
                lean_rad=0.0,
                height_mm=float(heights[i] * kept),
                depth_mm=float(depths[i]),
                half_width_mm=template.half_width_mm[i] * parameters.size,
                concavity_mm=(0.3, 0.3) if sacral else (float(rng.uniform(0.8, 1.9)), float(rng.uniform(1.0, 2.2))),
                waist_mm=0.5 if sacral else float(rng.uniform(0.9, 1.8)),
                marrow=float(1 + rng.normal(0, 0.035)),
                fracture=fracture,
                mobile=level in mobile,
                taper=0.16 if level in mobile else 0.0,
            )
        )
    placed = _stack(bodies, discs, template.origin, parameters)
    return Spine(placed, _discs(placed, wear, rng, fused=parameters.conditions.variant == "merged-sacrum"))


def _varied(template: Template, parameters: PhantomParameters) -> Template:
    """The template with collapsed discs and with the lumbosacral junction of the variant that is asked for.

    Sacralised L5: a remnant of a disc below, tilted with the sacrum. Lumbarised S1: square, upright, a disc below.
    Merged: next to nothing between L5 and S1, and bone across (paint_disc).
    """
    tilt, depth, discs = list(template.tilt_deg), list(template.depth_mm), list(template.disc_below_mm)
    s2, s1, l5 = (template.levels.index(level) for level in ("S2", "S1", "L5"))
    variant = parameters.conditions.variant
    for name in parameters.conditions.collapsed:
        upper, lower = (template.levels.index(level) for level in name.split("/"))
        discs[upper] *= COLLAPSED
        turn = 0.25 * (tilt[lower] - tilt[upper])  # its wedge is half of what it was: worn plates lie nearly parallel
        tilt[upper], tilt[lower] = tilt[upper] + turn, tilt[lower] - turn
    if variant == "sacralised-l5":
        tilt[l5], depth[l5], discs[l5] = 32.0, 31.0, 3.5
    elif variant == "lumbarised-s1":
        tilt[s1], tilt[l5], depth[s1], depth[s2], discs[s1] = 29.0, 17.0, 33.0, 25.0, 7.5
    elif variant == "merged-sacrum":
        tilt[l5], discs[l5] = 28.0, 0.8
    return replace(template, tilt_deg=tuple(tilt), depth_mm=tuple(depth), disc_below_mm=tuple(discs))


def _stack(bodies: list[Vertebra], discs: Numbers, origin: str, parameters: PhantomParameters) -> tuple[Vertebra, ...]:
    """Put the bodies one above the other from S4, the posterior walls in line, then move `origin` to the origin."""
    rear = np.zeros(2)  # (y, z) of the upper posterior corner of the body below
    centres = []
    for i, body in enumerate(bodies):
        cos, sin = math.cos(body.tilt_rad), math.sin(body.tilt_rad)
        towards_back, up = np.array([cos, sin]), np.array([-sin, cos])
        between = 0.5 * (body.tilt_rad + bodies[max(i - 1, 0)].tilt_rad)
        gap = np.array([-math.sin(between), math.cos(between)]) * discs[i]
        corner = rear + gap
        if body.level == parameters.conditions.listhesis_level:
            corner = corner - towards_back * parameters.listhesis_mm
        centres.append(corner + up * body.height_mm / 2 - towards_back * body.depth_mm / 2)
        rear = corner + up * body.height_mm
    middle = centres[[body.level for body in bodies].index(origin)]
    placed = []
    for body, centre in zip(bodies, centres, strict=True):
        y, z = (float(value) for value in centre - middle)
        placed.append(replace(body, centre=(sideways(z, parameters), y, z), lean_rad=_lean(z, parameters)))
    return tuple(placed)


def sideways(z: float, parameters: PhantomParameters) -> float:
    """Where the curve of the spine lies at height z: a lumbar scoliosis with its apex near L2."""
    return parameters.scoliosis_mm * math.cos((z - 30) / 55) - parameters.scoliosis_mm * 0.25


def _lean(z: float, parameters: PhantomParameters) -> float:
    return -math.atan(-parameters.scoliosis_mm / 55 * math.sin((z - 30) / 55))


def _discs(bodies: tuple[Vertebra, ...], wear: Numbers, rng: np.random.Generator, *, fused: bool) -> tuple[Disc, ...]:
    spaces = []
    for i in range(1, len(bodies)):
        below, above = bodies[i - 1], bodies[i]
        upper, lower = above.place(0, 0, -above.height_mm / 2), below.place(0, 0, below.height_mm / 2)
        x, y, z = ((p + q) / 2 for p, q in zip(upper, lower, strict=True))
        tilt = (above.tilt_rad + below.tilt_rad) / 2
        frame = Vertebra(
            level=f"{above.level}/{below.level}",
            centre=(x, y, z),
            tilt_rad=tilt,
            lean_rad=(above.lean_rad + below.lean_rad) / 2,
            height_mm=math.dist(upper, lower),
            depth_mm=min(above.depth_mm, below.depth_mm) if above.sacral else (above.depth_mm + below.depth_mm) / 2,
            half_width_mm=(above.half_width_mm + below.half_width_mm) / 2,
        )
        bulge = float(rng.uniform(0, 1.0) + 2.2 * wear[i] ** 2)
        spaces.append(Disc(above, below, frame, float(wear[i]), bulge, fused=fused and above.level == "L5"))
    return tuple(spaces)
