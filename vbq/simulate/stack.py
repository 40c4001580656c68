"""Where the slices of a series lie."""

import math

from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Plane, Vector, along, cross
from vbq.simulate.profile import HIGH_MM, LOW_MM, Profile
from vbq.simulate.spine import Spine

AXIAL_SLICES = 26


def sagittal_stack(parameters: PhantomParameters, shape: tuple[int, int], pixel_mm: float) -> tuple[Plane, ...]:
    """Sagittal planes in the order of position along the normal (left to right), the body of L3 in their middle."""
    tilt = math.radians(parameters.tilt_deg)
    right: Vector = (math.sin(tilt), math.cos(tilt), 0.0)
    down: Vector = (0.0, 0.0, -1.0)
    normal = cross(right, down)
    spacing = parameters.slice_mm + parameters.gap_mm
    planes = []
    for k in range(parameters.slices):
        middle = (parameters.off_centre_mm, 0.0, parameters.conditions.view_up_mm)
        centre = along(middle, normal, (k - (parameters.slices - 1) / 2) * spacing)
        corner = along(along(centre, right, -pixel_mm * 0.54 * shape[1]), down, -pixel_mm * 0.5 * shape[0])
        planes.append(Plane(corner, right, down, (pixel_mm, pixel_mm), shape))
    return tuple(planes)


def axial_stack(spine: Spine, profile: Profile, shape: tuple[int, int], pixel_mm: float) -> tuple[Plane, ...]:
    """Axial planes from S1 up to L1, in the order of position along the normal (feet to head)."""
    low, high = spine.at("S1").centre[2], spine.at("L1").centre[2]
    planes = []
    for k in range(AXIAL_SLICES):
        z = low + (high - low) * k / (AXIAL_SLICES - 1)
        x, y, _ = profile.canal_place(0.0, 0.5 * (low + high))
        corner = (x - pixel_mm * 0.5 * shape[1], y - pixel_mm * 0.5 * shape[0], z)
        planes.append(Plane(corner, (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (pixel_mm, pixel_mm), shape))
    return tuple(planes)


def mid_sagittal(spine: Spine, profile: Profile, planes: tuple[Plane, ...]) -> int:
    """Index of the plane nearest to the canal's midline from L1 to L4; of the middle one where they are far away."""
    if not all(LOW_MM + 1 < spine.at(level).centre[2] < HIGH_MM - 1 for level in ("L1", "L2", "L3", "L4")):
        return len(planes) // 2

    def distance(plane: Plane) -> float:
        total = 0.0
        for level in ("L1", "L2", "L3", "L4"):
            x, y, z = profile.canal_place(8.0, spine.at(level).centre[2])
            offset = (x - plane.origin_mm[0], y - plane.origin_mm[1], z - plane.origin_mm[2])
            total += abs(sum(p * q for p, q in zip(offset, plane.normal, strict=True)))
        return total

    return min(range(len(planes)), key=lambda k: distance(planes[k]))
