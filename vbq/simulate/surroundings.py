"""Painting what is not spine: skin and fat, muscles, great vessels, bowel, pelvic organs."""

from dataclasses import dataclass

import numpy as np

from vbq.simulate.canvas import Canvas, box, ellipsoid
from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Numbers, Vector
from vbq.simulate.profile import Profile
from vbq.simulate.spine import Spine
from vbq.simulate.tissue import Tissue


@dataclass(frozen=True)
class Organ:
    """An ellipsoid in front of the spine."""

    place: Vector
    half_mm: Vector
    tissue: Tissue
    share: float


@dataclass(frozen=True)
class Surroundings:
    """The trunk about the spine. `skin` and `belly` are tables over height like those of Profile."""

    skin: Image  # y of the back's skin in the midline
    belly: Image
    back_fat_mm: float
    belly_fat_mm: float
    aorta_end_mm: float
    organs: tuple[Organ, ...]


def build_surroundings(spine: Spine, profile: Profile, parameters: PhantomParameters) -> Surroundings:
    """The trunk of `parameters`: the back flatter than the spine, hollow at the waist, fuller over the sacrum."""
    rng = np.random.default_rng([parameters.seed, 5])
    z = np.linspace(-260, 260, len(profile.rear_wall))
    wall = profile.rear_wall.astype(float)
    arch = (profile.canal_depth + profile.arch_depth) / profile.slope
    lumbar = wall[len(wall) // 2]
    hip = float(rng.uniform(2, 7)) / (1 + np.exp((z + 95) / 14))
    fat = parameters.back_fat_mm * (1 - 0.35 / (1 + np.exp((z + 90) / 12)) - 0.35 / (1 + np.exp((40 - z) / 25)))
    flat = lumbar + 0.6 * (wall - lumbar) + parameters.canal_mm + 36 + parameters.back_fat_mm + hip
    skin = np.maximum(flat, wall + arch + 4 + fat)
    depth = float(rng.uniform(125, 165))
    neck = parameters.conditions.part == "cervical"
    belly = wall.mean() - (0.45 * depth if neck else depth) - 14 * np.cos((z + 40) / 60)
    return Surroundings(
        skin=_smooth(skin).astype(np.float32),
        belly=belly.astype(np.float32),
        back_fat_mm=parameters.back_fat_mm,
        belly_fat_mm=float(rng.uniform(15, 45)),
        aorta_end_mm=spine.at("L4").centre[2] + float(rng.uniform(-8, 8)),
        organs=tuple(_organs(spine, profile, rng))
        if parameters.conditions.part == "lumbar"
        else _elsewhere(parameters),
    )


def _smooth(row: Numbers) -> Numbers:
    kernel = np.hanning(301)
    return np.convolve(np.pad(row, 150, mode="edge"), kernel / kernel.sum(), mode="valid")


def _organs(spine: Spine, profile: Profile, rng: np.random.Generator) -> list[Organ]:
    """Bowel loops anywhere in front, uterus, bladder and rectum in the pelvis."""
    organs = []
    for _ in range(70):
        z = float(rng.uniform(-130, 190))
        front = float(Profile.read(profile.front_wall, np.array([z], dtype=np.float32))[0])
        size = float(rng.uniform(7, 19))
        depth = float(rng.uniform(26, 70))
        organs.append(
            Organ(
                (float(rng.uniform(-70, 70)), front - depth, z),
                (1.6 * size, size * float(rng.uniform(0.6, 1.4)), size * float(rng.uniform(0.6, 1.2))),
                (Tissue.BOWEL, Tissue.VISCERA, Tissue.FLUID)[int(rng.choice(3, p=[0.5, 0.4, 0.1]))],
                float(rng.uniform(0.6, 1.0)),
            )
        )
    s2, s4 = spine.at("S2").place(0, -spine.at("S2").depth_mm / 2, 0), spine.at("S4").centre
    organs.append(Organ((float(rng.uniform(-6, 6)), s4[1] - 24, s4[2] - 5), (16, 13, 38), Tissue.BOWEL, 0.9))
    organs.append(Organ((0.0, s2[1] - 52, s4[2] + 4), (24, 26, 20), Tissue.VISCERA, 1.0))
    organs.append(Organ((0.0, s2[1] - 88, s4[2] - 22), (34, 26, 22), Tissue.FLUID, 1.0))
    return organs


def _elsewhere(parameters: PhantomParameters) -> tuple[Organ, ...]:
    """Lungs and heart, or windpipe, tongue and the skull's base."""
    if parameters.conditions.part == "thoracic":
        lungs = [Organ((side * 72.0, -35.0, 10.0), (42, 60, 130), Tissue.AIR, 1.0) for side in (-1, 1)]
        return (*lungs, Organ((10.0, -85.0, -20.0), (45, 40, 50), Tissue.VISCERA, 0.9))
    return (
        Organ((0.0, -32.0, -20.0), (9, 8, 70), Tissue.AIR, 1.0),
        Organ((0.0, -48.0, 45.0), (22, 20, 24), Tissue.VISCERA, 0.9),
        Organ((0.0, 10.0, 150.0), (75, 85, 62), Tissue.MUSCLE, 1.0),
    )


def paint_surroundings(canvas: Canvas, profile: Profile, trunk: Surroundings) -> None:
    """The whole trunk, to be painted first."""
    window = canvas.plane.whole()
    x, y, z = window.points.x, window.points.y, window.points.z
    skin, belly = Profile.read(trunk.skin, z), Profile.read(trunk.belly, z)
    rear = Profile.read(profile.rear_wall, z)
    curve = np.square(x) * np.float32(0.0016)
    furrow = np.float32(4) * np.exp(-np.square(x / 18)) - 4
    outline = np.maximum(y - (skin - curve + furrow), belly + np.square(x) * np.float32(0.004) - y)
    outline = np.maximum(outline, np.abs(x) - 172)
    canvas.lay(window, outline, Tissue.SUBCUTANEOUS_FAT)
    fascia = np.maximum(
        y - (skin - curve - np.float32(trunk.back_fat_mm)), belly + np.float32(trunk.belly_fat_mm) - y + curve * 3
    )
    fascia = np.maximum(fascia, np.abs(x) - 145)
    canvas.lay(window, fascia, Tissue.LIGAMENT)
    canvas.lay(window, fascia + np.float32(1.2), Tissue.DEEP_FAT, factor=0.8)
    for organ in trunk.organs:
        _paint_organ(canvas, organ, trunk)
    _paint_great_vessels(canvas, profile, trunk)
    muscle = np.maximum(
        fascia + np.float32(1.2), rear + 2 + np.float32(0.02) * np.square(np.maximum(np.abs(x) - 30, 0)) - y
    )
    canvas.lay(window, muscle, Tissue.MUSCLE)
    _paint_planes_of_fat(canvas, profile)
    if np.abs(x).max() > 10:
        _paint_psoas(canvas, profile)


def _paint_organ(canvas: Canvas, organ: Organ, trunk: Surroundings) -> None:
    """A wall with its contents; what would reach into the fat of the belly is cut off."""
    window = canvas.plane.around(organ.place, organ.half_mm)
    if window is not None:
        points = window.points
        axes = zip((points.x, points.y, points.z), organ.place, organ.half_mm, strict=True)
        body = ellipsoid(*((coordinate - np.float32(middle), half) for coordinate, middle, half in axes))
        belly = Profile.read(trunk.belly, points.z) + np.square(points.x) * np.float32(0.0048)
        body = np.maximum(body, belly + np.float32(trunk.belly_fat_mm + 2) - points.y)
        canvas.lay(window, body, Tissue.VISCERA, share=organ.share, factor=1.2)
        canvas.lay(window, body + np.float32(2.2), organ.tissue, share=organ.share)


def _paint_great_vessels(canvas: Canvas, profile: Profile, trunk: Surroundings) -> None:
    """Aorta left of the midline, vena cava right of it, dark by flow; they part at L4."""
    window = canvas.plane.around((0.0, profile.canal_place(0.0, 0.0)[1] - 50, 60.0), (60, 48, 220))
    if window is None:
        return
    x, y, z = window.points.x, window.points.y, window.points.z
    front = Profile.read(profile.front_wall, z) - np.float32(2)
    below = np.maximum(np.float32(trunk.aorta_end_mm) - z, 0)
    spread, size = below * np.float32(0.5), np.clip(1 - below / 160, 0.55, 1)
    for middle, radius, apart in ((5.0, 8.5, 1.0), (-16.0, 9.5, -0.6)):
        vessel = ellipsoid(
            (x - np.float32(middle) - spread * np.float32(apart), radius * size),
            (y - front + np.float32(radius + 2) + below * np.float32(0.05), radius * size * 0.95),
        )
        canvas.lay(window, vessel - np.float32(0.9), Tissue.VISCERA, share=0.8)
        canvas.lay(window, vessel, Tissue.VESSEL)


def _paint_planes_of_fat(canvas: Canvas, profile: Profile) -> None:
    """Fat between multifidus and longissimus, and behind the facets."""
    pixels = profile.near_canal(canvas.plane, aside_mm=45, front_mm=-10, back_mm=55)
    if pixels is None:
        return
    around = profile.corridor(canvas.plane, pixels)
    window, x, q = around.window, around.x, around.q
    side = np.abs(x)
    cleft = np.abs(side - 19 - np.float32(0.25) * (q - 30)) - np.float32(1.2)
    canvas.lay(window, np.maximum(cleft, np.abs(q - 34) - 16), Tissue.DEEP_FAT, share=0.6)
    canvas.lay(window, box((side - 9, 8.0), (q - 30, 3.0), rounding=2.0), Tissue.DEEP_FAT, share=0.35)


def _paint_psoas(canvas: Canvas, profile: Profile) -> None:
    """A muscle on either side that grows from T12 down and turns outwards and forwards."""
    window = canvas.plane.around((0.0, profile.canal_place(0.0, 0.0)[1] - 30, 0.0), (90, 60, 220))
    if window is None:
        return
    x, y, z = window.points.x, window.points.y, window.points.z
    middle = Profile.read(profile.midline, z)
    centre_y = np.float32(0.5) * (Profile.read(profile.rear_wall, z) + Profile.read(profile.front_wall, z))
    down = np.clip((np.float32(75) - z) / 150, 0, 1.2)
    size = np.clip(down * 2.2, 0.02, 1)
    psoas = ellipsoid(
        (np.abs(x - middle) - np.float32(30) - 12 * down, 15 * size),
        (y - centre_y + 22 * np.square(down) - 6, 18 * size),
    )
    canvas.lay(window, psoas, Tissue.MUSCLE, factor=1.05)
