"""A clock that tests turn, events made from little, small DICOM studies."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateways.dicom.evidence import Evidence, evidence_of
from gateways.dicom.study import open_study
from schemas.events import IncomingEvent
from schemas.measurement import Measurement, RegionSet
from tests.dicom_writer import AXIAL, ROIS, StudyWriter
from vbq.imaging.measure import measure

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@dataclass
class Clock:
    """Seconds since 1970, as far as the code under test knows."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def event() -> Callable[..., IncomingEvent]:
    def make(resource: str = "Observation/o1", version: str = "1", **changes: object) -> IncomingEvent:
        resource_type, _, resource_id = resource.partition("/")
        given = {
            "source": "engine",
            "resource_type": resource_type,
            "resource_id": resource_id,
            "version": version,
            "patient": "Patient/p1",
            "body": b"{}",
        }
        return IncomingEvent.model_validate({**given, **changes})

    return make


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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Evidence]:
    """A small study measured with a reader's regions, and its evidence as DICOM."""
    writer = StudyWriter(tmp_path_factory.mktemp("evidence"))
    writer.series()
    files = open_study(writer.root)
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(ROIS))
    return result, evidence_of(result, files, software="vbq-cds test", now=NOW)
