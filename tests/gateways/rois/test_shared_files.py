"""ROI files as real programs wrote them (../shared/data/roi, where it is there), and hostile ones."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from gateways.rois import read_regions
from gateways.rois.frames import Frames
from gateways.rois.imagej import drawings_of_imagej
from gateways.rois.segmentation import drawings_of_segments
from gateways.rois.structured_report import drawings_of_report
from schemas.errors import NotAcceptable, Rejected, TooLarge
from tests.gateways.rois import producers
from tests.gateways.rois.producers import Drawn
from vbq.imaging.drawn import Outline, Oval

pytestmark = [
    # Real files break DICOM's rules on values, and pydicom says so.
    pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom"),
    pytest.mark.filterwarnings("ignore:(The value length|Invalid value for VR):UserWarning"),
]


@pytest.fixture(scope="session")
def roi_files(shared: Path) -> Path:
    place = shared / "data" / "roi"
    if not place.is_dir():
        pytest.skip("the ROI files (../shared/data/roi) are not on this machine")
    return place


def test_the_ellipses_of_dcmjs_lie_where_dcmjs_put_them(roi_files: Path, drawn: Drawn) -> None:
    dataset = dcmread(roi_files / "dcmjs_examples_structured_report.dcm")
    drawings, remarks = drawings_of_report(dataset, Frames(drawn.files))
    assert [reason.code for reason in remarks] == ["shapes-ignored"]  # an arrow, lengths and a bidirectional
    first, second = (drawing.shape for drawing in drawings)
    assert isinstance(first, Oval)
    assert isinstance(second, Oval)
    assert first.center == (319.0, 341.5)  # 342, 319.5 (column, row) from the corner
    assert sorted(map(abs, (*first.first, *first.second))) == [0, 0, 34.5, 46.5]
    assert second.center == (285.5, 302.5)
    assert drawings[0].image == "1.3.6.1.4.1.25403.52237031786.3872.20100510032220.11"


def test_the_circle_and_the_open_square_of_highdicom_are_read(roi_files: Path, drawn: Drawn) -> None:
    drawings, _ = drawings_of_report(dcmread(roi_files / "highdicom_sr_multi.dcm"), Frames(drawn.files))
    circle, square = (drawing.shape for drawing in drawings)
    assert circle == Oval((54.5, 44.5), (10.0, 0.0), (0.0, 10.0))
    assert isinstance(square, Outline)
    assert list(square.rings[0]) == [(44.5, 24.5), (44.5, 44.5), (64.5, 44.5), (64.5, 24.5)]
    assert "LungNodule0001" in drawings[0].texts


@pytest.mark.parametrize("name", ["hadim_oval.roi", "davidcsterratt_circle.roi", "davidcsterratt_oval.roi"])
def test_imagej_ovals_fill_their_bounding_box(roi_files: Path, name: str) -> None:
    boxes = {"hadim_oval.roi": (58, 97, 95, 131), "davidcsterratt_circle.roi": (586, 7691, 736, 7841)}
    top, left, bottom, right = boxes.get(name, (6, 161, 26, 192))
    ((drawing,), _) = drawings_of_imagej((roi_files / name).read_bytes(), "x", None)
    assert drawing.shape == Oval(
        ((top + bottom - 1) / 2, (left + right - 1) / 2), ((bottom - top) / 2, 0), (0, (right - left) / 2)
    )


@pytest.mark.parametrize("name", ["hadim_ellipse.roi", "hadim_ellipse-left.roi", "hadim_ellipse-top.roi"])
def test_imagej_rotated_ellipses_agree_with_the_polygon_beside_them(roi_files: Path, name: str) -> None:
    """Axis and aspect ratio from the header give the ellipse whose polygon the same file holds."""
    import numpy as np
    import roifile

    data = (roi_files / name).read_bytes()
    ((drawing,), _) = drawings_of_imagej(data, "x", None)
    oval = drawing.shape
    assert isinstance(oval, Oval)
    polygon = roifile.ImagejRoi.frombytes(data).coordinates()[:, ::-1] - 0.5
    first, second = np.array(oval.first), np.array(oval.second)
    from_center = polygon - np.array(oval.center)
    along = from_center @ first / (first @ first)
    across = from_center @ second / (second @ second)
    assert np.hypot(along, across) == pytest.approx(1.0, abs=0.08)  # ImageJ rounds the polygon to its own grid
    assert np.hypot(along, across).mean() == pytest.approx(1.0, abs=0.01)


def test_a_zip_of_imagej_gives_its_areas_and_counts_the_rest(roi_files: Path) -> None:
    drawings, remarks = drawings_of_imagej((roi_files / "davidcsterratt_ijzip.zip").read_bytes(), "x", None)
    assert [drawing.texts for drawing in drawings] == [("oval",), ("rect",)]
    assert remarks[0].text.startswith("5 ")


def test_composites_of_imagej_have_several_rings(roi_files: Path) -> None:
    ((drawing,), _) = drawings_of_imagej((roi_files / "hadim_composite-two-ovals.roi").read_bytes(), "x", None)
    assert isinstance(drawing.shape, Outline)
    assert len(drawing.shape.rings) == 2


@pytest.mark.parametrize("name", ["pydicom_liver_1frame.dcm", "highdicom_seg_ct_binary.dcm", "dcmjs_tumor_seg.dcm"])
def test_segmentations_of_another_study_are_told_so(roi_files: Path, drawn: Drawn, name: str) -> None:
    with pytest.raises(Rejected) as caught:
        drawings_of_segments(dcmread(roi_files / name), Frames(drawn.files))
    assert caught.value.reason_code in ("regions-of-another-study", "regions-dicom")


def test_no_real_file_ends_in_a_traceback(roi_files: Path, drawn: Drawn) -> None:
    """None of them belongs to the phantom: each is refused in words."""
    paths = [path for path in sorted(roi_files.iterdir()) if path.suffix in (".dcm", ".roi", ".zip")]
    assert len(paths) > 20
    for path in paths:
        with pytest.raises(Rejected) as caught:
            read_regions(path, drawn.files)
        assert caught.value.detail


# --- hostile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["sr", "gsps", "seg", "rtstruct", "imagej"])
def test_a_file_that_is_cut_or_flipped_anywhere_is_read_or_refused(make: str, drawn: Drawn, tmp_path: Path) -> None:
    writers: dict[str, Any] = {
        "sr": lambda p: producers.dcmjs_report(drawn, p, "ellipse", "tracking"),
        "gsps": lambda p: producers.presentation(drawn, p, "DISPLAY"),
        "seg": lambda p: producers.segmentation(drawn, p),
        "rtstruct": lambda p: producers.structures(drawn, p, images=True),
        "imagej": lambda p: producers.imagej(drawn, p, "polygon"),
    }
    data = writers[make](tmp_path / "whole").read_bytes()
    path = tmp_path / "spoilt"
    step = max(1, len(data) // 25)
    for at in range(132, len(data), step):
        for spoilt in (data[:at], data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]):
            path.write_bytes(spoilt)
            try:
                read_regions(path, drawn.files)
            except Rejected:
                continue


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_behind_imagej_s_magic_are_refused_or_read(content: bytes) -> None:
    try:
        drawings_of_imagej(b"Iout" + content, "x", None)
    except NotAcceptable:
        return


def test_a_zip_bomb_is_refused(tmp_path: Path, drawn: Drawn) -> None:
    import zipfile

    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("L1.roi", bytes(50 * 2**20))
    with pytest.raises(TooLarge):
        read_regions(path, drawn.files)


def test_a_segmentation_that_claims_millions_of_frames_is_refused(tmp_path: Path, drawn: Drawn) -> None:
    path = producers.segmentation(drawn, tmp_path / "seg.dcm")
    dataset = dcmread(path)
    dataset.Rows = dataset.Columns = 40000
    dataset.save_as(path)
    with pytest.raises(TooLarge):
        read_regions(path, drawn.files)


def test_a_level_drawn_twice_is_refused(tmp_path: Path, drawn: Drawn) -> None:
    twice = drawn.regions.but(levels={**drawn.regions.levels})
    other = Drawn(drawn.files, twice)
    named = other.named()
    other.named = lambda: [*named, ("L1", named[1][1])]  # type: ignore[method-assign] # the one thing that differs
    path = producers.dcmjs_report(other, tmp_path / "sr.dcm", "ellipse", "tracking")
    with pytest.raises(NotAcceptable, match="L1 is drawn twice"):
        read_regions(path, drawn.files)


def test_a_dicom_image_is_no_regions_file(drawn: Drawn) -> None:
    with pytest.raises(NotAcceptable, match="no structured report"):
        read_regions(drawn.row.path, drawn.files)
