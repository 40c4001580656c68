"""Files as odd programs and hurried people write them: the same VBQ, or an error that says what to do."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from gateways.dicom.study import open_study
from gateways.rois import read_regions
from schemas.errors import NotAcceptable, Rejected, TooLarge
from schemas.measurement import Measurement, RegionSet
from tests.gateways.rois import producers
from tests.gateways.rois.producers import Drawn
from vbq.imaging.measure import measure

pytestmark = pytest.mark.filterwarnings("ignore:The value length .19. exceeds:UserWarning")


def measured(drawn: Drawn, regions: RegionSet) -> Measurement:
    return measure(drawn.files.study, drawn.files.load_pixels, regions)


def truth(drawn: Drawn) -> float:
    found = measured(drawn, drawn.regions).vbq
    assert found is not None
    return found


def changed(path: Path, change: Callable[[Dataset], None]) -> Path:
    """The DICOM file with something of it changed."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return path


def shapes(dataset: Dataset, kind: str = "SCOORD") -> list[Dataset]:
    """All items of a content tree with coordinates."""
    found = [dataset] if dataset.get("ValueType") == kind else []
    for child in dataset.get("ContentSequence") or []:
        found += shapes(child, kind)
    return found


def roi_zip(drawn: Drawn, place: Path, rename: Callable[[str], str], **extra: bytes) -> Path:
    """The ImageJ zip with its entries renamed, and others beside them."""
    made = producers.imagej(drawn, place / "plain.zip", "ellipse")
    out = place / "odd.zip"
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            new.writestr(rename(entry), old.read(entry))
        for name, content in extra.items():
            new.writestr(name, content)
    return out


def test_a_zip_with_folders_and_what_macos_adds_is_read(drawn: Drawn, tmp_path: Path) -> None:
    litter = {"__MACOSX/rois/._L1.roi": b"\x00\x05\x16\x07litter", "rois/._L2.roi": b"litter", "rois/notes.txt": b"x"}
    path = roi_zip(drawn, tmp_path, lambda name: f"rois/reader 1/{name}", **litter)
    found = measured(drawn, read_regions(path, drawn.files, image=drawn.row.sop_instance_uid))
    assert found.vbq == pytest.approx(truth(drawn), rel=0.005)


def test_two_readers_in_one_zip_are_told_to_keep_one(drawn: Drawn, tmp_path: Path) -> None:
    one = producers.imagej(drawn, tmp_path / "one.zip", "ellipse")
    both = io.BytesIO()
    with zipfile.ZipFile(one) as old, zipfile.ZipFile(both, "w") as new:
        for reader, kind in (("a", one), ("b", producers.imagej(drawn, tmp_path / "two.zip", "polygon"))):
            with zipfile.ZipFile(kind) as source:
                for entry in source.namelist():
                    new.writestr(f"{reader}/{entry}", source.read(entry))
        assert old.namelist()
    (tmp_path / "both.zip").write_bytes(both.getvalue())
    with pytest.raises(NotAcceptable, match="drawn twice; keep one") as caught:
        read_regions(tmp_path / "both.zip", drawn.files, image=drawn.row.sop_instance_uid)
    assert caught.value.reason_code == "regions-duplicate"


def test_a_zip_within_a_zip_or_without_regions_says_that_nothing_is_in_it(drawn: Drawn, tmp_path: Path) -> None:
    inner = producers.imagej(drawn, tmp_path / "inner.zip", "ellipse")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(inner, "inner.zip")
    with pytest.raises(NotAcceptable) as caught:
        read_regions(tmp_path / "outer.zip", drawn.files)
    assert caught.value.reason_code == "regions-none"


def test_a_zip_of_many_or_of_swollen_entries_is_refused_early(drawn: Drawn, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as many:
        for number in range(501):
            many.writestr(f"{number}.roi", b"Iout")
    with zipfile.ZipFile(tmp_path / "swollen.zip", "w", zipfile.ZIP_DEFLATED) as swollen:
        swollen.writestr("L1.roi", b"Iout" + bytes(40 * 2**20))
    for name in ("many.zip", "swollen.zip"):
        with pytest.raises(TooLarge):
            read_regions(tmp_path / name, drawn.files)


@pytest.mark.parametrize("closed", [True, False])
def test_a_polyline_of_a_report_may_be_left_open(drawn: Drawn, tmp_path: Path, closed: bool) -> None:
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "polyline", "tracking")

    def ends(dataset: Dataset) -> None:
        for item in shapes(dataset):
            data = list(item.GraphicData)
            data = data[:-2] if data[:2] == data[-2:] else data
            item.GraphicData = data + data[:2] if closed else data

    found = measured(drawn, read_regions(changed(path, ends), drawn.files))
    assert found.vbq == pytest.approx(truth(drawn), rel=0.005)


@pytest.mark.parametrize("order", [(2, 3, 0, 1), (1, 0, 3, 2), (3, 2, 1, 0), (0, 2, 1, 3), (3, 0, 2, 1)])
def test_the_ends_of_an_ellipse_s_axes_come_in_any_order(drawn: Drawn, tmp_path: Path, order: tuple[int, ...]) -> None:
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "tracking")

    def shuffle(dataset: Dataset) -> None:
        for item in shapes(dataset):
            points = np.array(item.GraphicData, dtype=float).reshape(-1, 2)
            item.GraphicData = [float(value) for value in points[list(order)].ravel()]

    found = measured(drawn, read_regions(changed(path, shuffle), drawn.files))
    assert found.vbq == pytest.approx(truth(drawn), rel=0.005)


def test_a_region_that_leaves_the_image_is_named(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "tracking")

    def away(dataset: Dataset) -> None:
        first = list(shapes(dataset)[0].GraphicData)
        for item in shapes(dataset):  # several measurements may share a region
            if list(item.GraphicData) == first:
                item.GraphicData = [float(value) - 400 for value in first]

    found = measured(drawn, read_regions(changed(path, away), drawn.files))
    assert found.status == "not_measurable"
    assert found.vbq is None
    assert [reason.code for reason in found.reasons] == ["region-outside"]
    assert "beyond the image" in found.reasons[0].text


@pytest.mark.filterwarnings("ignore:The value for the data element .0070,0022. exceeds:UserWarning")
@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        ([float("nan")] * 8, "regions-coordinates", "L1 ELLIPSE"),
        ([float("inf"), *[90.0] * 7], "regions-coordinates", "L1 ELLIPSE"),
        ([90.0, 90.0, 99.0, 90.0, 95.0, 88.0], "regions-coordinates", "L1 ELLIPSE"),
        ([50.0, 50.0, 90.0, 50.0, 70.0, 40.0, 99.0, 95.0], "regions-coordinates", "two axes with one centre"),
        ([50.0, 60.0] * 20_001, "too-large", "20000 points"),
    ],
    ids=["NaN", "infinite", "three-ends", "askew", "too-many"],
)
def test_a_region_with_impossible_coordinates_is_named_and_never_dropped(
    data: list[float], code: str, says: str, drawn: Drawn, tmp_path: Path
) -> None:
    """Without it L1 would be missing from a score that looks whole. The long one is beyond 64 KiB, thus VR UN."""
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "tracking")

    def broken(dataset: Dataset) -> None:
        shapes(dataset)[0].GraphicData = data

    with pytest.raises(Rejected, match=says) as caught:
        read_regions(changed(path, broken), drawn.files)
    assert caught.value.reason_code == code


def test_a_report_with_too_many_items_says_so(drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateways.rois.structured_report.MAX_ITEMS", 10)
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "tracking")
    with pytest.raises(TooLarge, match="10 content items"):
        read_regions(path, drawn.files)


def test_csf_alone_says_that_the_bodies_are_missing(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "tracking")

    def fluid_only(dataset: Dataset) -> None:
        groups = dataset.ContentSequence[0]
        groups.ContentSequence = [one for one in groups.ContentSequence if "CSF" in one.ContentSequence[0].TextValue]

    with pytest.raises(NotAcceptable, match="no vertebral body") as caught:
        read_regions(changed(path, fluid_only), drawn.files)
    assert caught.value.reason_code == "regions-no-bodies"


def test_what_was_left_out_is_said_where_there_is_no_number_for_want_of_it(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.dcmjs_report(drawn, tmp_path / "sr.dcm", "ellipse", "tracking")

    def unlabelled(dataset: Dataset) -> None:
        for group in dataset.ContentSequence[0].ContentSequence:
            if "CSF" in group.ContentSequence[0].TextValue:
                group.ContentSequence[0].TextValue = "EllipticalROI"

    found = measured(drawn, read_regions(changed(path, unlabelled), drawn.files))
    assert [reason.code for reason in found.reasons] == ["csf-missing"]
    assert "regions-unlabelled" in {flag.code for flag in found.flags}


def test_presentation_units_that_cannot_be_placed_are_named(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.presentation(drawn, tmp_path / "ps.dcm", "DISPLAY")

    def turned(dataset: Dataset) -> None:
        dataset.ImageRotation = 90

    with pytest.raises(NotAcceptable, match="PIXEL units") as caught:
        read_regions(changed(path, turned), drawn.files)
    assert caught.value.reason_code == "regions-units"


def test_a_displayed_area_that_is_a_part_of_the_image_is_taken_into_account(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.presentation(drawn, tmp_path / "ps.dcm", "DISPLAY")
    rows, columns = drawn.row.rows, drawn.row.columns
    part = np.array([11, 21]), np.array([columns - 8, rows - 4])  # column, row, counted from 1

    def zoomed(dataset: Dataset) -> None:
        for area in dataset.DisplayedAreaSelectionSequence:
            area.DisplayedAreaTopLeftHandCorner = [int(value) for value in part[0]]
            area.DisplayedAreaBottomRightHandCorner = [int(value) for value in part[1]]
        for annotation in dataset.GraphicAnnotationSequence:
            for graphic in annotation.GraphicObjectSequence:
                (old_corner, old_end) = (np.array([10.0, 4.0]), np.array([columns - 6.0, rows - 3.0]))
                points = np.array(graphic.GraphicData, dtype=float).reshape(-1, 2) * (old_end - old_corner) + old_corner
                shares = (points - (part[0] - 1)) / (part[1] - part[0] + 1)
                graphic.GraphicData = [float(value) for value in shares.ravel()]

    found = measured(drawn, read_regions(changed(path, zoomed), drawn.files))
    assert found.vbq == pytest.approx(truth(drawn), rel=0.005)


def test_an_open_line_of_a_presentation_is_no_region(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.presentation(drawn, tmp_path / "ps.dcm", "PIXEL")

    def lines(dataset: Dataset) -> None:
        for annotation in dataset.GraphicAnnotationSequence:
            for graphic in annotation.GraphicObjectSequence:
                graphic.GraphicType, graphic.GraphicFilled = "POLYLINE", "N"
                graphic.GraphicData = [10.0, 10.0, 40.0, 10.0, 40.0, 60.0]

    with pytest.raises(NotAcceptable) as caught:
        read_regions(changed(path, lines), drawn.files)
    assert caught.value.reason_code == "regions-none"


def test_a_segmentation_of_empty_frames_says_that_nothing_is_in_it(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.segmentation(drawn, tmp_path / "seg.dcm")

    def emptied(dataset: Dataset) -> None:
        dataset.PixelData = bytes(len(dataset.PixelData))

    with pytest.raises(NotAcceptable) as caught:
        read_regions(changed(path, emptied), drawn.files)
    assert caught.value.reason_code == "regions-none"


def test_structures_that_share_a_level_are_told_to_keep_one(drawn: Drawn, tmp_path: Path) -> None:
    path = producers.structures(drawn, tmp_path / "rs.dcm", images=True)

    def renamed(dataset: Dataset) -> None:
        rows = [row for row in dataset.StructureSetROISequence if "CSF" not in str(row.ROIName)]
        rows[0].ROIName, rows[1].ROIName = "L1 anterior", "L1 posterior"

    with pytest.raises(NotAcceptable, match="L1 is drawn twice"):
        read_regions(changed(path, renamed), drawn.files)


def test_regions_drawn_on_the_t2_series_are_not_measured_on_the_t1(drawn: Drawn, tmp_path: Path) -> None:
    import subprocess
    import sys

    size = ["--matrix", "128", "--slices", "5", "--pixel-mm", "2.0", "--seed", "5"]
    place = tmp_path / "both"
    command = [sys.executable, "-m", "commands", "simulate", "study", *size, "--out", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    files = open_study(place)
    t2 = next(row for row in files.study.series if "SAG T2" in (row.description or ""))
    document: dict[str, Any] = json.loads((place / "regions.json").read_text())
    document["sop_instance_uid"] = t2.sop_instance_uids[2]
    (tmp_path / "r.json").write_text(json.dumps(document))
    found = measure(files.study, files.load_pixels, read_regions(tmp_path / "r.json", files))
    assert found.vbq is None
    assert [reason.code for reason in found.reasons] == ["regions-on-other-series"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "regions-json"),
        (b"\xff\xfe\x00garbage", "regions-json"),
        (b"[" * 100_000, "regions-json"),
        (b'{"levels": {}, "csf": {}, "levels": {}}', "regions-duplicate"),
        (b'{"levels": {"L9": {"center": [1, 2], "semi_axes_mm": [3, 4]}}, "csf": {}}', "regions-invalid"),
        (b'{"levels": {"L1": {"center": [NaN, 2], "semi_axes_mm": [3, 4]}}, "csf": {}}', "regions-invalid"),
        (b"null", "regions-invalid"),
    ],
    ids=["empty", "bytes", "deep", "twice", "no-such-level", "nan", "null"],
)
def test_a_broken_json_file_says_where(content: bytes, code: str, drawn: Drawn, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(NotAcceptable) as caught:
        read_regions(tmp_path / "r.json", drawn.files)
    assert caught.value.reason_code == code


def test_a_file_saved_by_windows_with_its_mark_is_read(drawn: Drawn, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(b"\xef\xbb\xbf" + drawn.regions.model_dump_json().encode())
    assert read_regions(tmp_path / "r.json", drawn.files) == drawn.regions


@pytest.mark.parametrize(
    "change",
    [
        {"semi_axes_mm": [0.0, 4.0]},
        {"semi_axes_mm": [-3.0, 4.0]},
        {"semi_axes_mm": [1e9, 4.0]},
        {"center": [1e300, 0.0]},
    ],
    ids=["zero", "negative", "huge", "far"],
)
def test_an_impossible_ellipse_is_named_with_its_level(change: dict[str, Any], drawn: Drawn, tmp_path: Path) -> None:
    document = json.loads(drawn.regions.model_dump_json())
    document["levels"]["L2"] |= change
    (tmp_path / "r.json").write_text(json.dumps(document))
    found = measured(drawn, read_regions(tmp_path / "r.json", drawn.files))
    assert found.vbq is None
    assert found.reasons[0].text.startswith("L2:")
