"""Levels by position stand only where a sure automatic numbering has the same bodies."""

import pytest

from schemas.measurement import Acquisition, Comparison, Ellipse, Level, Measurement, MeasurementStatus, Reason, Region
from vbq.imaging.confirm import confirmed

ROWS: dict[Level, float] = {"T12": 20, "L1": 50, "L2": 80, "L3": 110, "L4": 140, "L5": 170}


def regions(shift: int = 0) -> dict[Level, Region]:
    """L1 to L4 at their places, or `shift` bodies lower."""
    names = list(ROWS)
    found: dict[Level, Region] = {}
    for index in range(1, 5):
        ellipse = Ellipse(center=(ROWS[names[index + shift]], 60.0), semi_axes_mm=(10.0, 7.0))
        found[names[index]] = Region(mean=1, sd=1, area_mm2=1, pixels=1, ellipse=ellipse, sop_instance_uid="1")
    return found


def reader(automatic: dict[Level, Region], status: MeasurementStatus = "measured") -> Measurement:
    return Measurement(
        status="needs_confirmation",
        reasons=[Reason(code="levels-by-position", text="counted from the top")],
        algorithm="x 1",
        study_uid="1",
        levels=regions(),
        acquisition=Acquisition(pixel_spacing_mm=(1.0, 1.0)),
        automatic=Comparison(
            status=status, vbq=3.0, interval=None, difference=None, slice=None, levels=automatic, csf={}, reasons=[]
        ),
    )


def test_the_same_bodies_confirm_the_count() -> None:
    found = confirmed(reader(regions()))
    assert (found.status, found.reasons) == ("measured", [])
    assert [flag.code for flag in found.flags] == ["levels-by-position"]


def test_a_count_that_is_one_off_is_said() -> None:
    found = confirmed(reader(regions(shift=1)))
    assert found.status == "needs_confirmation"
    assert [reason.code for reason in found.reasons] == ["levels-by-position", "levels-disagree"]
    assert "L2 is L1" in found.reasons[1].text


@pytest.mark.parametrize("status", ["needs_confirmation", "not_measurable", "needs_regions"])
def test_an_automatic_count_in_doubt_confirms_nothing(status: MeasurementStatus) -> None:
    assert confirmed(reader(regions(), status)).status == "needs_confirmation"


def test_other_doubts_than_the_levels_stay() -> None:
    doubtful = reader(regions())
    doubtful = doubtful.but(reasons=[*doubtful.reasons, Reason(code="else", text="else")])
    assert confirmed(doubtful).status == "needs_confirmation"
