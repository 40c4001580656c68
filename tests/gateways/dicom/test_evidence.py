"""Evidence: valid DICOM that says what was measured."""

import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from gateways.dicom.evidence import Evidence, evidence_of, report_uid, structured_report
from gateways.dicom.study import open_study
from gateways.rois import read_regions
from schemas.errors import NotMeasurable
from schemas.measurement import Measurement, Reason, RegionSet
from tests.dicom_writer import ROIS, StudyWriter
from tests.gateways.conftest import NOW
from vbq.imaging.measure import measure


def parsed(data: bytes) -> Dataset:
    return dcmread(io.BytesIO(data))


def test_the_report_and_the_picture_belong_to_the_patient_and_study_of_the_images(
    made: tuple[Measurement, Evidence],
) -> None:
    for data in made[1]:
        dataset = parsed(data)
        assert (dataset.PatientID, dataset.StudyInstanceUID) == ("SYNTH-0007", "2.25.9")
        assert dataset.SoftwareVersions == "vbq-cds test"
        assert "research use" in dataset.SeriesDescription
    assert parsed(made[1].report).Modality == "SR"
    assert parsed(made[1].report).VerificationFlag == "UNVERIFIED"


def test_the_report_names_the_images_the_algorithm_and_the_score(made: tuple[Measurement, Evidence]) -> None:
    result, evidence = made
    texts = {str(item.get("TextValue", "")) for item in _items(parsed(evidence.report))}
    assert result.algorithm.rpartition(" ")[0] in texts
    images = [row for item in _items(parsed(evidence.report)) for row in item.get("ReferencedSOPSequence") or []]
    assert {str(row.ReferencedSOPInstanceUID) for row in images} == {"2.25.9.1.5"}
    values = [
        (str(item.ConceptNameCodeSequence[0].CodeValue), float(item.MeasuredValueSequence[0].NumericValue))
        for item in _items(parsed(evidence.report))
        if item.get("ValueType") == "NUM"
    ]
    assert result.vbq is not None
    assert dict(values)["VBQ"] == pytest.approx(result.vbq, abs=1e-4)
    assert result.levels["L1"].mean in [value for _, value in values]


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence") or []:
        yield item
        yield from _items(item)


def test_the_report_says_why_a_person_must_confirm(made: tuple[Measurement, Evidence], study: Path) -> None:
    reasons = [Reason(code="transitional", text="the lowest body may be transitional " * 4)]
    doubted = made[0].but(status="needs_confirmation", reasons=reasons)
    report = structured_report(doubted, open_study(study), software="vbq-cds test", now=NOW)
    values = [
        (str(code.get("CodeValue", code.get("LongCodeValue", ""))), str(code.CodeMeaning))
        for item in _items(parsed(report))
        if item.get("ValueType") == "CODE"
        for code in item.ConceptCodeSequence
    ]
    assert ("NEEDS-CONFIRMATION", "needs confirmation") in values
    (meaning,) = [meaning for value, meaning in values if value == "transitional"]
    assert len(meaning) <= 64


def test_the_same_measurement_has_the_same_uids_and_another_one_others(
    made: tuple[Measurement, Evidence], study: Path, rois: dict[str, Any]
) -> None:
    result, evidence = made
    files = open_study(study)
    again = evidence_of(Measurement.model_validate_json(result.model_dump_json()), files, software="x", now=NOW)
    assert parsed(again.report).SOPInstanceUID == parsed(evidence.report).SOPInstanceUID == report_uid(result)
    assert parsed(again.capture).SOPInstanceUID == parsed(evidence.capture).SOPInstanceUID
    moved = RegionSet.model_validate(
        {**rois, "csf": {**rois["csf"], "L1": {"center": [13, 42], "semi_axes_mm": [2, 3]}}}
    )
    assert report_uid(measure(files.study, files.load_pixels, moved)) != report_uid(result)


def test_the_picture_names_the_image_that_it_was_made_from(made: tuple[Measurement, Evidence]) -> None:
    result, evidence = made
    capture = parsed(evidence.capture)
    assert result.slice is not None
    (source,) = capture.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == result.slice.sop_instance_uid
    assert source.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert list(capture.ImageType)[:2] == ["DERIVED", "SECONDARY"]
    assert "not for measuring" in capture.DerivationDescription


def test_without_regions_there_is_nothing_to_report(study: Path, made: tuple[Measurement, Evidence]) -> None:
    bare = made[0].but(levels={}, csf={})
    with pytest.raises(NotMeasurable):
        evidence_of(bare, open_study(study), software="x", now=NOW)


def test_dcmtk_can_dump_the_report_and_dciodvfy_finds_no_error(
    made: tuple[Measurement, Evidence], tmp_path: Path
) -> None:
    missing = [name for name in ("dsrdump", "dciodvfy") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed (Debian: dcmtk, dicom3tools)")
    for name, data in made[1]._asdict().items():
        path = tmp_path / name
        path.write_bytes(data)
        verdict = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in verdict.stderr + verdict.stdout
    dumped = subprocess.run(["dsrdump", str(tmp_path / "report")], capture_output=True, text=True, check=True).stdout
    assert "Vertebral bone quality score" in dumped
    assert dumped.count("ELLIPSE") == 7


def test_instance_uids_that_repeat_across_series_do_not_confuse_the_report(writer: StudyWriter, tmp_path: Path) -> None:
    """Anonymised studies do that; the spacing of the wrong series would make other ovals of the same numbers."""
    uids = {index: f"2.25.9.1.{index + 1}" for index in range(9)}
    for folder, series, changes in (
        ("a", "2.25.9.0", {"EchoTime": "100", "PixelSpacing": [0.5, 0.5]}),
        ("t1", "2.25.9.1", {}),
    ):
        for index, uid in uids.items():
            made = writer.dataset(index, SeriesInstanceUID=series, SOPInstanceUID=uid, **changes)
            writer.save(made, f"{folder}/{index}")
    files = open_study(writer.root)
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(ROIS))
    (tmp_path / "sr.dcm").write_bytes(evidence_of(result, files, software="x", now=NOW).report)
    again = measure(files.study, files.load_pixels, read_regions(tmp_path / "sr.dcm", files))
    assert again.levels["L1"].area_mm2 == result.levels["L1"].area_mm2
    assert again.vbq == pytest.approx(result.vbq)


def test_every_level_that_can_be_measured_can_be_reported(made: tuple[Measurement, Evidence], study: Path) -> None:
    """T11 to S1, each on a slice of its own, as automatic measurement has them in a curved spine."""
    region = made[0].levels["L1"]
    levels = {
        level: region.but(sop_instance_uid=f"2.25.9.1.{number}", used=False)
        for number, level in enumerate(("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1"), start=1)
    }
    evidence = evidence_of(made[0].but(levels=levels), open_study(study), software="x", now=NOW)
    items = list(_items(parsed(evidence.report)))
    tracked = {str(item.get("TextValue", "")) for item in items}
    assert set(levels) <= tracked
    images = {str(row.ReferencedSOPInstanceUID) for item in items for row in item.get("ReferencedSOPSequence") or []}
    assert len(images) == 8


def test_regions_on_slices_of_their_own_come_back_on_them(
    made: tuple[Measurement, Evidence], study: Path, tmp_path: Path
) -> None:
    result, files = made[0], open_study(study)
    moved = RegionSet(
        sop_instance_uid="2.25.9.1.5",
        levels={level: region.ellipse for level, region in result.levels.items()},
        csf={
            level: region.ellipse.but(sop_instance_uid="2.25.9.1.6" if level == "L3" else None)
            for level, region in result.csf.items()
        },
    )
    first = measure(files.study, files.load_pixels, moved)
    assert first.csf["L3"].sop_instance_uid == "2.25.9.1.6"
    (tmp_path / "sr.dcm").write_bytes(evidence_of(first, files, software="x", now=NOW).report)
    found = read_regions(tmp_path / "sr.dcm", files)
    again = measure(files.study, files.load_pixels, found)
    assert again.vbq == pytest.approx(first.vbq)
    assert again.csf["L3"].sop_instance_uid == "2.25.9.1.6"
    assert "regions-on-several-slices" in {flag.code for flag in again.flags}


def test_a_level_that_did_not_count_does_not_count_when_the_report_is_read_back(
    made: tuple[Measurement, Evidence], study: Path, tmp_path: Path
) -> None:
    """An automatic measurement leaves out a haemangioma; its own report must give the same score again."""
    result, files = made[0], open_study(study)
    levels = {**result.levels, "L4": result.levels["L4"].but(used=False)}
    report = evidence_of(result.but(levels=levels), files, software="x", now=NOW).report
    (tmp_path / "sr.dcm").write_bytes(report)
    found = read_regions(tmp_path / "sr.dcm", files)
    assert set(found.levels) == set(result.levels) - {"L4"}
    assert [(row.code, row.text.split(": ")[1]) for row in found.remarks] == [("regions-not-counting", "L4")]
