"""Small DICOM studies written by the tests: made-up images of a made-up patient."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

SAGITTAL = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
BASE: dict[str, Any] = {
    "PatientID": "SYNTH-0007",
    "PatientName": "Canary^Made Up",
    "PatientBirthDate": "19500301",
    "PatientSex": "F",
    "StudyInstanceUID": "2.25.9",
    "StudyDate": "20240102",
    "Modality": "MR",
    "SeriesDescription": "T1 sag",
    "SeriesInstanceUID": "2.25.9.1",
    "ScanningSequence": "SE",
    "SequenceVariant": "SK",
    "ScanOptions": "",
    "MRAcquisitionType": "2D",
    "RepetitionTime": "550",
    "EchoTime": "10",
    "EchoTrainLength": "1",
    "MagneticFieldStrength": "1.5",
    "Manufacturer": "Made up",
    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    "ImageOrientationPatient": SAGITTAL,
    "PixelSpacing": [1.0, 1.0],
    "SliceThickness": "4",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
}
SIZE = 64


def pixels_of(lateral: int) -> np.ndarray:
    """A mirror-symmetric pattern: bone 400 in four bodies, CSF 100 behind them, texture elsewhere."""
    pixels = np.random.default_rng(abs(lateral)).integers(150, 250, (SIZE, SIZE), dtype=np.uint16)
    if abs(lateral) <= 2:
        for row in (8, 22, 36, 50):
            pixels[row : row + 10, 14:34] = 400
        pixels[:, 38:46] = 100
    return pixels


ROIS = {
    "sop_instance_uid": "2.25.9.1.5",
    "levels": {
        level: {"center": [row, 24], "semi_axes_mm": [7, 4]}
        for level, row in zip(("L1", "L2", "L3", "L4"), (13, 27, 41, 55), strict=True)
    },
    "csf": {
        level: {"center": [row, 42], "semi_axes_mm": [3, 4]}
        for level, row in zip(("L1", "L2", "L3"), (13, 27, 41), strict=True)
    },
}


@dataclass
class StudyWriter:
    """Writes instances below `root`; the last data set written is kept for a test to spoil."""

    root: Path
    count: int = 9
    written: list[Path] = field(default_factory=list)

    def dataset(self, index: int, **changes: Any) -> Dataset:
        """Instance `index` of a series of `count`, not yet written."""
        dataset = Dataset()
        lateral = index - self.count // 2
        values = {**BASE, **changes}
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
        pixels = pixels_of(lateral)
        if "PixelData" not in changes:
            dataset.Rows, dataset.Columns = SIZE, SIZE
            dataset.PixelData = pixels.tobytes()
            dataset["PixelData"].VR = "OW"
        dataset.SOPClassUID = MRImageStorage
        dataset.SOPInstanceUID = changes.get("SOPInstanceUID", f"{dataset.SeriesInstanceUID}.{index + 1}")
        dataset.InstanceNumber = index + 1
        if "ImagePositionPatient" not in changes:
            dataset.ImagePositionPatient = [4.0 * lateral, 0.0, 0.0]
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        return dataset

    def save(self, dataset: Dataset, name: str) -> Path:
        """Write one data set as a PS3.10 file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        self.written.append(path)
        return path

    def series(self, folder: str = "t1", **changes: Any) -> list[Path]:
        """Write a whole series."""
        return [self.save(self.dataset(i, **changes), f"{folder}/{i:03d}") for i in range(self.count)]


@pytest.fixture
def writer(tmp_path: Path) -> StudyWriter:
    """A writer of made-up DICOM below a temporary directory."""
    return StudyWriter(tmp_path / "study")


@pytest.fixture
def study(writer: StudyWriter) -> Path:
    """A sagittal T1, a sagittal T2 and an axial T2 series of one patient."""
    writer.series()
    writer.series("t2", SeriesInstanceUID="2.25.9.2", SeriesDescription="T2 sag", RepetitionTime="3500", EchoTime="100")
    writer.series(
        "ax", SeriesInstanceUID="2.25.9.3", SeriesDescription="T2 ax", EchoTime="100", ImageOrientationPatient=AXIAL
    )
    return writer.root


@pytest.fixture
def rois() -> dict[str, Any]:
    """A regions file for the T1 series' middle slice; the true VBQ is 4."""
    return ROIS


@pytest.fixture
def compressed(writer: StudyWriter) -> Callable[[str], Path]:
    """compressed(transfer syntax UID) -> a study in that encoding."""

    def make(syntax: str) -> Path:
        for index in range(writer.count):
            dataset = writer.dataset(index)
            plugin = {"1.2.840.10008.1.2.5": "pylibjpeg", "1.2.840.10008.1.2.4.80": "pyjpegls"}.get(syntax, "pylibjpeg")
            dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
            writer.save(dataset, f"t1/{index:03d}")
        return writer.root

    return make


@pytest.fixture
def orthanc(tmp_path: Path, study: Path) -> Iterator[str]:
    """A real Orthanc with its DICOMweb plugin, holding the made-up study."""
    program = shutil.which("Orthanc")
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if program is None or not plugin.exists():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed (Debian: orthanc, orthanc-dicomweb)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "HttpPort": port,
        "StorageDirectory": str(tmp_path / "orthanc"),
        "IndexDirectory": str(tmp_path / "orthanc"),
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, trust_env=False, timeout=10) as client:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    client.get("/system").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            for path in study.rglob("*"):
                if path.is_file():
                    client.post("/instances", content=path.read_bytes()).raise_for_status()
        yield f"{base}/dicom-web"
    finally:
        process.terminate()
        process.wait(timeout=20)
