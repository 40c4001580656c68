"""Reading studies from disk: what is read, what is told, what is kept apart."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from gateways.dicom.study import DicomLimits, open_study
from gateways.rois import parse_regions
from schemas.errors import IdentityMismatch, NotAcceptable, TooLarge
from schemas.measurement import RegionSet
from vbq.imaging.measure import measure
from vbq.imaging.slices import order_slices

PLAIN = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"


def header(directory: Path, uid: str = "2.25.9.1") -> Any:
    return next(one for one in open_study(directory).study.series if one.uid == uid)


def test_a_study_on_disk_is_measured_to_its_known_vbq(study: Path, rois: dict[str, Any]) -> None:
    files = open_study(study)
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(rois))
    assert result.status == "measured"
    assert result.vbq == pytest.approx(4.0)
    assert (result.study_uid, result.series_uid) == ("2.25.9", "2.25.9.1")
    assert result.slice is not None
    assert (result.slice.sop_instance_uid, result.slice.index) == ("2.25.9.1.5", 4)
    assert result.acquisition.study_date == "2024-01-02"
    assert len(result.series) == 3
    assert result.flags == []


def test_headers_say_what_the_files_say(study: Path) -> None:
    t1 = header(study)
    assert (t1.repetition_time_ms, t1.echo_time_ms, t1.field_strength_t) == (550, 10, 1.5)
    assert (t1.slices, t1.rows, t1.columns, t1.slice_spacing_mm) == (9, 64, 64, 4.0)
    assert t1.scanning_sequence == ("SE",)
    assert t1.obstacles == ()


def test_the_identity_stands_apart_and_nothing_of_it_is_in_the_measurement(study: Path) -> None:
    files = open_study(study)
    assert files.identity.patient_id == "SYNTH-0007"
    assert files.identity.birth_date is not None
    document = measure(files.study, files.load_pixels, None).model_dump_json() + repr(files) + repr(files.identity)
    for canary in ("SYNTH-0007", "Canary", "19500301", "1950-03-01"):
        assert canary not in document


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"],
    ids=["rle", "jpeg-ls", "jpeg-2000"],
)
def test_lossless_compressions_give_the_same_pixels(
    compressed: Callable[[str], Path], rois: dict[str, Any], syntax: str
) -> None:
    files = open_study(compressed(syntax))
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(rois))
    assert result.vbq == pytest.approx(4.0)


def test_a_deflated_file_is_read_within_bounds(writer: Any, rois: dict[str, Any]) -> None:
    for path in writer.series():
        data = path.read_bytes()
        start = 144 + int.from_bytes(data[140:144], "little")
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        meta = data[:start].replace(PLAIN.encode() + b"\0", DEFLATED.encode())
        length = int.from_bytes(data[140:144], "little") + len(meta) - start
        old = (len(PLAIN) + 1).to_bytes(2, "little") + DEFLATED.encode()
        meta = meta.replace(old, len(DEFLATED).to_bytes(2, "little") + DEFLATED.encode())
        meta = meta[:140] + length.to_bytes(4, "little") + meta[144:]
        path.write_bytes(meta + deflater.compress(data[start:]) + deflater.flush())
    files = open_study(writer.root)
    assert measure(files.study, files.load_pixels, RegionSet.model_validate(rois)).vbq == pytest.approx(4.0)


def test_implicit_encoding_is_read(writer: Any) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        writer.save(dataset, f"t1/{index}")
    files = open_study(writer.root)
    assert len(files.load_pixels("2.25.9.1").slices) == 9


def test_each_instance_s_own_rescale_is_applied(writer: Any) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index, RescaleSlope=str(1 + index), RescaleIntercept="-20", RescaleType="US")
        writer.save(dataset, f"t1/{index}")
    ordered = order_slices(open_study(writer.root).load_pixels("2.25.9.1")).slices
    middle = next(one for one in ordered if one.instance_number == 5)
    assert middle.pixels[13, 24] == 400 * 5 - 20
    assert middle.ceiling == 4095 * 5 - 20


def test_signed_pixels_keep_their_sign(writer: Any) -> None:
    signed = np.full((64, 64), -7, dtype=np.int16)
    dataset = writer.dataset(
        0, PixelRepresentation=1, BitsStored=16, HighBit=15, PixelData=signed.tobytes(), Rows=64, Columns=64
    )
    writer.save(dataset, "t1/0")
    loaded = open_study(writer.root).load_pixels("2.25.9.1").slices[0]
    assert float(loaded.pixels.max()) == -7.0
    assert loaded.ceiling == 32767


def test_instance_uids_that_repeat_across_series_are_kept_apart(writer: Any, rois: dict[str, Any]) -> None:
    """Anonymised studies number instances anew in each series."""
    for index in range(writer.count):
        for folder, uid, echo in (("a", "2.25.9.1", "10"), ("b", "2.25.9.2", "100")):
            dataset = writer.dataset(
                index, SeriesInstanceUID=uid, EchoTime=echo, SOPInstanceUID=f"2.25.9.1.{index + 1}"
            )
            writer.save(dataset, f"{folder}/{index}")
    files = open_study(writer.root)
    assert [one.slices for one in files.study.series] == [9, 9]
    assert measure(files.study, files.load_pixels, RegionSet.model_validate(rois)).vbq == pytest.approx(4.0)


def test_the_same_file_twice_counts_once_and_is_told(writer: Any) -> None:
    first = writer.series()[0]
    (writer.root / "copy").write_bytes(first.read_bytes())
    found = open_study(writer.root).study
    assert found.series[0].slices == 9
    assert [flag.code for flag in found.flags] == ["repeated-files"]


def test_two_patients_in_one_study_are_an_identity_mismatch(writer: Any) -> None:
    writer.series()
    writer.save(writer.dataset(0, PatientID="SYNTH-0008", SOPInstanceUID="2.25.77"), "t1/other")
    with pytest.raises(IdentityMismatch) as caught:
        open_study(writer.root)
    assert caught.value.reason_code == "two-patients"
    assert "SYNTH" not in caught.value.detail


def test_instances_that_name_no_patient_do_not_contradict_the_others(writer: Any) -> None:
    writer.series()
    writer.save(writer.dataset(0, PatientID="", PatientBirthDate="", SOPInstanceUID="2.25.77"), "t1/other")
    assert open_study(writer.root).identity.patient_id == "SYNTH-0007"


def test_of_several_studies_only_the_named_one_is_read_and_without_a_name_none(writer: Any) -> None:
    writer.series()
    writer.series("other", StudyInstanceUID="2.25.10", SeriesInstanceUID="2.25.10.1", PatientID="SYNTH-0008")
    with pytest.raises(NotAcceptable, match="holds 2 studies"):
        open_study(writer.root)
    assert open_study(writer.root, study_uid="2.25.10").identity.patient_id == "SYNTH-0008"
    with pytest.raises(IdentityMismatch):
        open_study(writer.root, study_uid="2.25.11")


def test_other_files_beside_the_images_do_not_matter(study: Path) -> None:
    (study / "regions.json").write_text("{}")
    (study / "notes.txt").write_text("x" * 1000)
    (study / "empty").touch()
    assert open_study(study).study.flags == ()


def test_text_in_the_file_s_own_character_set_is_read(writer: Any) -> None:
    dataset = writer.dataset(0, SpecificCharacterSet="ISO_IR 192", SeriesDescription="T1 矢状断")
    writer.save(dataset, "t1/0")
    assert open_study(writer.root).study.series[0].description == "T1 矢状断"


def test_field_strength_in_gauss_becomes_tesla(writer: Any) -> None:
    writer.series(MagneticFieldStrength="15000")
    assert header(writer.root).field_strength_t == 1.5


def test_nothing_there_is_told_apart_from_too_much(tmp_path: Path, study: Path) -> None:
    with pytest.raises(NotAcceptable, match="does not exist"):
        open_study(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(NotAcceptable, match="no DICOM file"):
        open_study(tmp_path / "bare")
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_INSTANCES"):
        open_study(study, limits=DicomLimits(instances=5))
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_BYTES"):
        open_study(study, limits=DicomLimits(study_bytes=10_000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ('{"levels": {}, "csf": {}, "levels": {}}', "same name twice"),
        ('{"levels": {"L9": {"center": [1, 1], "semi_axes_mm": [1, 1]}}, "csf": {}}', "levels.L9"),
        ('{"levels": {"L1": {"center": [NaN, 1], "semi_axes_mm": [1, 1]}}, "csf": {}}', "finite"),
        ('{"csf": {}}', "levels"),
        ("[" * 100_000, "nests too deeply"),
        ("7", "regions file is not right"),
    ],
)
def test_a_wrong_regions_file_is_refused_naming_the_place(text: str, words: str) -> None:
    with pytest.raises(NotAcceptable, match=words):
        parse_regions(text.encode())
