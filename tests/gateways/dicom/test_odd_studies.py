"""Studies that are odd rather than hostile: each is read, or the words say what is odd and what to do."""

import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.uid import SecondaryCaptureImageStorage

from gateways.dicom.decoder import Decoder
from gateways.dicom.headers import orientation_of, triple_of
from gateways.dicom.study import open_study
from schemas.errors import NotAcceptable, NotMeasurable
from tests.dicom_writer import StudyWriter


def with_text(path: Path, keyword: str, text: str) -> None:
    """The file with the raw bytes of a decimal string replaced, whatever they say."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    data = path.read_bytes()
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"DS")
    (length,) = struct.unpack_from("<H", data, at + 6)
    value = text.encode() + b" " * (len(text) % 2)
    path.write_bytes(data[: at + 6] + struct.pack("<H", len(value)) + value + data[at + 8 + length :])


def words_against_pixels(root: Path) -> str:
    files = open_study(root)
    with pytest.raises(NotMeasurable) as caught:
        files.load_pixels("2.25.9.1")
    return " ".join(f"{code} {text}" for code, text in caught.value.reasons)


def test_names_of_files_in_odd_bytes_are_read(writer: StudyWriter) -> None:
    for index, path in enumerate(writer.series()):
        path.rename(path.with_name(os.fsdecode(b"\xff\xfe\n;$(x) " + str(index).encode())))
    with Decoder() as decoder:
        files = open_study(writer.root, reader=decoder)
        assert len(files.load_pixels("2.25.9.1").slices) == writer.count


@pytest.mark.parametrize("position", ["1e30\\0\\0", "NaN\\0\\0", "inf\\0\\0"])
def test_a_slice_that_lies_nowhere_near_a_scanner_is_left_out(writer: StudyWriter, position: str) -> None:
    with_text(writer.series()[3], "ImagePositionPatient", position)
    series = open_study(writer.root).load_pixels("2.25.9.1")
    assert len(series.slices) == writer.count - 1
    assert "position" in next(iter(series.unreadable.values())).text


def test_numbers_of_frames_that_are_none_give_no_geometry() -> None:
    nan = float("nan")
    assert triple_of([0.0, nan, 0.0]) is None
    assert orientation_of([nan, 1.0, 0.0, 0.0, 0.0, -1.0]) is None


@pytest.mark.parametrize("slope", ["NaN", "1e300", "0"])
def test_a_rescale_that_makes_no_sense_is_named(writer: StudyWriter, slope: str) -> None:
    for path in writer.series(RescaleSlope="1.00000", RescaleIntercept="0"):
        with_text(path, "RescaleSlope", slope)
    assert "rescale" in words_against_pixels(writer.root)


def test_floating_point_pixels_are_named(writer: StudyWriter) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        values = np.frombuffer(dataset.PixelData, dtype="<u2").astype("<f4")
        del dataset.PixelData
        dataset.FloatPixelData = values.tobytes()
        dataset.BitsAllocated = dataset.BitsStored = 32
        dataset.HighBit = 31
        writer.save(dataset, f"t1/{index}")
    assert "float-pixels" in words_against_pixels(writer.root)


def test_a_secondary_capture_is_named(writer: StudyWriter) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        writer.save(dataset, f"t1/{index}")
    assert "secondary-capture" in words_against_pixels(writer.root)


def test_a_high_bit_that_does_not_fit_is_named(writer: StudyWriter) -> None:
    writer.series(HighBit=3)
    assert "high bit" in words_against_pixels(writer.root)


def test_images_without_identifiers_are_named(writer: StudyWriter) -> None:
    writer.series(StudyInstanceUID=None)
    with pytest.raises(NotAcceptable, match="UIDs are missing"):
        open_study(writer.root)


def test_a_zip_archive_is_to_be_unpacked(writer: StudyWriter, tmp_path: Path) -> None:
    archive = tmp_path / "zipped" / "study.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as made:
        for path in writer.series():
            made.write(path, path.name)
    for study in (archive, archive.parent):
        with pytest.raises(NotAcceptable, match="unpack it"):
            open_study(study)


def test_files_without_the_prefix_are_named(writer: StudyWriter) -> None:
    for path in writer.series():
        path.write_bytes(path.read_bytes()[132:])
    with pytest.raises(NotAcceptable, match="DICM prefix"):
        open_study(writer.root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_files_that_may_not_be_opened_are_named(writer: StudyWriter) -> None:
    for path in writer.series():
        path.chmod(0)
    with pytest.raises(NotAcceptable, match="permissions"):
        open_study(writer.root)
