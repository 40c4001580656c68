"""A knee on sagittal slices: what is no spine at all and must be refused. Coarse on purpose."""

import numpy as np

from vbq.simulate.canvas import Canvas, ellipsoid, rounded
from vbq.simulate.plane import Image
from vbq.simulate.tissue import Tissue

CORTEX_MM = 1.5
CARTILAGE_MM = 2.5


def paint_knee(canvas: Canvas) -> None:
    """Femur, tibia, patella, cartilage, menisci, Hoffa's fat, muscles and skin; the joint is at the origin."""
    window = canvas.plane.whole()
    x, y, z = window.points.x, window.points.y, window.points.z
    canvas.lay(window, np.hypot(x / np.float32(1.1), y - 8) - 66, Tissue.SUBCUTANEOUS_FAT)
    canvas.lay(window, np.hypot(x / np.float32(1.1), y - 8) - 56, Tissue.MUSCLE)
    canvas.lay(window, ellipsoid((x, 24.0), (y + 34, 14.0), (z + 4, 22.0)), Tissue.DEEP_FAT)
    femur = _union(
        _union(
            ellipsoid((x - 20, 17.0), (y - 4, 30.0), (z - 28, 27.0)),
            ellipsoid((x + 20, 17.0), (y - 4, 30.0), (z - 28, 27.0)),
        ),
        rounded(np.hypot(x, y + 4) - 15, 28 - z, rounding=4.0),
    )
    tibia = _union(
        rounded(np.abs(x) - 36, np.abs(y - 2) - 24, np.abs(z + 12) - 9, rounding=6.0),
        rounded(np.hypot(x, y + 4) - 15, z + 14, rounding=4.0),
    )
    patella = ellipsoid((x, 21.0), (y + 42, 9.0), (z - 34, 20.0))
    canvas.lay(window, _union(femur, tibia) - np.float32(CARTILAGE_MM), Tissue.NUCLEUS, factor=1.3)
    for bone in (femur, tibia, patella):
        canvas.lay(window, bone, Tissue.CORTEX)
        canvas.lay(window, bone + np.float32(CORTEX_MM), Tissue.MARROW)
    for front in (-1.0, 1.0):
        meniscus = ellipsoid((np.abs(x) - 22, 14.0), (y - np.float32(2 + 20 * front), 7.0), (z + 1, 3.0))
        canvas.lay(window, meniscus, Tissue.LIGAMENT)
    canvas.lay(window, ellipsoid((x, 9.0), (y + 45, 3.5), (z + 6, 30.0)), Tissue.LIGAMENT)
    canvas.lay(window, ellipsoid((x, 6.0), (y - 30, 6.0), (z, 130.0)), Tissue.VESSEL)


def _union(one: Image, other: Image) -> Image:
    joined: Image = np.minimum(one, other)
    return joined
