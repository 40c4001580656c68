"""Painting the spinal canal: epidural fat, dura, CSF, conus and the roots of the cauda equina."""

import math
from dataclasses import dataclass

import numpy as np

from vbq.simulate.canvas import Canvas, box, ellipsoid
from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Vector, Window
from vbq.simulate.profile import HIGH_MM, LOW_MM, Corridor, Profile
from vbq.simulate.spine import Spine
from vbq.simulate.tissue import Tissue


@dataclass(frozen=True)
class Root:
    """A nerve root: its thickness, and where it lies in the sac's cross-section (-1 to 1 on both axes)."""

    depth: float
    aside: float
    wave: float
    length_mm: float
    phase: float
    radius_mm: float
    leaves_mm: float  # the height at which it leaves the sac


@dataclass(frozen=True)
class CanalContents:
    """The soft parts within the canal."""

    sac_half_depth_mm: float
    sac_half_width_mm: float
    ventral_gap_mm: float
    conus_mm: float  # height of the conus' tip
    cord_half_mm: tuple[float, float]  # depth, width
    roots: tuple[Root, ...]
    fat_pads: tuple[tuple[Vector, float, float], ...]  # place, half height, thickness
    veins: tuple[Vector, ...]


def build_canal(spine: Spine, profile: Profile, parameters: PhantomParameters) -> CanalContents:
    """The contents of the canal of `parameters`."""
    rng = np.random.default_rng([parameters.seed, 4])
    gap = float(rng.uniform(1.0, 1.8))
    half_depth = (parameters.canal_mm - gap - float(rng.uniform(2.2, 3.8))) / 2
    l1 = spine.at("L1")
    conus = l1.centre[2] + l1.height_mm * float(rng.uniform(-0.35, 0.45))
    return CanalContents(
        sac_half_depth_mm=half_depth,
        sac_half_width_mm=float(rng.uniform(8.5, 10.0)),
        ventral_gap_mm=gap,
        conus_mm=conus,
        cord_half_mm=(float(rng.uniform(2.9, 3.5)), float(rng.uniform(3.8, 4.6))),
        roots=tuple(_roots(spine, parameters, rng)),
        fat_pads=tuple(_fat_pads(spine, profile, parameters, rng)),
        veins=tuple(body.place(0, body.depth_mm / 2, 0) for body in spine.vertebrae if not body.sacral),
    )


def _roots(spine: Spine, parameters: PhantomParameters, rng: np.random.Generator) -> list[Root]:
    """Pairs L2 to S4: the lower ones lie further back and nearer the middle, as in a woman on her back."""
    roots = []
    for i, level in enumerate(("L2", "L3", "L4", "L5", "S1", "S2", "S2", "S2")):
        for side in (-1, 1):
            free = rng.random() < parameters.root_spread
            depth = float(rng.uniform(-0.5, 0.5)) if free else float(rng.uniform(0.5, 0.86))
            aside = side * float(np.clip(0.72 - 0.09 * i + rng.normal(0, 0.06), 0.05, 0.8))
            roots.append(
                Root(
                    depth,
                    aside,
                    float(rng.uniform(0.02, 0.1)),
                    float(rng.uniform(30, 80)),
                    float(rng.uniform(0, 2 * math.pi)),
                    float(rng.uniform(0.5, 0.8)),
                    spine.at(level).centre[2] + (8 if i < 5 else -6 * (i - 5)),
                )
            )
    return roots


def _fat_pads(
    spine: Spine, profile: Profile, parameters: PhantomParameters, rng: np.random.Generator
) -> list[tuple[Vector, float, float]]:
    """Posterior epidural fat between the laminae, thicker in the lumbar spine."""
    pads = []
    for disc in spine.discs:
        body = disc.above
        if body.sacral:
            continue
        z = body.place(0, body.depth_mm / 2 + parameters.canal_mm, -0.5 * body.height_mm - 1)[2]
        if not LOW_MM + 1 < z < HIGH_MM - 1:  # a neck's lumbar spine is far out of the image
            continue
        lumbar = body.level.startswith("L")
        depth = float(Profile.read(profile.canal_depth, np.array([z], dtype=np.float32))[0])
        thickness = float(rng.uniform(4.0, 6.0) if lumbar else rng.uniform(1.8, 3.0))
        pads.append((profile.canal_place(depth - 0.4, z), float(rng.uniform(8.5, 11.0)), thickness))
    return pads


def paint_canal(canvas: Canvas, profile: Profile, contents: CanalContents, around: Corridor) -> None:
    """The canal and everything in it; painted last, over the bones."""
    near = around.within(aside_mm=18, front_mm=2, back_mm=28)
    if near is None:
        return
    window, x, q = near.window, near.x, near.q
    points = window.points
    depth = Profile.read(profile.canal_depth, points.z)
    width = Profile.read(profile.canal_half_width, points.z)
    canal = box((x, width), (q - depth / 2, depth / 2), rounding=3.0)
    canvas.lay(window, canal, Tissue.FLAVUM, factor=1.1)
    core = np.float32(7.5) * Profile.read(profile.sac_scale, points.z) - 0.5  # below the sac all is fat
    lateral = np.maximum(canal, core - np.abs(x))
    canvas.lay(window, lateral, Tissue.EPIDURAL_FAT, share=0.8)
    canvas.lay(window, box((x, width), (q - np.float32(0.4), 0.6)), Tissue.LIGAMENT)
    for vein in contents.veins:
        _paint_vein(canvas, profile, vein)
    for pad in contents.fat_pads:
        _paint_fat(canvas, profile, *pad)
    _paint_sac(canvas, profile, contents, near)


def _paint_vein(canvas: Canvas, profile: Profile, place: Vector) -> None:
    """Fat and veins in front of the sac at the middle of each body."""
    window = canvas.plane.around(place, (9, 5, 10))
    if window is not None:
        x, q = profile.canal(window.points)
        h = window.points.z - np.float32(place[2])
        canvas.lay(window, ellipsoid((x, 7.0), (q - 1, 1.6), (h, 7.0)), Tissue.EPIDURAL_FAT, share=0.6)


def _paint_fat(canvas: Canvas, profile: Profile, place: Vector, half_height: float, thickness: float) -> None:
    """A pad behind the sac: a triangle between the laminae, seen from above."""
    window = canvas.plane.around(place, (9, 14, half_height + 3))
    if window is not None:
        x, q = profile.canal(window.points)
        back = q - profile.behind(place)
        h = window.points.z - np.float32(place[2])
        pad = ellipsoid((x, 5.5), (back, thickness), (h, half_height))
        canvas.lay(window, np.maximum(pad, back - 3), Tissue.EPIDURAL_FAT)


def _paint_sac(canvas: Canvas, profile: Profile, contents: CanalContents, around: Corridor) -> None:
    """Dura, CSF, cord and roots."""
    near = around.within(aside_mm=12, front_mm=1, back_mm=24)
    if near is None:
        return
    window, x, q = near.window, near.x, near.q
    z = window.points.z
    share = Profile.read(profile.canal_depth, z) / np.float32(
        2 * (contents.sac_half_depth_mm + contents.ventral_gap_mm)
    )
    scale = np.maximum(Profile.read(profile.sac_scale, z) * np.minimum(share, 1.05), np.float32(1e-3))
    half_depth, half_width = contents.sac_half_depth_mm * scale, contents.sac_half_width_mm * scale
    inner = np.float32(contents.ventral_gap_mm) + (2 - Profile.read(profile.sac_scale, z) * 2) * 3
    v = (q - inner - half_depth) / half_depth
    u = x / half_width
    shortest = np.minimum(half_depth, half_width)
    sac = (np.sqrt(v * v + u * u) - 1) * shortest + np.where(scale < 0.05, np.float32(9), np.float32(0))
    canvas.lay(window, sac - np.float32(0.7), Tissue.LIGAMENT, share=0.8)
    canvas.lay(window, sac, Tissue.CSF)
    _paint_cord(canvas, window, contents, (v * half_depth, x, z), sac)
    nearest = np.full(x.shape, 9, dtype=np.float32)
    for root in contents.roots:
        np.minimum(nearest, _root_distance(contents, root, (v, x, z, half_depth, half_width)), out=nearest)
    canvas.lay(window, nearest, Tissue.NERVE)


def _paint_cord(
    canvas: Canvas, window: Window, contents: CanalContents, place: tuple[Image, Image, Image], sac: Image
) -> None:
    """The cord, behind the middle, thinning to the conus' tip; `place` is (depth from the middle, x, z), mm."""
    depth, x, z = place
    taper = np.clip((z - np.float32(contents.conus_mm)) / 32, 0, 1) ** np.float32(0.6) + np.float32(1e-3)
    behind = np.float32(0.22 * contents.sac_half_depth_mm)
    cord = ellipsoid(
        (depth - behind, contents.cord_half_mm[0] * taper), (x, contents.cord_half_mm[1] * taper)
    ) + np.where(taper < 0.05, np.float32(5), np.float32(0))
    canvas.lay(window, np.maximum(cord, sac + np.float32(0.3)), Tissue.NERVE)


def _root_distance(contents: CanalContents, root: Root, place: tuple[Image, Image, Image, Image, Image]) -> Image:
    """Signed distance to one root, from beside the conus to where it leaves the sac sideways.

    `place` is (v, x, z, half depth, half width); v runs from -1 at the sac's front to 1 at its back.
    """
    v, x, z, half_depth, half_width = place
    started = np.clip((np.float32(contents.conus_mm + 12) - z) / 25, 0, 1)
    leaving = np.clip((np.float32(root.leaves_mm + 28) - z) / 28, 0, 1)
    wave = np.float32(root.wave) * np.sin(z * np.float32(2 * math.pi / root.length_mm) + np.float32(root.phase))
    at_v = np.float32(0.35) + (np.float32(root.depth) + wave - np.float32(0.35)) * started * (
        1 - np.float32(0.6) * leaving
    )
    aside = np.float32(root.aside) * (np.float32(0.6) + np.float32(0.4) * started)
    aside = aside + (np.sign(aside) * np.float32(0.9) - aside) * leaving
    at_x = aside * np.sqrt(np.maximum(1 - np.square(at_v), np.float32(0.05)))
    distance: Image = np.hypot((v - at_v) * half_depth, x - at_x * half_width) - np.float32(root.radius_mm)
    gone = (z > np.float32(contents.conus_mm + 12)) | (z < np.float32(root.leaves_mm)) | (half_depth < 1.0)
    distance[np.broadcast_to(gone, distance.shape)] = 9
    return distance
