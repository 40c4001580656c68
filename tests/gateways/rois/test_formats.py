"""The same regions from any program give the same VBQ."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from gateways.dicom.evidence import structured_report
from gateways.rois import read_regions
from schemas.measurement import Measurement, RegionSet
from tests.gateways.rois import producers
from tests.gateways.rois.producers import Drawn
from vbq.imaging.measure import measure

# The code value CORNERSTONEFREETEXT of dcmjs and OHIF is longer than DICOM allows.
pytestmark = pytest.mark.filterwarnings("ignore:The value length .19. exceeds:UserWarning")

Write = Callable[[Drawn, Path], Path]


def own_report(drawn: Drawn, path: Path) -> Path:
    """What `vbq measure --sr` writes."""
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    path.write_bytes(structured_report(measured(drawn, drawn.regions), drawn.files, software="test", now=now))
    return path


def measured(drawn: Drawn, regions: RegionSet) -> Measurement:
    return measure(drawn.files.study, drawn.files.load_pixels, regions)


PRODUCERS: dict[str, Write] = {
    "our SR": own_report,
    "dcmjs SR, free text": lambda d, p: producers.dcmjs_report(d, p, "ellipse", "finding"),
    "dcmjs SR, SNOMED codes": lambda d, p: producers.dcmjs_report(d, p, "ellipse", "codes"),
    "SR, shorter axis first": lambda d, p: producers.dcmjs_report(d, p, "ellipse-reordered", "tracking"),
    "SR, ends in turn": lambda d, p: producers.dcmjs_report(d, p, "ellipse-around", "tracking"),
    "SR, polyline": lambda d, p: producers.dcmjs_report(d, p, "polyline", "tracking"),
    "SR, 3-D": producers.report_3d,
    "GSPS, pixels": lambda d, p: producers.presentation(d, p, "PIXEL"),
    "GSPS, display": lambda d, p: producers.presentation(d, p, "DISPLAY"),
    "SEG": producers.segmentation,
    "SEG, fractional": lambda d, p: producers.segmentation(d, p, "FRACTIONAL"),
    "RTSTRUCT": lambda d, p: producers.structures(d, p, images=True),
    "RTSTRUCT without images": lambda d, p: producers.structures(d, p, images=False),
    "RTSTRUCT of rt-utils": lambda d, p: producers.structures(d, p, images=True, maker="rt-utils"),
    "ImageJ ellipses": lambda d, p: producers.imagej(d, p, "ellipse"),
    "ImageJ polygons": lambda d, p: producers.imagej(d, p, "polygon"),
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_the_same_regions_give_the_same_vbq_whoever_wrote_them(producer: str, drawn: Drawn, tmp_path: Path) -> None:
    path = PRODUCERS[producer](drawn, tmp_path / "regions")
    image = drawn.row.sop_instance_uid if producer.startswith("ImageJ") else None
    found = measured(drawn, read_regions(path, drawn.files, image=image))
    truth = measured(drawn, drawn.regions)
    assert truth.vbq is not None
    assert found.status == "measured", found.reasons
    assert found.vbq == pytest.approx(truth.vbq, rel=0.005)
    assert set(found.levels) == set(truth.levels)
    assert set(found.csf) == set(truth.csf)
    for own, other in ((found.levels, truth.levels), (found.csf, truth.csf)):
        for level, region in own.items():
            assert region.ellipse.center == pytest.approx(other[level].ellipse.center, abs=0.3)
            assert region.area_mm2 == pytest.approx(other[level].area_mm2, rel=0.06)


def test_half_a_pixel_would_be_noticed(drawn: Drawn) -> None:
    """The test above can fail: regions half a pixel off hold other pixels."""
    moved = {
        level: ellipse.but(center=(ellipse.center[0] + 0.5, ellipse.center[1] + 0.5))
        for level, ellipse in drawn.regions.levels.items()
    }
    off, truth = measured(drawn, drawn.regions.but(levels=moved)), measured(drawn, drawn.regions)
    assert any(off.levels[level].mean != truth.levels[level].mean for level in truth.levels)


def test_our_own_report_gives_back_the_very_regions(drawn: Drawn, tmp_path: Path) -> None:
    found = read_regions(own_report(drawn, tmp_path / "sr.dcm"), drawn.files)
    assert found.sop_instance_uid == drawn.regions.sop_instance_uid
    for own, true in ((found.levels, drawn.regions.levels), (found.csf, drawn.regions.csf)):
        assert set(own) == set(true)
        for level, ellipse in own.items():
            assert ellipse.center == pytest.approx(true[level].center, abs=1e-3)
            assert sorted(ellipse.semi_axes_mm) == pytest.approx(sorted(true[level].semi_axes_mm), rel=1e-3)


def test_masks_come_back_to_the_pixel(drawn: Drawn, tmp_path: Path) -> None:
    found = measured(drawn, read_regions(producers.segmentation(drawn, tmp_path / "seg.dcm"), drawn.files))
    truth = measured(drawn, drawn.regions)
    assert {level: region.mean for level, region in found.levels.items()} == {
        level: region.mean for level, region in truth.levels.items()
    }


def test_an_outline_survives_our_report(drawn: Drawn, tmp_path: Path) -> None:
    masks = read_regions(producers.segmentation(drawn, tmp_path / "seg.dcm"), drawn.files)
    first = measured(drawn, masks)
    now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    (tmp_path / "sr.dcm").write_bytes(structured_report(first, drawn.files, software="test", now=now))
    again = measured(drawn, read_regions(tmp_path / "sr.dcm", drawn.files))
    assert again.vbq == pytest.approx(first.vbq, rel=1e-9)


def test_regions_without_levels_are_numbered_from_the_top_and_need_confirmation(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "none")
    found = measured(drawn, read_regions(path, drawn.files))
    assert found.status == "needs_confirmation"
    assert [reason.code for reason in found.reasons] == ["levels-by-position"]
    assert found.vbq == pytest.approx(measured(drawn, drawn.regions).vbq)


def test_regions_that_name_no_slice_lie_on_the_one_given(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.imagej(drawn, tmp_path / "r.zip", "ellipse")
    named = read_regions(path, drawn.files, image=drawn.row.sop_instance_uid)
    assert named.sop_instance_uid == drawn.row.sop_instance_uid
    unnamed = measured(drawn, read_regions(path, drawn.files))
    assert "slice-assumed" in {flag.code for flag in unnamed.flags}


def test_regions_of_another_study_are_refused(drawn: Drawn, tmp_path: Path) -> None:
    from schemas.errors import NotMeasurable

    other = Drawn(drawn.files, drawn.regions)
    other.row = drawn.row.__class__(**{**drawn.row.__dict__, "sop_instance_uid": "1.2.3.4"})
    for make in (
        lambda p: producers.dcmjs_report(other, p, "ellipse", "tracking"),
        lambda p: producers.presentation(other, p, "PIXEL"),
    ):
        with pytest.raises(NotMeasurable) as caught:
            read_regions(make(tmp_path / "r.dcm"), drawn.files)
        assert caught.value.reason_code == "regions-of-another-study"
