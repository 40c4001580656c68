"""The usual sizes and tilts of vertebrae, from below, for the part of the body that is imaged.

Heights and depths of older women's vertebrae, mm, at size 1 and lordosis 1; tilt in degrees: positive where the back of
the endplate stands higher than its front. The neck's and the upper chest's are coarse: they are there to be refused.
"""

from dataclasses import dataclass

from vbq.simulate.conditions import Part

Row = tuple[float, ...]


@dataclass(frozen=True)
class Template:
    """One entry per vertebra from S4 up. `origin` is the level at the middle of the field of view."""

    levels: tuple[str, ...]
    tilt_deg: Row
    height_mm: Row
    depth_mm: Row
    half_width_mm: Row
    disc_below_mm: Row
    origin: str


LUMBAR = Template(
    levels=("S4", "S3", "S2", "S1", "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8"),
    tilt_deg=(14, 32, 44, 41, 21, 7, -2, -7, -9, -8, -5, -2, 1, 4),
    height_mm=(19, 21, 24, 28, 26, 26, 26, 25.5, 24.5, 23.5, 21.5, 20.5, 19.5, 19),
    depth_mm=(12, 16, 22, 30, 34, 34, 33, 32, 31, 30, 29, 28, 27, 26.5),
    half_width_mm=(19, 23, 27, 30, 27, 25, 23.5, 22.5, 21.5, 20.5, 19, 18, 17, 16),
    disc_below_mm=(1.5, 1.5, 1.5, 2.5, 9.5, 10.5, 10, 9, 8, 6.5, 5.5, 5, 4.5, 4),
    origin="L3",
)
_CHEST = Template(
    levels=(*LUMBAR.levels, "T7", "T6", "T5", "T4", "T3", "T2", "T1"),
    tilt_deg=(*LUMBAR.tilt_deg, 8, 12, 15, 18, 20, 22, 22),
    height_mm=(*LUMBAR.height_mm, 18.5, 18, 18, 17.5, 17, 17, 16.5),
    depth_mm=(*LUMBAR.depth_mm, 26, 25, 24, 22, 20, 18, 17),
    half_width_mm=(*LUMBAR.half_width_mm, 15.5, 15, 14.5, 14, 14, 14, 14.5),
    disc_below_mm=(*LUMBAR.disc_below_mm, 4, 4, 3.5, 3.5, 3.5, 3.5, 4),
    origin="T7",
)
_NECK = Template(
    levels=(*_CHEST.levels, "C7", "C6", "C5", "C4", "C3", "C2"),
    tilt_deg=(*_CHEST.tilt_deg, 18, 12, 6, 0, -4, -8),
    height_mm=(*_CHEST.height_mm, 14.5, 13.5, 13, 13, 13.5, 30),
    depth_mm=(*_CHEST.depth_mm, 16.5, 16.5, 16, 15.5, 15.5, 14),
    half_width_mm=(*_CHEST.half_width_mm, 12, 11, 10.5, 10, 10, 9),
    disc_below_mm=(*_CHEST.disc_below_mm, 5, 5.5, 5.5, 5, 5, 4.5),
    origin="C5",
)
TEMPLATES: dict[Part, Template] = {"lumbar": LUMBAR, "thoracic": _CHEST, "cervical": _NECK, "knee": LUMBAR}
