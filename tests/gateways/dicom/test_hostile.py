"""DICOM files made to hurt: each ends in a sentence, in little time and memory, and spoils nothing but itself."""

import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from gateways.dicom.study import StudyFiles, open_study
from gateways.dicom.walk import MAX_INFLATED, walk_file
from schemas.errors import NotAcceptable, NotMeasurable, Rejected, TooLarge
from schemas.measurement import RegionSet
from vbq.imaging.measure import measure

SEQUENCE = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
    "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
)


def codes(files: StudyFiles) -> set[str]:
    result = measure(files.study, files.load_pixels, None)
    return {row.code for row in (*result.reasons, *result.flags, *(r for s in result.series for r in s.reasons))}


def grown_mib(action: Callable[[], object]) -> float:
    """How far the memory of this process rose above where it stood while `action` ran, MiB (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    before = _peak_kib()
    action()
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_one_truncated_file_spoils_only_its_slice(writer: Any, rois: dict[str, Any]) -> None:
    paths = writer.series()
    paths[0].write_bytes(paths[0].read_bytes()[:-500])
    paths[8].write_bytes(paths[8].read_bytes()[:200])
    files = open_study(writer.root)
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(rois))
    assert result.vbq == pytest.approx(4.0)
    flags = {flag.code: flag.text for flag in result.flags}
    assert "fewer pixels" in flags["unreadable-slices"]
    assert "1 file" in flags["unreadable-files"]


def test_the_measured_slice_truncated_is_not_measurable_and_says_why(writer: Any, rois: dict[str, Any]) -> None:
    paths = writer.series()
    paths[4].write_bytes(paths[4].read_bytes()[:-500])
    files = open_study(writer.root)
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(rois))
    assert result.status == "not_measurable"
    assert [reason.code for reason in result.reasons] == ["truncated"]


def test_every_file_truncated_is_a_sentence(writer: Any) -> None:
    for path in writer.series():
        path.write_bytes(path.read_bytes()[:450])
    with pytest.raises(NotAcceptable, match="9 x the file ends within its header"):
        open_study(writer.root)


@pytest.mark.parametrize("pixels", [b"", b"\0" * 512])
def test_rows_of_65535_without_pixels_are_refused_before_memory_is_asked_for(writer: Any, pixels: bytes) -> None:
    writer.series(Rows=65535, Columns=65535, NumberOfFrames="1000", PixelData=pixels)

    def attempt() -> None:
        files = open_study(writer.root)
        assert "too-many-pixels" in codes(files)
        with pytest.raises(NotMeasurable):
            files.load_pixels("2.25.9.1")

    assert grown_mib(attempt) < 100


def test_rows_without_pixel_data_are_told(writer: Any) -> None:
    for index in range(9):
        dataset = writer.dataset(index, PixelData=b"", Rows=64, Columns=64)
        del dataset.PixelData
        writer.save(dataset, f"t1/{index}")
    assert "no-pixels" in codes(open_study(writer.root))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SamplesPerPixel": 3}, "colour"),
        ({"BitsAllocated": 7}, "bits"),
        ({"BitsStored": 20}, "bits"),
        ({"NumberOfFrames": "4"}, "multi-frame"),
        ({"PixelSpacing": [0, 0]}, "no-geometry"),
        ({"PixelSpacing": None}, "no-geometry"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "no-geometry"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 1, 0]}, "no-geometry"),
        ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "rescale"),
    ],
)
def test_headers_that_make_no_sense_are_named(writer: Any, changes: dict[str, Any], code: str) -> None:
    writer.series(**changes)
    assert code in codes(open_study(writer.root))


def test_a_compression_that_is_not_decoded_is_refused_by_its_name(writer: Any) -> None:
    for index in range(9):
        dataset = writer.dataset(index)
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        writer.save(dataset, f"t1/{index}")
    result = measure(open_study(writer.root).study, open_study(writer.root).load_pixels, None)
    assert result.status == "not_measurable"
    assert "JPEG Baseline is not decoded" in result.reasons[0].text


def bomb_rle() -> bytes:
    return struct.pack("<16I", 2, 64, 68, *([0] * 13)) + b"\x81\0\0\0" + b"\x81\0\0\0"


def bomb_rle_offsets() -> bytes:
    return struct.pack("<16I", 2, 64, 0xFFFFFFF0, *([0] * 13)) + b"\x81\0\0\0"


def bomb_j2k() -> bytes:
    siz = struct.pack(">HHIIIIIIIIH", 47, 0, 30000, 30000, 0, 0, 30000, 30000, 0, 0, 1) + b"\x0f\x01\x01"
    return b"\xff\x4f\xff\x51" + siz + b"\xff\xd9"


@pytest.mark.parametrize(
    ("syntax", "frame", "code"),
    [
        (RLELossless, bomb_rle(), "not-decodable"),
        (RLELossless, bomb_rle_offsets(), "not-decodable"),
        (RLELossless, b"", "not-decodable"),
        (JPEG2000Lossless, bomb_j2k(), "size-contradiction"),
        (JPEG2000Lossless, b"\xff\x4f\xff\x51", "not-decodable"),
        (JPEG2000Lossless, b"nonsense", "not-decodable"),
    ],
)
def test_a_codestream_that_lies_about_its_size_is_not_decoded(
    writer: Any, syntax: str, frame: bytes, code: str
) -> None:
    for index in range(9):
        dataset = writer.dataset(index)
        dataset.PixelData = encapsulate([frame or b"\0\0"])
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
        writer.save(dataset, f"t1/{index}")
    files = open_study(writer.root)
    assert grown_mib(lambda: codes(files)) < 200
    assert code in codes(files)


def test_a_deflate_bomb_stops_at_the_bound(writer: Any) -> None:
    path = writer.series()[0]
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 100 << 20))
    for _ in range(100):
        body += deflater.compress(b"\0" * (1 << 20))
    uid = b"1.2.840.10008.1.2.1.99"
    meta = data[:start].replace(struct.pack("<H", 20) + b"1.2.840.10008.1.2.1\0", struct.pack("<H", 22) + uid)
    meta = meta[:140] + struct.pack("<I", len(meta) - 144) + meta[144:]
    path.write_bytes(meta + body + deflater.flush())
    with pytest.raises(TooLarge, match="inflates beyond"):
        walk_file(path, ())
    assert grown_mib(lambda: codes(open_study(writer.root))) < 4 * (MAX_INFLATED >> 20)
    assert "unreadable-files" in codes(open_study(writer.root))


def test_five_thousand_nested_sequences_are_no_recursion(writer: Any) -> None:
    path = writer.series()[0]
    path.write_bytes(path.read_bytes() + SEQUENCE * 5000)  # behind the pixels: never read
    assert open_study(writer.root).study.flags == ()
    start = 144 + int.from_bytes(path.read_bytes()[140:144], "little")
    path.write_bytes(path.read_bytes()[:start] + SEQUENCE * 5000)
    with pytest.raises(TooLarge, match="nests deeper"):
        walk_file(path, ())
    assert [flag.code for flag in open_study(writer.root).study.flags] == ["unreadable-files"]


def test_nesting_behind_the_pixels_does_not_reach_the_decoder(writer: Any) -> None:
    path = writer.series()[0]
    path.write_bytes(path.read_bytes() + SEQUENCE * 5000)
    series = open_study(writer.root).load_pixels("2.25.9.1")
    assert len(series.slices) + len(series.unreadable) == 9


def test_a_million_elements_end_soon(writer: Any) -> None:
    path = writer.series()[0]
    data = path.read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    many = b"".join(
        struct.pack("<HH2sH", 0x0041 + 2 * (i // 60000), 0x1000 + i % 60000, b"LO", 0) for i in range(1_000_000)
    )
    path.write_bytes(data[:start] + many)
    began = time.monotonic()
    with pytest.raises(TooLarge, match="elements"):
        walk_file(path, ())
    assert (
        time.monotonic() - began < 5
    )  # 50,000 elements take a twentieth of a second; this only catches no bound at all


def test_links_pipes_and_paths_out_of_the_tree_are_not_followed(writer: Any, tmp_path: Path) -> None:
    writer.series()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(writer.written[0].read_bytes())
    (writer.root / "link").symlink_to(outside / "secret")
    (writer.root / "folder").symlink_to(outside)
    os.mkfifo(writer.root / "pipe")
    found = open_study(writer.root).study
    assert found.series[0].slices == 9
    assert found.flags == ()


def test_uids_that_look_like_paths_stay_text(writer: Any) -> None:
    dataset = writer.dataset(0)
    dataset.add_new(0x0020000E, "LO", "../../../../etc/passwd")
    writer.save(dataset, "t1/0")
    assert open_study(writer.root).load_pixels("../../../../etc/passwd").slices


def test_a_warning_of_the_library_never_repeats_a_value(writer: Any, recwarn: pytest.WarningsRecorder) -> None:
    for index in range(9):
        dataset = writer.dataset(index)
        dataset.add_new(0x00100030, "LO", "Canary is no date")
        dataset.add_new(0x00080005, "LO", "ISO_IR canary")
        writer.save(dataset, f"t1/{index}")
    del recwarn.list[:]
    files = open_study(writer.root)
    files.load_pixels("2.25.9.1")
    assert files.identity.birth_date is None
    assert [str(one.message) for one in recwarn.list] == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused_but_never_crashes(writer: Any, data: st.DataObject) -> None:
    if not writer.written:
        writer.series()
        writer.save(_rle(writer), "rle/0")
    source = data.draw(st.sampled_from([writer.written[0], writer.written[-1]]))
    raw = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        raw[data.draw(st.integers(128, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(len(raw) // 2, len(raw)))]
    target = writer.root.parent / "mutant"
    target.mkdir(exist_ok=True)
    (target / "one").write_bytes(raw)
    try:
        files = open_study(target)
        for header in files.study.series:
            measure(files.study, files.load_pixels, None)
            files.load_pixels(header.uid)
    except Rejected:
        return  # refused with a sentence; anything else fails the test


def _rle(writer: Any) -> Any:
    dataset = writer.dataset(0)
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    return dataset
