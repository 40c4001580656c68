"""Writes a phantom as DICOM: MR Image Storage, one folder per series. Synthetic in every field that a person reads."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, RLELossless

from vbq.simulate.conditions import Conditions
from vbq.simulate.person import PhantomPerson, frame_uid, instance_uid, series_uid, study_uid
from vbq.simulate.plane import dot
from vbq.simulate.sequence import FIELD_STRENGTH_T, SAGITTAL_T1
from vbq.simulate.study import PhantomSeries, PhantomStudy

Compression = Literal["none", "rle"]
HZ_PER_TESLA = 42.577  # MHz, 1H
STUDY_TIME = "101500"


def write_study(
    study: PhantomStudy, person: PhantomPerson, directory: Path, *, compression: Compression = "none"
) -> list[Path]:
    """Write every image below `directory`, named by its place in the series; the same study gives the same bytes.

    Returns the paths. Raises OSError where a file cannot be written.
    """
    paths = []
    for series in study.series:
        folder = directory / series.sequence.folder
        folder.mkdir(parents=True, exist_ok=True)
        for index, dataset in enumerate(_datasets(study, series, person)):
            if compression == "rle":
                dataset.compress(RLELossless, generate_instance_uid=False)
            path = folder / f"{index + 1:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def _datasets(study: PhantomStudy, series: PhantomSeries, person: PhantomPerson) -> Iterator[Dataset]:
    uid = study_uid(study.parameters, person)
    level = float(np.percentile(series.images[len(series.images) // 2], 97))
    for index in range(len(series.images)):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance_uid(uid, series.sequence.number, index))
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        _patient_and_study(dataset, person, uid)
        _series(dataset, series, person, uid)
        _sequence(dataset, series, study)
        _image(dataset, series, index, uid, level)
        if series is study.series[0]:
            _as_tagged(dataset, study.parameters.conditions)
        yield dataset


def _patient_and_study(dataset: Dataset, person: PhantomPerson, uid: str) -> None:
    dataset.PatientName = f"{person.family}^{person.given}"
    dataset.PatientID = person.patient_id
    dataset.IssuerOfPatientID = "VBQ-CDS-SYNTHETIC"
    dataset.PatientBirthDate = _date(person.birth_date)
    dataset.PatientSex = person.sex
    dataset.PatientAge = f"{(person.study_date - person.birth_date).days // 365.2425:03.0f}Y"
    dataset.StudyInstanceUID = uid
    dataset.StudyDate = _date(person.study_date)
    dataset.StudyTime = STUDY_TIME
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.AccessionNumber = "SYNTH" + uid[-10:]
    dataset.StudyDescription = "MR LUMBAR SPINE (SYNTHETIC)"


def _series(dataset: Dataset, series: PhantomSeries, person: PhantomPerson, uid: str) -> None:
    sequence = series.sequence
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = series_uid(uid, sequence.number)
    dataset.SeriesNumber = sequence.number
    dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _date(person.study_date)
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = f"10{15 + 5 * sequence.number}00"
    dataset.BodyPartExamined = "LSPINE"
    dataset.PatientPosition = "HFS"
    dataset.FrameOfReferenceUID = frame_uid(uid)
    dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "VBQ-CDS"
    dataset.ManufacturerModelName = "Synthetic phantom"
    dataset.InstitutionName = "SYNTHETIC"
    dataset.StationName = "PHANTOM"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "phantom 1"


def _sequence(dataset: Dataset, series: PhantomSeries, study: PhantomStudy) -> None:
    sequence, (rows, columns) = series.sequence, series.planes[0].shape
    if series is study.series[0] and study.parameters.conditions.tags == "lumbar-t1":
        sequence = SAGITTAL_T1
    dataset.SeriesDescription = dataset.ProtocolName = sequence.description
    dataset.ScanningSequence = "SE"
    dataset.SequenceVariant = ["SK", "SP", "OSP"]
    saturated = sequence.weighting == "T1" and study.parameters.saturation_band
    dataset.ScanOptions = "SP" if saturated else ""
    dataset.MRAcquisitionType = "2D"
    dataset.SequenceName = "*tse2d1"
    dataset.AngioFlag = "N"
    dataset.RepetitionTime = sequence.repetition_time_ms
    dataset.EchoTime = sequence.echo_time_ms
    if sequence.inversion_time_ms is not None:
        dataset.InversionTime = sequence.inversion_time_ms
        dataset.ScanningSequence = ["SE", "IR"]
    if sequence.agent is not None:
        dataset.ContrastBolusAgent = sequence.agent
    dataset.EchoTrainLength = sequence.echo_train_length
    dataset.EchoNumbers = 1
    dataset.FlipAngle = sequence.flip_angle_deg
    dataset.NumberOfAverages = sequence.averages
    dataset.PixelBandwidth = sequence.bandwidth_hz
    dataset.MagneticFieldStrength = FIELD_STRENGTH_T
    dataset.ImagingFrequency = round(HZ_PER_TESLA * FIELD_STRENGTH_T, 4)
    dataset.ImagedNucleus = "1H"
    dataset.TransmitCoilName = "Body"
    dataset.ReceiveCoilName = "Spine"
    dataset.InPlanePhaseEncodingDirection = "COL"
    dataset.AcquisitionMatrix = [0, round(0.75 * columns), round(0.66 * rows), 0]
    dataset.NumberOfPhaseEncodingSteps = round(0.66 * rows)
    dataset.PercentSampling = 100
    dataset.PercentPhaseFieldOfView = 100
    dataset.VariableFlipAngleFlag = "N"
    dataset.SliceThickness = series.thickness_mm
    dataset.SpacingBetweenSlices = round(series.spacing_mm, 4)


def _image(dataset: Dataset, series: PhantomSeries, index: int, uid: str, level: float) -> None:
    plane, pixels = series.planes[index], series.images[index]
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = instance_uid(uid, series.sequence.number, index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.InstanceNumber = index + 1
    dataset.AcquisitionNumber = 1
    dataset.ImageComments = "SYNTHETIC: computed, not a person"
    dataset.BurnedInAnnotation = "NO"
    dataset.ImagePositionPatient = [round(value, 5) for value in plane.origin_mm]
    dataset.ImageOrientationPatient = [round(value, 9) for value in (*plane.row_direction, *plane.column_direction)]
    dataset.SliceLocation = round(dot(plane.origin_mm, plane.normal), 4)
    dataset.PixelSpacing = [round(value, 9) for value in plane.spacing_mm]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter, dataset.WindowWidth = round(level / 2), max(round(level), 1)
    dataset.PixelData = np.ascontiguousarray(pixels.astype("<u2")).tobytes()


OF_PART = {"lumbar": "LSPINE", "thoracic": "TSPINE", "cervical": "CSPINE", "knee": "KNEE"}
TIMING = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "EchoTrainLength", "SequenceName")
WORDS = ("SeriesDescription", "ProtocolName", "StudyDescription", "BodyPartExamined", "ContrastBolusAgent")
KINDS = ("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType")


def _as_tagged(dataset: Dataset, conditions: Conditions) -> None:
    """The main series says what it is, or nothing, or that it is lumbar T1 whatever it is."""
    if conditions.tags == "bare":
        for keyword in (*TIMING, *WORDS, *KINDS):
            if keyword in dataset:
                delattr(dataset, keyword)
    elif conditions.tags == "honest" and conditions.part != "lumbar":
        part = OF_PART[conditions.part]
        dataset.BodyPartExamined = part
        dataset.StudyDescription = f"MR {part} (SYNTHETIC)"
        dataset.SeriesDescription = dataset.ProtocolName = f"{dataset.SeriesDescription} {part}"


def _date(value: dt.date) -> str:
    return value.strftime("%Y%m%d")
