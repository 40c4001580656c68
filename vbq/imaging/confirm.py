"""Levels of a reader's regions that were told by position alone: confirmed where the automatic numbering agrees."""

import math
from collections.abc import Mapping

from schemas.measurement import Level, Measurement, Reason, Region

BY_POSITION = "levels-by-position"
SAME_BODY_MM = 12.0  # between centres; neighbouring bodies lie 30 mm and more apart


def confirmed(reader: Measurement) -> Measurement:
    """`reader` as measured where its automatic comparison, sure of its own count, has the same body at every level.

    Where the count is another one, that is said; where the automatic measurement is itself in doubt, nothing changes.
    """
    automatic = reader.automatic
    if automatic is None or automatic.status != "measured" or {row.code for row in reader.reasons} != {BY_POSITION}:
        return reader
    spacing = reader.acquisition.pixel_spacing_mm
    if spacing is None or not reader.levels:
        return reader
    called = {level: _nearest(region, automatic.levels, spacing) for level, region in reader.levels.items()}
    if all(level == name for level, name in called.items()):
        text = "the regions carry no levels; numbered from the top they agree with the automatic numbering"
        return reader.but(status="measured", reasons=[], flags=[*reader.flags, Reason(code=BY_POSITION, text=text)])
    names = ", ".join(f"{level} is {name or 'none of its levels'}" for level, name in called.items() if level != name)
    text = f"the automatic numbering disagrees with the count from the top: {names}"
    return reader.but(reasons=[*reader.reasons, Reason(code="levels-disagree", text=text)])


def _nearest(region: Region, levels: Mapping[Level, Region], spacing_mm: tuple[float, float]) -> Level | None:
    def apart(other: Region) -> float:
        rows = (region.ellipse.center[0] - other.ellipse.center[0]) * spacing_mm[0]
        columns = (region.ellipse.center[1] - other.ellipse.center[1]) * spacing_mm[1]
        return math.hypot(rows, columns)

    level = min(levels, key=lambda name: apart(levels[name]), default=None)
    return level if level is not None and apart(levels[level]) <= SAME_BODY_MM else None
