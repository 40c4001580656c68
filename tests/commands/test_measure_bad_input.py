"""`vbq measure` on hostile and broken studies: a clear answer in bounded time and memory, in a process of its own."""

import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tests.dicom_writer import ROIS, StudyWriter

MEMORY = 1536 * 2**20
SECONDS = 60.0
Make = Callable[[StudyWriter], None]


def limited() -> None:
    """In the child: no more address space than MEMORY, no more processor time than SECONDS."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS), int(SECONDS)))


def run(study: Path, *options: str) -> tuple[int, dict[str, Any] | None, str]:
    """(exit status, the JSON document if there is one, stderr)."""
    made = subprocess.run(
        [sys.executable, "-m", "commands", "measure", str(study), "--json", *options],
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
        preexec_fn=limited,  # the child is single-threaded until it runs
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
    return made.returncode, json.loads(made.stdout) if made.stdout.strip() else None, made.stderr


def truncated(writer: StudyWriter) -> None:
    for number, path in enumerate(writer.series()):
        path.write_bytes(path.read_bytes()[: 140 + 300 * number])


def wrong_vrs(writer: StudyWriter) -> None:
    """Rows as text, position as a sequence, spacing as binary: what a broken de-identifier leaves."""
    for path in writer.series():
        data = path.read_bytes()
        data = data.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00LO")
        data = data.replace(b"\x20\x00\x32\x00DS", b"\x20\x00\x32\x00FD")
        data = data.replace(b"\x28\x00\x30\x00DS", b"\x28\x00\x30\x00US")
        path.write_bytes(data)


def huge_header(writer: StudyWriter) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.Rows, dataset.Columns = 65535, 65535
        writer.save(dataset, f"t1/{index}")


def huge_codestream(syntax: str, frame: bytes) -> Make:
    """The header is small and honest to look at; the compressed image claims another size."""

    def make(writer: StudyWriter) -> None:
        for index in range(writer.count):
            dataset = writer.dataset(index)
            dataset.Rows, dataset.Columns = 2048, 2048
            dataset.PixelData = encapsulate([frame])
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = UID(syntax)
            writer.save(dataset, f"t1/{index}")

    return make


def deflate_bomb(writer: StudyWriter) -> None:
    dataset = writer.dataset(0)
    path = writer.save(dataset, "t1/0")
    data = path.read_bytes()
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    meta = data[: data.index(b"\x08\x00\x08\x00")].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta = meta.replace(b"\x02\x00\x10\x00UI\x14\x00", b"\x02\x00\x10\x00UI\x16\x00")
    element = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 0x7FFFFFFE)
    body = deflater.compress(element) + b"".join(deflater.compress(bytes(2**20)) for _ in range(200))
    path.write_bytes(meta + body + deflater.flush())


def zero_size(writer: StudyWriter) -> None:
    for index in range(writer.count):
        dataset = writer.dataset(index)
        dataset.Rows, dataset.Columns, dataset.PixelData = 0, 0, b""
        writer.save(dataset, f"t1/{index}")


def nan_spacing(writer: StudyWriter) -> None:
    for path in writer.series(PixelSpacing=["1.00", "1.00"]):
        path.write_bytes(path.read_bytes().replace(b"1.00\\1.00 ", b"NaN\\NaN   "))


def mixed_frames(writer: StudyWriter) -> None:
    for index in range(writer.count):
        writer.save(writer.dataset(index, FrameOfReferenceUID=f"2.25.{index % 2}"), f"t1/{index}")


def many_large_slices(writer: StudyWriter) -> None:
    """1,900 slices of 512 x 512 that are small on disk: 2 GB once decoded."""
    size = 512 * 512
    run_of_zeros = b"\x81\0" * (size // 128)
    frame = struct.pack("<16I", 2, 64, 64 + len(run_of_zeros), *([0] * 13)) + 2 * run_of_zeros
    dataset = writer.dataset(0)
    dataset.Rows = dataset.Columns = 512
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.5")
    path = writer.save(dataset, "t1/0000")
    data = path.read_bytes()
    for index in range(1, 1900):
        (path.parent / f"{index:04d}").write_bytes(data.replace(b"2.25.9.1.1", f"2.25.{10000 + index}".encode()))


def deep_nesting(writer: StudyWriter) -> None:
    path = writer.series()[0]
    data = path.read_bytes()
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = data.index(b"\x08\x00\x08\x00")
    for name in writer.written:
        name.write_bytes(data[:at] + (sequence + item) * 5000)


SIZ = struct.pack(">HHHHIIIIIIIIH", 0xFF4F, 0xFF51, 41, 0, 30000, 30000, 0, 0, 30000, 30000, 0, 0, 1) + b"\x0f\x01\x01"
LOSSLESS = b"\xff\xd8\xff\xc3" + struct.pack(">HBHHB3s", 11, 16, 60000, 60000, 1, b"\x01\x11\x00")
CASES: dict[str, tuple[Make, str]] = {
    "truncated": (truncated, "ends|fewer pixels"),
    "wrong VRs": (wrong_vrs, "missing|field of view|readable"),
    "65535 x 65535": (huge_header, "VBQ_MAX_PIXELS"),
    "JPEG 2000 of 30000 x 30000": (huge_codestream("1.2.840.10008.1.2.4.90", SIZ), "not of the size"),
    "JPEG lossless of 60000 x 60000": (
        huge_codestream("1.2.840.10008.1.2.4.70", LOSSLESS),
        "not of the size",
    ),
    "a deflate bomb": (deflate_bomb, "inflates beyond"),
    "zero-size pixels": (zero_size, "at least 16|no file is an image"),
    "NaN spacing": (nan_spacing, "pixel spacing missing"),
    "mixed frames of reference": (mixed_frames, "frames of reference"),
    "1,900 large slices": (many_large_slices, "million pixels"),
    "5,000 nested sequences": (deep_nesting, "nests deeper"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_study_gets_a_clear_answer_within_bounds(case: str, tmp_path: Path) -> None:
    make, words = CASES[case]
    writer = StudyWriter(tmp_path / "study")
    make(writer)
    status, document, said = run(writer.root)
    text = said + json.dumps(document)
    assert status == 1, text
    assert "Traceback" not in text
    assert any(word in text for word in words.split("|")), text
    if document is not None:
        assert document["status"] == "not_measurable"
        assert document["vbq"] is None


def with_rois(tmp_path: Path, count: int) -> tuple[Path, Path]:
    writer = StudyWriter(tmp_path / "study", count=count)
    writer.series()
    rois = tmp_path / "rois.json"
    rois.write_text(json.dumps({**ROIS, "sop_instance_uid": f"2.25.9.1.{count // 2 + 1}"}))
    return writer.root, rois


def test_one_slice_with_a_reader_s_regions_is_measured_with_a_remark(tmp_path: Path) -> None:
    study, rois = with_rois(tmp_path, 1)
    status, document, said = run(study, "--rois", str(rois))
    assert status == 0, said
    assert document is not None
    assert document["vbq"] == pytest.approx(4.0)
    assert "few-slices" in {row["code"] for row in document["series"][0]["reasons"]}


def test_one_slice_alone_is_not_measurable(tmp_path: Path) -> None:
    study, _ = with_rois(tmp_path, 1)
    status, document, said = run(study)
    assert status == 1, said
    assert document is not None
    assert document["status"] == "not_measurable"


def test_two_thousand_slices_are_read(tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path / "study")
    middle = writer.dataset(writer.count // 2, ImagePositionPatient=["1111.111", "0", "0"], SOPInstanceUID="2.25.11111")
    path = writer.save(middle, "t1/0")
    data = path.read_bytes()
    for index in range(2000):  # written by replacing, which pydicom would take half a minute for
        changed = data.replace(b"2.25.11111", f"2.25.{10000 + index}".encode())
        path.with_name(str(index)).write_bytes(changed.replace(b"1111.111", f"{0.5 * index:08.3f}".encode()))
    rois = tmp_path / "rois.json"
    rois.write_text(json.dumps({**ROIS, "sop_instance_uid": "2.25.11000"}))
    status, document, said = run(writer.root, "--rois", str(rois))
    assert status == 0, said
    assert document is not None
    assert document["acquisition"]["slices"] == 2000
    assert document["vbq"] == pytest.approx(4.0)


def test_the_limit_of_memory_is_a_real_one() -> None:
    """The tests above would fail for a program that takes what it is told to."""
    made = subprocess.run(
        [sys.executable, "-c", "import numpy; numpy.ones((65535, 65535), dtype=numpy.uint16)"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert "MemoryError" in made.stderr
    assert np.dtype(np.uint16).itemsize * 65535**2 > MEMORY
