"""What follows the spine from head to foot, as tables over height: walls, midline, the canal's direction and width."""

import math
from dataclasses import dataclass

import numpy as np

from vbq.simulate.parameters import PhantomParameters
from vbq.simulate.plane import Image, Numbers, Pixels, Plane, Points, Vector, Window
from vbq.simulate.spine import Spine, sideways

STEP_MM = 0.1
LOW_MM, HIGH_MM = -260.0, 260.0


@dataclass(frozen=True)
class Corridor:
    """Pixels near the canal: x from its middle and q behind the bodies' back wall, mm."""

    pixels: Pixels
    points: Points
    x: Image
    q: Image

    @property
    def window(self) -> Window:
        """The pixels as something to paint on."""
        return Window(self.pixels, self.points)

    def within(self, *, aside_mm: float, front_mm: float, back_mm: float) -> "Corridor | None":
        """Those no further than these from the back wall in the midline; None if there are none."""
        mask = (np.abs(self.x) < aside_mm) & (self.q > -front_mm) & (self.q < back_mm)
        if not mask.any():
            return None
        rows, columns = self.pixels
        points = self.points
        x, y, z, of_x, of_q = (
            row if len(row) == 1 else row[mask] for row in (points.x, points.y, points.z, self.x, self.q)
        )
        return Corridor((rows[mask], columns[mask]), Points(x, y, z), of_x, of_q)


@dataclass(frozen=True)
class Profile:
    """Tables over height z, read by nearest entry (0.1 mm is far below any pixel)."""

    rear_wall: Image  # y of the bodies' back
    front_wall: Image  # y of the bodies' front
    slope: Image  # cosine of the canal's angle with the long axis
    midline: Image  # x of the canal's middle
    canal_depth: Image  # mm
    canal_half_width: Image  # mm
    sac_scale: Image  # 1 in the lumbar canal, 0 below its end
    arch_depth: Image  # mm from the canal to the supraspinous ligament

    @staticmethod
    def read(table: Image, z: Image) -> Image:
        """The table's values at heights z, mm."""
        index = ((z - np.float32(LOW_MM)) * np.float32(1 / STEP_MM)).astype(np.int32)
        return table[np.clip(index, 0, len(table) - 1)]

    def canal(self, points: Points) -> tuple[Image, Image]:
        """(x from the canal's middle, q = mm behind the bodies' back wall, square to it)."""
        q = (points.y - self.read(self.rear_wall, points.z)) * self.read(self.slope, points.z)
        return points.x - self.read(self.midline, points.z), q

    def near_canal(self, plane: Plane, *, aside_mm: float, front_mm: float, back_mm: float) -> Pixels | None:
        """The pixels of `plane` no further than these from the back wall in the midline; None if there are none."""
        points = plane.whole().points
        if np.abs(points.x).min() > aside_mm + np.abs(self.midline).max():
            return None
        x, q = self.canal(points)
        pixels = np.nonzero((np.abs(x) < aside_mm) & (q > -front_mm) & (q < back_mm))
        return (pixels[0], pixels[1]) if len(pixels[0]) else None

    def corridor(self, plane: Plane, pixels: Pixels) -> "Corridor":
        """Those pixels of `plane` with their place beside the canal."""
        points = plane.at(pixels)
        x, q = self.canal(points)
        return Corridor(pixels, points, x, q)

    def behind(self, place: Vector) -> float:
        """How far one place lies behind the bodies' back wall, square to it, mm."""
        i = round((place[2] - LOW_MM) / STEP_MM)
        return float((place[1] - self.rear_wall[i]) * self.slope[i])

    def canal_place(self, q: float, z: float, x: float = 0.0) -> Vector:
        """The point q mm behind the wall at height z, x mm left of the canal's middle."""
        i = round((z - LOW_MM) / STEP_MM)
        return float(self.midline[i]) + x, float(self.rear_wall[i] + q / self.slope[i]), z

    def canal_angle(self, z: float) -> float:
        """Angle of the canal with the long axis at height z, radians; positive where it runs backwards going down."""
        i = round((z - LOW_MM) / STEP_MM)
        return math.atan2(float(self.rear_wall[i - 50] - self.rear_wall[i + 50]), 100 * STEP_MM)


def build_profile(spine: Spine, parameters: PhantomParameters) -> Profile:
    """The tables of `spine`."""
    z = np.arange(LOW_MM, HIGH_MM, STEP_MM)
    rear = _wall(spine, z, side=1.0, smooth_mm=2.0)
    front = _wall(spine, z, side=-1.0, smooth_mm=4.0)
    slope = 1 / np.hypot(1, np.gradient(_smooth(rear, 6.0), STEP_MM))
    s1, s2 = spine.at("S1").centre[2], spine.at("S2").centre[2]
    narrowing = np.interp(z, [s2 - 45, s2, s1, s1 + 25], [0.25, 0.6, 0.9, 1.0])
    depth = parameters.canal_mm * narrowing * _stenoses(spine, z, parameters)
    sac = np.interp(z, [s2 - 14, s2 - 6, s2, s1, s1 + 30], [0.0, 0.35, 0.6, 0.85, 1.0])
    arch = np.interp(z, [s2 - 45, s2 - 10, s2 + 10, s1 + 22, s1 + 60, s1 + 190], [4.0, 8.0, 11.0, 24.0, 31.0, 25.0])
    half_width = np.interp(z, [s2 - 40, s1, s1 + 60, s1 + 200], [8.0, 13.5, 11.5, 10.0])
    midline = np.array([sideways(float(value), parameters) for value in z[::50]]).repeat(50)[: len(z)]
    rows = (rear, front, slope, _smooth(midline, 5.0), depth, half_width, sac, _smooth(arch, 6.0))
    return Profile(*(row.astype(np.float32) for row in rows))


def _wall(spine: Spine, z: Numbers, *, side: float, smooth_mm: float) -> Numbers:
    """The y of the bodies' front (side -1) or back (side 1) over z, smoothed across the discs."""
    at: list[tuple[float, float]] = []
    for body in spine.vertebrae:
        for share in (-0.5, 0.0, 0.5):
            waist = 0.0 if share else body.waist_mm
            _, y, height = body.place(0, side * (body.depth_mm / 2 - waist), share * body.height_mm)
            at.append((height, y))
    at.sort()
    heights, ys = np.array(at).T
    low, high = (ys[1] - ys[0]) / (heights[1] - heights[0]), (ys[-1] - ys[-4]) / (heights[-1] - heights[-4])
    wall = np.interp(z, heights, ys)
    wall = np.where(z < heights[0], ys[0] + 0.3 * low * (z - heights[0]), wall)
    wall = np.where(z > heights[-1], ys[-1] + high * (z - heights[-1]), wall)
    return _smooth(wall, smooth_mm)


def _stenoses(spine: Spine, z: Numbers, parameters: PhantomParameters) -> Numbers:
    """The canal narrows a little at each disc, more where discs are worn."""
    share = np.ones_like(z)
    for disc in spine.discs:
        if not disc.above.sacral:
            height = disc.frame.place(0, disc.frame.depth_mm / 2, 0)[2]
            share -= (0.04 + 0.1 * disc.degeneration * parameters.degeneration) * np.exp(-(((z - height) / 6) ** 2))
    return share


def _smooth(row: Numbers, sigma_mm: float) -> Numbers:
    """Gaussian smoothing of a table, its ends held."""
    reach = int(4 * sigma_mm / STEP_MM)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * STEP_MM / sigma_mm) ** 2)
    padded = np.pad(row, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
