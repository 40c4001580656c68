"""Evidence goes to an archive once, by STOW-RS: to one of ours that misbehaves, and to a real Orthanc if installed."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.dicom.evidence import Evidence, evidence_of, report_uid
from gateways.dicom.study import open_study
from gateways.pacs.stow import has_instance, store
from schemas.config import Pacs
from schemas.errors import NotAcceptable, PacsUnavailable
from schemas.measurement import Measurement, RegionSet
from tests.dicom_writer import ROIS, StudyWriter
from tests.gateways.pacs.archive import Archive, running
from vbq.imaging.measure import measure

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Evidence]:
    writer = StudyWriter(tmp_path_factory.mktemp("evidence"))
    writer.series()
    files = open_study(writer.root)
    result = measure(files.study, files.load_pixels, RegionSet.model_validate(ROIS))
    return result, evidence_of(result, files, software="vbq-cds test", now=NOW)


@pytest.fixture
def archive(study: Path) -> Iterator[Archive]:
    with running(study) as server:
        yield server


def test_evidence_is_stored_once(archive: Archive, made: tuple[Measurement, Evidence]) -> None:
    pacs = Pacs(name="main", wado_rs=archive.url)
    uid = report_uid(made[0])
    assert not has_instance(pacs, "2.25.9", uid)
    store(pacs, "2.25.9", list(made[1]))
    assert has_instance(pacs, "2.25.9", uid)
    assert [row.Modality for row in archive.stored] == ["SR", "OT"]


@pytest.mark.parametrize("status", [400, 409, 415])
def test_an_archive_that_refuses_is_not_asked_again(
    archive: Archive, made: tuple[Measurement, Evidence], status: int
) -> None:
    archive.refuses_storing = status
    with pytest.raises(NotAcceptable) as caught:
        store(Pacs(name="main", wado_rs=archive.url), "2.25.9", list(made[1]))
    assert caught.value.reason_code == "pacs-refused"


def test_an_archive_in_trouble_is_asked_again(archive: Archive, made: tuple[Measurement, Evidence]) -> None:
    archive.fault = 503
    with pytest.raises(PacsUnavailable):
        store(Pacs(name="main", wado_rs=archive.url), "2.25.9", list(made[1]))
    with pytest.raises(PacsUnavailable):
        has_instance(Pacs(name="main", wado_rs=archive.url), "2.25.9", "2.25.1")


def test_a_real_orthanc_takes_the_evidence(orthanc: str, made: tuple[Measurement, Evidence]) -> None:
    pacs = Pacs(name="orthanc", wado_rs=orthanc)
    uid = report_uid(made[0])
    assert not has_instance(pacs, "2.25.9", uid)
    store(pacs, "2.25.9", list(made[1]))
    store(pacs, "2.25.9", list(made[1]))
    assert has_instance(pacs, "2.25.9", uid)
