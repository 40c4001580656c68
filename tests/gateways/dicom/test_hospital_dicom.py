"""DICOM as hospitals have it: compressions, enhanced files, makers' scalings, odd bits, several stacks in a series."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from gateways.dicom.jpeg_lossless import decode_lossless
from gateways.dicom.limits import DicomLimits
from gateways.dicom.study import StudyFiles, open_study
from schemas.measurement import Measurement, RegionSet
from tests.dicom_writer import enhanced
from tests.gateways.dicom.lossless_encoder import encode_lossless
from vbq.imaging.measure import measure

Rois = dict[str, Any]


def measured(files: StudyFiles, rois: Rois, slice_uid: str | None = None) -> Measurement:
    named = {**rois, "sop_instance_uid": slice_uid or rois["sop_instance_uid"]}
    return measure(files.study, files.load_pixels, RegionSet.model_validate(named))


def reasons_of(root: Path) -> set[str]:
    header = open_study(root).study.series[0]
    return {reason.code for reason in header.obstacles}


# --- JPEG lossless ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("restart_rows", [0, 5])
def test_jpeg_lossless_gives_back_every_value(predictor: int, restart_rows: int) -> None:
    values = np.random.default_rng(predictor).integers(0, 65536, (24, 31))
    values[4:8] = 7  # long runs of the shortest code
    frame = encode_lossless(values, predictor=predictor, restart_rows=restart_rows)
    assert (decode_lossless(frame, signed=False) == values).all()


def test_jpeg_lossless_keeps_signs() -> None:
    values = np.random.default_rng(1).integers(-2048, 2048, (20, 20))
    frame = encode_lossless(values & 0xFFF, predictor=1, precision=12)
    assert (decode_lossless(frame, signed=True) == values).all()


@pytest.mark.parametrize("cut", [3, 30, 100, 300, 700])
def test_a_jpeg_lossless_image_that_is_cut_short_is_refused(cut: int) -> None:
    frame = encode_lossless(np.random.default_rng(2).integers(0, 4096, (24, 24)), predictor=1)
    with pytest.raises(ValueError, match=r"."):
        decode_lossless(frame[: len(frame) - cut], signed=False)


def test_jpeg_lossless_studies_are_measured(writer: Any, rois: Rois) -> None:
    from pydicom.encaps import encapsulate

    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.PixelData = encapsulate([encode_lossless(dataset.pixel_array, predictor=1)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.70")
        writer.save(dataset, f"t1/{index}")
    assert measured(open_study(writer.root), rois).vbq == pytest.approx(4.0)


@pytest.mark.parametrize("options", [["+e1"], ["+el", "+sv", "4"], ["+el", "+sv", "7"]])
def test_jpeg_lossless_of_dcmtk_is_read(options: list[str], writer: Any, rois: Rois) -> None:
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmtk (dcmcjpeg) is not installed")
    for path in writer.series():
        subprocess.run(["dcmcjpeg", *options, str(path), str(path)], check=True, capture_output=True)
    syntax = dcmread(writer.written[0]).file_meta.TransferSyntaxUID
    assert syntax in ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
    assert measured(open_study(writer.root), rois).vbq == pytest.approx(4.0)


# --- enhanced multi-frame --------------------------------------------------------------------------------------------


def test_an_enhanced_file_is_a_series_of_its_frames(writer: Any, rois: Rois) -> None:
    writer.save(enhanced(writer), "t1/all")
    files = open_study(writer.root)
    header = files.study.series[0]
    assert (header.slices, header.repetition_time_ms, header.echo_time_ms) == (9, 550.0, 10.0)
    assert header.slice_spacing_mm == 4.0
    found = measured(files, rois, "2.25.9.1.1#5")
    assert found.status == "measured", found.reasons
    assert found.vbq == pytest.approx(4.0)
    assert found.slice is not None
    assert (found.slice.sop_instance_uid, found.slice.index) == ("2.25.9.1.1#5", 4)


def test_frames_out_of_order_are_put_in_order(writer: Any, rois: Rois) -> None:
    writer.save(enhanced(writer, order=[8, 0, 7, 1, 6, 2, 5, 3, 4]), "t1/all")
    found = measured(open_study(writer.root), rois, "2.25.9.1.1#9")
    assert found.slice is not None
    assert found.slice.index == 4
    assert found.vbq == pytest.approx(4.0)


def test_each_frame_has_its_own_rescale(writer: Any, rois: Rois) -> None:
    writer.save(enhanced(writer, slopes=[0.5 + 0.25 * index for index in range(9)]), "t1/all")
    found = measured(open_study(writer.root), rois, "2.25.9.1.1#5")
    assert found.vbq == pytest.approx(4.0, rel=0.01)
    assert found.levels["L1"].mean == pytest.approx(400, abs=1)


def test_philips_frames_are_scaled_to_what_the_scanner_measured(writer: Any, rois: Rois) -> None:
    slopes, scale = [0.5 + 0.25 * index for index in range(9)], [0.01 * (index + 1) for index in range(9)]
    writer.save(enhanced(writer, slopes=slopes, scale=scale), "t1/all")
    found = measured(open_study(writer.root), rois, "2.25.9.1.1#5")
    assert found.vbq == pytest.approx(4.0, rel=0.01)
    assert found.levels["L1"].mean == pytest.approx(400 / (slopes[4] * scale[4]), rel=0.005)


def test_a_compressed_enhanced_file_is_read_frame_by_frame(writer: Any, rois: Rois) -> None:
    dataset = enhanced(writer)
    dataset.compress("1.2.840.10008.1.2.5", encoding_plugin="pylibjpeg", generate_instance_uid=False)
    writer.save(dataset, "t1/all")
    assert measured(open_study(writer.root), rois, "2.25.9.1.1#5").vbq == pytest.approx(4.0)


def test_frames_that_do_not_say_where_they_lie_are_refused(writer: Any) -> None:
    dataset = enhanced(writer)
    del dataset.PerFrameFunctionalGroupsSequence
    writer.save(dataset, "t1/all")
    assert reasons_of(writer.root) == {"multi-frame"}


def test_an_enhanced_file_that_claims_more_frames_than_it_has_is_refused(writer: Any) -> None:
    dataset = enhanced(writer)
    dataset.PixelData = dataset.PixelData[: 64 * 64 * 2 * 3]
    writer.save(dataset, "t1/all")
    assert reasons_of(writer.root) == {"truncated"}


# --- makers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [0x10, 0x11])
def test_philips_single_slices_are_scaled_in_whatever_block_philips_has(writer: Any, rois: Rois, block: int) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index, RescaleSlope="2", RescaleIntercept="0")
        dataset.add_new((0x2005, block), "LO", "Philips MR Imaging DD 001")
        dataset.add_new((0x2005, (block << 8) | 0x0E), "FL", 0.05)
        writer.save(dataset, f"t1/{index}")
    found = measured(open_study(writer.root), rois)
    assert found.levels["L1"].mean == pytest.approx(400 * 2 / (2 * 0.05), rel=1e-5)
    assert found.vbq == pytest.approx(4.0)


def test_another_makers_element_at_the_same_place_scales_nothing(writer: Any, rois: Rois) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.add_new((0x2005, 0x10), "LO", "SOMEBODY ELSE")
        dataset.add_new((0x2005, 0x100E), "FL", 0.05)
        writer.save(dataset, f"t1/{index}")
    assert measured(open_study(writer.root), rois).levels["L1"].mean == pytest.approx(400)


def test_a_siemens_mosaic_is_refused_by_its_name(writer: Any) -> None:
    writer.series(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    files = open_study(writer.root)
    assert reasons_of(writer.root) == {"mosaic"}
    assert "mosaic" in measure(files.study, files.load_pixels, None).reasons[0].text


# --- bits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [9, 10, 12, 13, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_any_number_of_bits_signed_or_not_is_read(writer: Any, rois: Rois, stored: int, signed: bool) -> None:
    offset = -200 if signed else 0
    for index in range(writer.count):
        dataset = writer.dataset(index, RescaleIntercept=str(-offset), RescaleSlope="1")
        values = dataset.pixel_array.astype(np.int32) + offset
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, int(signed)
        bits = values & ((1 << stored) - 1)  # the bits above are left zero, as some makers leave them
        dataset.PixelData = bits.astype("<u2").tobytes()
        writer.save(dataset, f"t1/{index}")
    found = measured(open_study(writer.root), rois)
    assert found.levels["L1"].mean == pytest.approx(400)
    assert found.vbq == pytest.approx(4.0)


def test_eight_bit_images_are_read(writer: Any, rois: Rois) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        values = dataset.pixel_array // 4
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = values.astype(np.uint8).tobytes()
        dataset["PixelData"].VR = "OB"
        writer.save(dataset, f"t1/{index}")
    assert measured(open_study(writer.root), rois).vbq == pytest.approx(4.0)


def test_an_overlay_in_the_unused_bits_is_no_signal(writer: Any, rois: Rois) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        values = dataset.pixel_array.copy()
        values[::2] |= 0x8000
        dataset.PixelData = values.tobytes()
        writer.save(dataset, f"t1/{index}")
    assert measured(open_study(writer.root), rois).levels["L1"].mean == pytest.approx(400)


def test_values_shifted_up_are_shifted_back(writer: Any, rois: Rois) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.HighBit = 15
        dataset.PixelData = (dataset.pixel_array << 4).astype("<u2").tobytes()
        writer.save(dataset, f"t1/{index}")
    assert measured(open_study(writer.root), rois).levels["L1"].mean == pytest.approx(400)


# --- stacks ----------------------------------------------------------------------------------------------------------


def test_of_two_echoes_in_one_series_the_shorter_counts(writer: Any, rois: Rois) -> None:
    for index in range(writer.count):
        writer.save(writer.dataset(index), f"t1/{index}")
        late = writer.dataset(index, EchoTime="80", EchoNumbers="2", SOPInstanceUID=f"2.25.9.1.{index + 101}")
        late.PixelData = (late.pixel_array // 2).astype("<u2").tobytes()
        writer.save(late, f"t1/{index}-late")
    files = open_study(writer.root)
    assert files.study.series[0].slices == 9
    assert "several-echoes" in {flag.code for flag in files.study.flags}
    found = measured(files, rois)
    assert found.levels["L1"].mean == pytest.approx(400)


def test_of_a_dixon_scan_in_one_series_the_in_phase_images_count(writer: Any, rois: Rois) -> None:
    for index in range(writer.count):
        for number, part in enumerate(("W", "F", "OP", "IP")):
            uid = f"2.25.9.1.{index + 1 + 100 * (3 - number)}"
            image = writer.dataset(index, ImageType=["ORIGINAL", "PRIMARY", part, part], SOPInstanceUID=uid)
            if part != "IP":
                image.PixelData = (image.pixel_array // 2).astype("<u2").tobytes()
            writer.save(image, f"t1/{index}-{part}")
    files = open_study(writer.root)
    assert files.study.series[0].slices == 9
    assert "dixon-parts" in {flag.code for flag in files.study.flags}
    assert measured(files, rois).levels["L1"].mean == pytest.approx(400)


def test_slices_at_two_echo_times_without_repeats_are_left_alone(writer: Any) -> None:
    for index in range(writer.count):
        writer.save(writer.dataset(index, EchoTime="10" if index % 2 else "11"), f"t1/{index}")
    files = open_study(writer.root)
    assert files.study.series[0].slices == 9
    assert not files.study.flags


def test_a_series_of_several_frames_of_reference_is_refused(writer: Any) -> None:
    for index in range(writer.count):
        writer.save(writer.dataset(index, FrameOfReferenceUID=f"2.25.5.{index // 5}"), f"t1/{index}")
    assert reasons_of(writer.root) == {"mixed-frames-of-reference"}


def test_duplicate_and_unordered_slices_give_the_same_answer(writer: Any, rois: Rois) -> None:
    for place, index in enumerate([4, 8, 0, 3, 7, 1, 5, 2, 6]):
        writer.save(writer.dataset(index), f"t1/{place}")
        again = writer.dataset(index, SOPInstanceUID=f"2.25.9.1.{index + 201}")
        writer.save(again, f"t1/{place}-again")
    found = measured(open_study(writer.root), rois)
    assert found.vbq == pytest.approx(4.0)
    assert "duplicate-positions" in {flag.code for flag in found.flags}
    assert found.slice is not None
    assert found.slice.index == 4


def test_a_series_without_pixel_spacing_says_so(writer: Any) -> None:
    writer.series(PixelSpacing=None)
    files = open_study(writer.root)
    (reason,) = files.study.series[0].obstacles
    assert reason.code == "no-geometry"
    assert reason.text.startswith("pixel spacing missing")


def test_a_series_with_more_pixels_than_fit_is_refused_before_decoding(writer: Any) -> None:
    writer.series()
    header = open_study(writer.root, limits=DicomLimits(series_pixels=64 * 64 * 8)).study.series[0]
    assert {reason.code for reason in header.obstacles} == {"series-too-large"}


@pytest.mark.parametrize("spoil", ["", "frames"])
def test_a_spoilt_enhanced_header_never_raises(writer: Any, spoil: str) -> None:
    """Every byte of the functional groups flipped in turn: refused or read, never an exception of pydicom's."""
    from schemas.errors import Rejected

    path = writer.save(enhanced(writer, order=[0, 1]), "t1/all")
    data = path.read_bytes()
    start = data.find(b"\x00\x52\x29\x92") if spoil == "" else data.find(b"\x00\x52\x30\x92")
    for at in range(start, start + 240, 3):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            files = open_study(writer.root)
            measure(files.study, files.load_pixels, None)
        except Rejected:
            continue
