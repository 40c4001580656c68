"""Small DICOM studies written by the tests: made-up images of a made-up patient."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
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
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


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


def item(**values: Any) -> Dataset:
    """A data set of what is given: an item of a sequence."""
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(
    writer: Any, *, slopes: list[float] | None = None, scale: list[float] | None = None, order: list[int] | None = None
) -> Dataset:
    """All slices in one file, in `order`; geometry per frame, spacing and timing shared."""
    order = order or list(range(writer.count))
    singles = [writer.dataset(index) for index in order]
    dataset = writer.dataset(0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RepetitionTime", "EchoTime"):
        delattr(dataset, keyword)
    del dataset.ScanningSequence
    dataset.EchoPulseSequence = "SPIN"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    dataset.NumberOfFrames = len(singles)
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[1.0, 1.0], SliceThickness=4.0)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=singles[0].ImageOrientationPatient)],
            MRTimingAndRelatedParametersSequence=[item(RepetitionTime=550.0, FlipAngle=90.0)],
            MREchoSequence=[item(EffectiveEchoTime=10.0)],
        )
    ]
    groups = []
    pixels = []
    for number, single in enumerate(singles):
        group = item(PlanePositionSequence=[item(ImagePositionPatient=single.ImagePositionPatient)])
        values = single.pixel_array.astype(float)
        if slopes:
            group.PixelValueTransformationSequence = [
                item(RescaleIntercept=-10.0, RescaleSlope=slopes[number], RescaleType="US")
            ]
            values = (values + 10.0) / slopes[number]
        if scale:
            private = Dataset()
            private.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", scale[number])
            group.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [private])
        groups.append(group)
        pixels.append(np.rint(values).astype("<u2"))
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.PixelData = np.stack(pixels).tobytes()
    return dataset
