"""A sagittal slice as the network wants it: head up, back to the right; and regions put back where they came from."""

from dataclasses import dataclass

import numpy as np

from schemas.measurement import Ellipse
from vbq.imaging.volume import Pixels, Slice


@dataclass(frozen=True, eq=False)
class SagittalView:
    """`pixels` (rows, columns) of a slice, turned so that rows run to the feet and columns to the back."""

    image: Slice
    pixels: Pixels
    spacing_mm: tuple[float, float]
    transposed: bool
    rows_flipped: bool
    columns_flipped: bool

    def in_slice(self, oval: Ellipse) -> Ellipse:
        """An ellipse of this view in the slice's own pixels."""
        (row, column), angle = oval.center, oval.angle_deg
        if self.rows_flipped:
            row, angle = self.pixels.shape[0] - 1 - row, -angle
        if self.columns_flipped:
            column, angle = self.pixels.shape[1] - 1 - column, -angle
        if self.transposed:
            row, column, angle = column, row, 90 - angle
        turned = (angle + 90) % 180 - 90
        return Ellipse(
            center=(round(row, 3), round(column, 3)), semi_axes_mm=oval.semi_axes_mm, angle_deg=round(turned, 2)
        )


def sagittal_view(image: Slice) -> SagittalView:
    """The view of a slice whose normal lies near the left-right axis (LPS: y to the back, z to the head)."""
    pixels, spacing = image.pixels, image.pixel_spacing_mm
    along_columns, along_rows = image.orientation[:3], image.orientation[3:]  # with growing column, growing row
    transposed = abs(along_columns[2]) > abs(along_columns[1])
    if transposed:
        pixels, spacing = pixels.T, (spacing[1], spacing[0])
        along_columns, along_rows = along_rows, along_columns
    rows_flipped, columns_flipped = along_rows[2] > 0, along_columns[1] < 0
    if rows_flipped:
        pixels = pixels[::-1]
    if columns_flipped:
        pixels = pixels[:, ::-1]
    return SagittalView(
        image, np.ascontiguousarray(pixels), spacing, transposed, bool(rows_flipped), bool(columns_flipped)
    )
