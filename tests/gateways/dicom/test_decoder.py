"""The process that reads hostile files: what it dies of costs one file, and it holds nothing worth having."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import RLELossless

from gateways.dicom.decoder import ROOT, Decoder
from gateways.dicom.headers import Instance
from gateways.dicom.limits import DicomLimits
from gateways.dicom.study import Here, open_study
from schemas.errors import NotConfigured, Unavailable
from schemas.measurement import Reason
from vbq.imaging.volume import Slice

LIMITS = DicomLimits()


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(file_seconds=1) as made:
        yield made


@pytest.fixture
def stuck() -> Instance:
    """JPEG-LS data on which the C++ decoder (CharLS, through pyjpegls) never ends, found by benchmarks/fuzz.py."""
    return images([Path(__file__).parent / "jpeg_ls_hang.dcm"])[0]


def images(paths: list[Path]) -> list[Instance]:
    """The images of files, as this process reads them."""
    return [one for found in Here().headers(paths, LIMITS) if isinstance(found, list) for one in found]


def child_of(decoder: Decoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


def signalled(decoder: Decoder, number: signal.Signals, *, times: int = 1) -> None:
    """Send a signal to the child once it is at work on a file, `times` times, each to another child."""

    def send() -> None:
        seen: set[int] = set()
        until = time.monotonic() + 20
        while len(seen) < times and time.monotonic() < until:
            time.sleep(0.02)
            process = decoder._process
            if process is None or process.pid in seen or not decoder._ready:
                continue
            time.sleep(0.4)  # it is at the image that hangs by then
            seen.add(process.pid)
            process.send_signal(number)

    threading.Thread(target=send, daemon=True).start()


def test_the_child_reads_what_this_process_would(decoder: Decoder, study: Path) -> None:
    ours, theirs = open_study(study), open_study(study, reader=decoder)
    assert theirs.study == ours.study
    assert theirs.identity == ours.identity
    assert theirs.instances == ours.instances
    for header in ours.study.series:
        mine, others = ours.load_pixels(header.uid), theirs.load_pixels(header.uid)
        assert others.header == mine.header
        for one, other in zip(mine.slices, others.slices, strict=True):
            assert np.array_equal(one.pixels, other.pixels)
            assert (one.sop_instance_uid, one.position_mm, one.ceiling) == (
                other.sop_instance_uid,
                other.position_mm,
                other.ceiling,
            )


def test_one_child_serves_study_after_study(decoder: Decoder, study: Path) -> None:
    open_study(study, reader=decoder)
    child = child_of(decoder)
    for _ in range(3):
        files = open_study(study, reader=decoder)
        files.load_slice("2.25.9.1", "2.25.9.1.5")
    assert child_of(decoder) == child


def test_broken_files_get_the_same_reasons_as_here(decoder: Decoder, writer: Any) -> None:
    paths = writer.series()
    paths[0].write_bytes(paths[0].read_bytes()[:-500])
    paths[1].write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 400)
    paths[2].unlink()
    dataset = writer.dataset(3)
    dataset.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    dataset.PixelData = bytes(dataset.PixelData[:40]) + b"\xff" * 24 + bytes(dataset.PixelData[64:])
    writer.save(dataset, "t1/003")
    assert decoder.headers(paths, LIMITS) == Here().headers(paths, LIMITS)
    instances = [one for found in Here().headers(paths, LIMITS) if isinstance(found, list) for one in found]
    found = zip(decoder.slices(instances, LIMITS), Here().slices(instances, LIMITS), strict=True)
    kinds = [(one, other) if isinstance(other, Reason) else (type(one), type(other)) for one, other in found]
    assert all(one == other for one, other in kinds)
    assert {type(one) for one in decoder.slices(instances, LIMITS)} == {Slice, Reason}


def test_an_image_that_hangs_its_decoder_is_given_up_on(decoder: Decoder, writer: Any, stuck: Instance) -> None:
    good = images(writer.series())
    decoder.slices(good[:1], LIMITS)  # it runs
    started = time.monotonic()
    found = decoder.slices([good[0], stuck, good[1]], LIMITS)
    assert time.monotonic() - started < 15  # one second, and the start of another child
    assert [type(one) for one in found] == [Slice, Reason, Slice]
    assert isinstance(found[1], Reason)
    assert found[1].code == "decoder-time"


def test_an_empty_file_is_no_dicom(decoder: Decoder, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (found,) = decoder.headers([tmp_path / "empty"], LIMITS)
    assert isinstance(found, Reason)
    assert found.code == "dicom-prefix"


def test_images_that_all_hang_are_given_up_on(decoder: Decoder, stuck: Instance) -> None:
    started = time.monotonic()
    found = decoder.slices([stuck] * 50, LIMITS)
    assert time.monotonic() - started < 40  # three times a second and a start, whatever else the machine does
    assert [one.code for one in found if isinstance(one, Reason)] == ["decoder-time"] * 50


def test_a_file_that_crashes_the_child_spoils_only_itself(decoder: Decoder, writer: Any, stuck: Instance) -> None:
    good = images(writer.series())
    open_study(writer.root, reader=decoder)
    signalled(decoder, signal.SIGABRT)  # as a decoder in C or Rust ends: here while it is at the second image
    found = decoder.slices([good[0], stuck, good[1]], LIMITS)
    assert [type(one) for one in found] == [Slice, Reason, Slice]
    assert isinstance(found[1], Reason)
    assert found[1].code == "decoder-died"


def test_a_child_killed_from_outside_is_no_fault_of_the_file(writer: Any, stuck: Instance) -> None:
    writer.series()
    with Decoder(file_seconds=5) as decoder:
        open_study(writer.root, reader=decoder)
        signalled(decoder, signal.SIGKILL, times=3)
        with pytest.raises(Unavailable) as caught:
            decoder.slices([stuck], LIMITS)
        assert caught.value.reason_code == "decoder-killed"
        assert open_study(writer.root, reader=decoder).study.series  # and the next study is read


def test_an_image_beyond_the_memory_is_a_reason(writer: Any) -> None:
    side = 4096
    large = writer.dataset(0, PixelData=bytes(2 * side * side), Rows=side, Columns=side)
    paths = [writer.save(large, "large"), writer.save(writer.dataset(1), "small")]
    instances = [one for path in paths for one in Here().headers([path], LIMITS)[0] if isinstance(one, Instance)]
    with Decoder(memory_bytes=2**28) as decoder:
        found = decoder.slices(instances, LIMITS)
    assert [type(one) for one in found] == [Reason, Slice]
    with Decoder() as decoder:
        assert [type(one) for one in decoder.slices(instances, LIMITS)] == [Slice, Slice]


def test_the_child_has_limits_and_no_secrets(decoder: Decoder, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_PACS_TOKEN", "canary-secret")
    decoder.close()
    open_study(study, reader=decoder)
    place = Path("/proc", str(child_of(decoder)))
    assert b"canary" not in (place / "environ").read_bytes()
    rows = {line[:26].strip(): line[26:].split()[0] for line in (place / "limits").read_text().splitlines()}
    assert rows["Max address space"] == str(2**30)
    assert rows["Max file size"] == "0"
    assert rows["Max core file size"] == "0"
    assert {path.name for path in (place / "fd").iterdir()} <= {"0", "1", "2", "3"}


def test_too_little_memory_to_start_is_said(study: Path) -> None:
    with Decoder(memory_bytes=2**20) as decoder, pytest.raises((NotConfigured, Unavailable)):
        open_study(study, reader=decoder)


def test_the_child_ends_with_its_owner(study: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gateways.dicom.decoder import Decoder\n"
        "from gateways.dicom.study import open_study\n"
        "d = Decoder(); open_study(Path(sys.argv[1]), reader=d); print(d._process.pid, flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(study)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
    until = time.monotonic() + 10
    while Path("/proc", str(child)).exists() and time.monotonic() < until:
        if Path("/proc", str(child), "stat").read_text().split(") ")[1][0] == "Z":
            break  # nobody in this container reaps it, but it is dead
        time.sleep(0.02)
    else:
        assert not Path("/proc", str(child)).exists()


def test_a_library_that_prints_does_not_spoil_the_answer(decoder: Decoder, study: Path) -> None:
    """Standard output of the child is no longer the pipe when the first file is read."""
    open_study(study, reader=decoder)
    fds = {path.name: str(path.readlink()) for path in Path("/proc", str(child_of(decoder)), "fd").iterdir()}
    assert fds["1"] == os.devnull
    assert fds["2"] == os.devnull
