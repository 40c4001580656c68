"""Studies as a stranger sends them: strays in a series, digits that differ, enhanced files of one frame."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.uid import UID

from gateways.dicom.pixels import obstacle, syntax_name
from gateways.dicom.study import DicomLimits, open_study
from tests.dicom_writer import AXIAL, ENHANCED_MR, StudyWriter, enhanced, item
from vbq.imaging.series import choose_series
from vbq.imaging.slices import order_slices


def flags_of(writer: StudyWriter) -> set[str]:
    return {flag.code for flag in open_study(writer.root).study.flags}


@pytest.mark.parametrize(
    "stray", [{"ImageOrientationPatient": AXIAL}, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}]
)
def test_a_localizer_s_image_among_the_slices_is_left_out(writer: StudyWriter, stray: dict[str, Any]) -> None:
    writer.series()
    writer.save(writer.dataset(4, SOPInstanceUID="2.25.9.1.77", **stray), "t1/stray")
    study = open_study(writer.root).study
    assert (flags_of(writer), study.series[0].slices) == ({"stray-images"}, writer.count)
    assert choose_series(study.series).header is not None


def test_a_series_of_two_planes_is_judged_as_it_is(writer: StudyWriter) -> None:
    for index in range(writer.count):
        orientation = {"ImageOrientationPatient": AXIAL} if index > 4 else {}
        writer.save(writer.dataset(index, **orientation), f"t1/{index}")
    study = open_study(writer.root).study
    assert len(study.series[0].orientations) == 2
    assert choose_series(study.series).header is None


def test_a_spacing_whose_last_digit_differs_from_slice_to_slice_is_one_spacing(writer: StudyWriter) -> None:
    for index in range(writer.count):
        spacing = [f"{1 + 1e-6 * index:.6f}", "0.9999990"]
        writer.save(writer.dataset(index, PixelSpacing=spacing), f"t1/{index}")
    ordered = order_slices(open_study(writer.root).load_pixels("2.25.9.1"))
    assert (len(ordered.slices), ordered.flags) == (writer.count, ())


def test_with_a_negative_slope_the_largest_signal_is_that_of_the_least_stored_value(writer: StudyWriter) -> None:
    writer.series(RescaleSlope="-1", RescaleIntercept="4095")
    assert open_study(writer.root).load_pixels("2.25.9.1").slices[0].ceiling == 4095


def test_values_shifted_up_within_rle_are_named(writer: StudyWriter) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
        dataset.HighBit = 15
        writer.save(dataset, f"t1/{index}")
    files = open_study(writer.root)
    loaded = files.reader.slices(files.instances["2.25.9.1"], DicomLimits())[0]
    assert getattr(loaded, "code", None) == "bits"


def test_an_element_that_hides_the_pixels_is_not_taken_for_a_map(writer: StudyWriter) -> None:
    for path in writer.series():
        data = path.read_bytes()
        path.write_bytes(data.replace(b"\x08\x00\x60\x00CS", b"\x08\x00\x60\x00\0\0"))
    files = open_study(writer.root)
    loaded = files.reader.slices(files.instances["2.25.9.1"], DicomLimits())[0]
    assert getattr(loaded, "code", None) == "not-decodable"


# --- enhanced --------------------------------------------------------------------------------------------------------


def test_enhanced_files_of_one_frame_each_are_a_series(writer: StudyWriter) -> None:
    for index in range(writer.count):
        one = enhanced(writer, order=[index])
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.9.1.{index + 1}")
        one.InstanceNumber = index + 1
        writer.save(one, f"t1/{index}")
    files = open_study(writer.root)
    assert files.study.series[0].slice_spacing_mm == 4.0
    slices = order_slices(files.load_pixels("2.25.9.1")).slices
    assert [one.sop_instance_uid for one in slices] == [f"2.25.9.1.{n}" for n in range(writer.count, 0, -1)]
    assert [one.instance_number for one in slices] == list(range(writer.count, 0, -1))
    assert np.array_equal(slices[4].pixels, writer.dataset(4).pixel_array)


@pytest.mark.parametrize("where", ["data set", "suppression of all frames", "excitation of all frames"])
def test_fat_suppression_of_an_enhanced_file_is_seen(writer: StudyWriter, where: str) -> None:
    dataset = enhanced(writer)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if where == "data set":
        dataset.SpectrallySelectedSuppression = "FAT"
    elif where.startswith("suppression"):
        shared.MRModifierSequence = [item(SpectrallySelectedSuppression="FAT")]
    else:
        shared.MRModifierSequence = [item(SpectrallySelectedExcitation="WATER")]
    writer.save(dataset, "t1/all")
    verdict = choose_series(open_study(writer.root).study.series).verdicts[0]
    assert [reason.code for reason in verdict.reasons] == ["fat-suppressed"]


def test_without_suppression_an_enhanced_file_is_plain_t1(writer: StudyWriter) -> None:
    dataset = enhanced(writer)
    dataset.SpectrallySelectedSuppression = "NONE"
    dataset.AcquisitionDateTime = "20240102101500.25+0100"
    writer.save(dataset, "t1/all")
    header = open_study(writer.root).study.series[0]
    assert (header.acquisition_date, header.acquisition_time) == ("20240102", "101500.25")
    assert choose_series([header]).header is not None


# --- transfer syntaxes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000"),
        ("1.2.840.10008.1.2.4.110", "JPEG XL"),
        ("1.2.840.10008.1.2.4.107", "HEVC"),
        ("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed"),
        ("1.2.840.113619.5.2", "GE"),
        ("9.9.9", "9.9.9"),
        ("<script>", "a compression that is not known here"),
        ("1.2.840.10008.5.1.4.1.1.4", "a compression that is not known here"),
    ],
)
def test_a_syntax_that_is_not_decoded_is_named(writer: StudyWriter, syntax: str, name: str) -> None:
    assert name in syntax_name(syntax)
    assert "<" not in syntax_name(syntax)
    writer.series()
    instance = open_study(writer.root).instances["2.25.9.1"][0]
    found = obstacle(replace(instance, transfer_syntax=syntax, sop_class=ENHANCED_MR), DicomLimits())
    assert found is not None
    assert found.code == "transfer-syntax"
