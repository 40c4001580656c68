"""A raster on which outlines in millimetres are filled with small integers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.generator.curves import Points


@dataclass(eq=False)
class Canvas:
    """A square of `side` pixels, `pixel_mm` each, filled with `ground` until something is drawn."""

    side: int
    pixel_mm: float
    ground: int = 0
    _image: Image.Image = field(init=False)
    _pen: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        self._image = Image.new("L", (self.side, self.side), self.ground)
        self._pen = ImageDraw.Draw(self._image)

    def fill(self, outline: Points, value: int) -> None:
        """Fill a closed outline (mm)."""
        self._pen.polygon((outline / self.pixel_mm - 0.5).ravel().tolist(), fill=int(value))

    def stroke(self, line: Points, value: int, width_px: int) -> None:
        """Draw an open line (mm)."""
        self._pen.line((line / self.pixel_mm - 0.5).ravel().tolist(), fill=int(value), width=width_px)

    def array(self) -> NDArray[np.uint8]:
        """A copy of what has been drawn: (side, side)."""
        return np.array(self._image)
