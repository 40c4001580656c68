"""The whole body of one phantom, and how a plane through it is painted."""

from dataclasses import dataclass

import numpy as np

from vbq.simulate.bones import (
    paint_body,
    paint_bridge,
    paint_disc,
    paint_haemangioma,
    paint_modic,
    paint_schmorl,
)
from vbq.simulate.canal import CanalContents, build_canal, paint_canal
from vbq.simulate.canvas import Canvas
from vbq.simulate.knee import paint_knee
from vbq.simulate.metal import spoil
from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Plane
from vbq.simulate.posterior import paint_posterior
from vbq.simulate.profile import Corridor, Profile, build_profile
from vbq.simulate.spine import Disc, Spine, Vertebra, build_spine
from vbq.simulate.surroundings import Surroundings, build_surroundings, paint_surroundings
from vbq.simulate.texture import Textures
from vbq.simulate.tissue import Contrast, Tissue

SUBPLANES = 3
LARGE = 1.5  # of a haemangioma that is asked for
MODIC_TISSUE = {1: Tissue.EDEMA, 2: Tissue.FATTY_LESION, 3: Tissue.LIGAMENT}


@dataclass(frozen=True)
class Anatomy:
    """Bones, canal and trunk."""

    parameters: PhantomParameters
    spine: Spine
    profile: Profile
    canal: CanalContents
    trunk: Surroundings
    modic: Disc | None
    haemangioma: Vertebra | None


def build_anatomy(parameters: PhantomParameters) -> Anatomy:
    """The body of `parameters`; the same parameters give the same body."""
    rng = np.random.default_rng([parameters.seed, 6])
    spine = build_spine(parameters)
    profile = build_profile(spine, parameters)
    low_discs = [disc for disc in spine.discs if disc.frame.level in {"L5/S1", "L4/L5"}]
    hosts = [spine.at(level) for level in ("T11", "T12", "L5")]
    return Anatomy(
        parameters,
        spine,
        profile,
        build_canal(spine, profile, parameters),
        build_surroundings(spine, profile, parameters),
        modic=low_discs[int(rng.integers(len(low_discs)))] if parameters.modic else None,
        haemangioma=hosts[int(rng.integers(len(hosts)))] if parameters.haemangioma else None,
    )


def paint_slice(anatomy: Anatomy, plane: Plane, thickness_mm: float, contrast: Contrast, textures: Textures) -> Image:
    """The signal of a slice before the coil and the scanner: the mean of planes spread over its thickness."""
    trunk = np.zeros(plane.shape, dtype=np.float32)
    if anatomy.parameters.conditions.part == "knee":
        paint_knee(Canvas(plane, contrast, textures, trunk))
        return trunk
    paint_surroundings(Canvas(plane, contrast, textures, trunk), anatomy.profile, anatomy.trunk)
    total = np.zeros(plane.shape, dtype=np.float32)
    near = anatomy.profile.near_canal(
        plane, aside_mm=34, front_mm=4, back_mm=anatomy.parameters.canal_mm + 38
    )  # the same pixels serve all planes of a slice
    for k in range(SUBPLANES):
        here = plane.shifted(thickness_mm * ((k + 0.5) / SUBPLANES - 0.5))
        # the trunk hardly changes within a slice; painting it once saves half the time
        canvas = Canvas(here, contrast, textures, trunk.copy())
        _paint_spine(canvas, anatomy, None if near is None else anatomy.profile.corridor(here, near))
        spoil(canvas, anatomy.spine, anatomy.parameters.conditions.metal)
        total += canvas.image
    total *= np.float32(1 / SUBPLANES)
    return total


def _paint_spine(canvas: Canvas, anatomy: Anatomy, around: Corridor | None) -> None:
    spine = anatomy.spine
    for disc in spine.discs:
        paint_disc(canvas, disc)
    paint_posterior(canvas, spine, anatomy.profile, anatomy.parameters.canal_mm, around)
    for body in spine.vertebrae:
        paint_body(canvas, body)
    if anatomy.modic is not None:
        paint_modic(canvas, anatomy.modic)
    if anatomy.haemangioma is not None:
        paint_haemangioma(canvas, anatomy.haemangioma)
    _paint_lesions(canvas, anatomy)
    if around is not None:
        paint_canal(canvas, anatomy.profile, anatomy.canal, around)


def _paint_lesions(canvas: Canvas, anatomy: Anatomy) -> None:
    """What was asked for by name."""
    spine, conditions = anatomy.spine, anatomy.parameters.conditions
    for disc in spine.discs:
        if disc.fused:
            paint_bridge(canvas, disc)
        for change in conditions.modic:
            if disc.frame.level == change.disc:
                paint_modic(canvas, disc, MODIC_TISSUE[change.type])
    for level in conditions.haemangioma:
        paint_haemangioma(canvas, spine.at(level), LARGE)
    for level in conditions.schmorl:
        paint_schmorl(canvas, spine.at(level))
