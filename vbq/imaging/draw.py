"""The measured slice as a picture, with its regions drawn and labelled, for a person to check."""

import io
import math
import textwrap

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from schemas.measurement import Ellipse, Measurement, Region
from vbq.imaging.volume import Pixels, Slice

MINIMUM_SIDE, MAXIMUM_SIDE = 512, 1024
MARGIN_MM = 45.0
MOST_REMARKS = 8
BAR_MM = 50.0
OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "H": "F", "F": "H"}
SMALL, BIG, LINE = 15, 24, 23
BODY, FLUID, UNUSED, INK, PAPER = (255, 196, 61), (79, 209, 255), (150, 150, 150), (240, 240, 240), (18, 20, 24)
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(measurement: Measurement, image: Slice) -> bytes:
    """PNG of `picture`."""
    out = io.BytesIO()
    picture(measurement, image).save(out, format="PNG", optimize=True)
    return out.getvalue()


def picture(measurement: Measurement, image: Slice) -> Image.Image:
    """`image` with the regions of `measurement`, levels, means, VBQ, method and "research use" below, RGB.

    Square pixels, 512 to 1024 a side; cropped to the surroundings of the regions where there are any.
    """
    window = top, bottom, left, right = _window(measurement, image)
    row_mm, column_mm = image.pixel_spacing_mm
    tall_mm, wide_mm = (bottom - top) * row_mm, (right - left) * column_mm
    scale = MAXIMUM_SIDE / max(tall_mm, wide_mm)
    size = max(round(wide_mm * scale), MINIMUM_SIDE // 2), max(round(tall_mm * scale), MINIMUM_SIDE // 2)
    grey = Image.fromarray(_grey(image.pixels[top:bottom, left:right])).resize(size, Image.Resampling.BICUBIC)
    lines = _caption(measurement)
    canvas = Image.new("RGB", (max(size[0], 760), size[1] + LINE * len(lines) + 34), PAPER)
    offset = (canvas.width - size[0]) // 2
    canvas.paste(grey.convert("RGB"), (offset, 0))
    pen = ImageDraw.Draw(canvas)
    view = _View(window, image.pixel_spacing_mm, scale, offset)
    for level, region in measurement.levels.items():
        _outline(pen, view, region, BODY, f"{level} {region.mean:.0f}{_mark(region, measurement)}", before=True)
    for level, region in measurement.csf.items():
        label = f"CSF {level} {region.mean:.0f}{_mark(region, measurement)}"
        _outline(pen, view, region, FLUID, label, before=False)
    _scale_bar(pen, (offset + 14, size[1] - 16), scale)
    _directions(pen, image, (offset, 0, offset + size[0], size[1]))
    for number, (line, colour) in enumerate(lines):
        y = size[1] + 12 + LINE * number + (10 if number else 0)
        pen.text((16, y), line, fill=colour, font=_font(BIG if number == 0 else SMALL))
    return canvas


class _View:
    """From (row, column) in pixels to (x, y) on the canvas."""

    def __init__(
        self, window: tuple[int, int, int, int], spacing_mm: tuple[float, float], per_mm: float, x0: int
    ) -> None:
        self.row0, self.column0 = window[0] - 0.5, window[2] - 0.5
        self.per_row, self.per_column = spacing_mm[0] * per_mm, spacing_mm[1] * per_mm
        self.x0, self.per_mm = x0, per_mm

    def place(self, row: float, column: float) -> tuple[float, float]:
        return self.x0 + (column - self.column0) * self.per_column, (row - self.row0) * self.per_row

    def outlines(self, ellipse: Ellipse) -> list[list[tuple[float, float]]]:
        """Closed polygons along the region's outline, or along the ellipse where it has none."""
        if ellipse.outline is None:
            return [self._along(ellipse)]
        return [[self.place(*point) for point in (*ring, ring[0])] for ring in ellipse.outline]

    def _along(self, ellipse: Ellipse) -> list[tuple[float, float]]:
        """Semi-axes are in mm, and a mm is as long in x as in y here."""
        x0, y0 = self.place(*ellipse.center)
        (a, b), angle = ellipse.semi_axes_mm, math.radians(ellipse.angle_deg)
        cos, sin = math.cos(angle), math.sin(angle)
        turns = [2 * math.pi * step / 72 for step in range(73)]
        return [
            (
                x0 + self.per_mm * (a * math.cos(t) * cos - b * math.sin(t) * sin),
                y0 + self.per_mm * (a * math.cos(t) * sin + b * math.sin(t) * cos),
            )
            for t in turns
        ]


def _outline(
    pen: ImageDraw.ImageDraw, view: _View, region: Region, colour: Colour, label: str, *, before: bool
) -> None:
    colour = colour if region.used else UNUSED
    outlines = view.outlines(region.ellipse)
    for back, width in (((0, 0, 0), 4), (colour, 2)):
        for points in outlines:
            pen.line(points, fill=back, width=width, joint="curve")
    _, y = view.place(*region.ellipse.center)
    sides = [point[0] for points in outlines for point in points]
    x, anchor = (min(sides) - 10, "rm") if before else (max(sides) + 10, "lm")  # what is measured stays in sight
    _write(pen, (x, y), label, colour, anchor)


def _write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, colour: Colour, anchor: str) -> None:
    pen.text(place, text, fill=colour, font=_font(SMALL), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def _scale_bar(pen: ImageDraw.ImageDraw, start: tuple[float, float], per_mm: float) -> None:
    x, y = start
    end = x + BAR_MM * per_mm
    for width, colour in ((7, (0, 0, 0)), (3, INK)):
        pen.line([(x, y), (end, y)], fill=colour, width=width)
    _write(pen, (end + 8, y), f"{BAR_MM / 10:.0f} cm", INK, "lm")


def _directions(pen: ImageDraw.ImageDraw, image: Slice, box: tuple[float, float, float, float]) -> None:
    """Where right edge and lower edge point to in the patient, and their opposites, by the header's orientation."""
    left, top, right, bottom = box
    middle = (left + right) / 2, (top + bottom) / 2
    across, down = _towards(image.orientation[:3]), _towards(image.orientation[3:])
    for letter, place in (
        (OPPOSITE[across], (left + 12, middle[1])),
        (across, (right - 12, middle[1])),
        (OPPOSITE[down], (right - 60, top + 14)),
        (down, (right - 60, bottom - 14)),  # off the bar
    ):
        _write(pen, place, letter, INK, "mm")


def _towards(direction: tuple[float, ...]) -> str:
    """The patient's side that a direction in LPS coordinates points to most."""
    axis = max(range(3), key=lambda k: abs(direction[k]))
    return ("LR", "PA", "HF")[axis][0 if direction[axis] > 0 else 1]


def _mark(region: Region, measurement: Measurement) -> str:
    """An asterisk where a region lies on a neighbouring slice, not on the one that is shown."""
    elsewhere = measurement.slice is not None and region.sop_instance_uid != measurement.slice.sop_instance_uid
    return "*" if elsewhere else ""


def _window(measurement: Measurement, image: Slice) -> tuple[int, int, int, int]:
    """Rows and columns to show: the regions and 45 mm around them, or the whole image."""
    rows, columns = image.pixels.shape
    centres = [
        region.ellipse.center for regions in (measurement.levels, measurement.csf) for region in regions.values()
    ]
    if not centres:
        return 0, rows, 0, columns
    row_margin, column_margin = (round(MARGIN_MM / spacing) for spacing in image.pixel_spacing_mm)
    top, bottom = min(row for row, _ in centres) - row_margin, max(row for row, _ in centres) + row_margin
    left, right = min(c for _, c in centres) - column_margin, max(c for _, c in centres) + column_margin
    return max(0, int(top)), min(rows, int(bottom) + 1), max(0, int(left)), min(columns, int(right) + 1)


def _grey(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """8 bit, windowed to the percentiles 1 and 98: subcutaneous fat next to the coil would swallow the range."""
    low, high = (float(value) for value in np.percentile(pixels, [1, 98]))
    shown = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) ** 0.85
    return np.asarray(shown * 255, dtype=np.uint8)


def _caption(measurement: Measurement) -> list[tuple[str, Colour]]:
    lines: list[tuple[str, Colour]] = []
    if measurement.vbq is not None and measurement.interval is not None:
        low, high = measurement.interval
        unsettled = "   TO BE CONFIRMED" if measurement.status == "needs_confirmation" else ""
        lines.append((f"VBQ {measurement.vbq:.2f}   (95 % interval {low:.2f} to {high:.2f}){unsettled}", INK))
    elif measurement.status == "measured":
        lines.append(("Levels found and numbered; no VBQ", INK))
    else:
        lines.append((f"No VBQ: {measurement.status.replace('_', ' ')}", INK))
    how = {"reader": "regions by a reader", "automatic": "automatic regions", None: "no regions"}[measurement.method]
    where = f", slice {measurement.slice.index}" if measurement.slice else ""
    lines.append((f"{measurement.algorithm}, {how}{where}; numbers are mean signal intensities", INK))
    everything = [*measurement.levels.values(), *measurement.csf.values()]
    if any(_mark(region, measurement) for region in everything):
        lines.append(("* lies on a neighbouring slice and is drawn here at its place", INK))
    remarks = [*measurement.reasons, *measurement.flags]
    lines += [(line, BODY) for remark in remarks[:MOST_REMARKS] for line in _wrapped(remark.text)]
    if len(remarks) > MOST_REMARKS:
        lines.append((f"! and {len(remarks) - MOST_REMARKS} more, in the report", BODY))
    lines.append(("Research use only. Not a cleared medical device.", UNUSED))
    return lines


def _wrapped(text: str) -> list[str]:
    """A remark in at most two lines of the caption's width."""
    return textwrap.wrap(text, 98, initial_indent="! ", subsequent_indent="   ", max_lines=2, placeholder=" …")


def _font(size: int) -> Font:
    """Pillow's own scalable font: no font of the machine is needed."""
    return ImageFont.load_default(size)
