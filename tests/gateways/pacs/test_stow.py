"""Evidence goes to an archive once, by STOW-RS: to one of ours that misbehaves, and to a real Orthanc if installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.dicom.evidence import Evidence, report_uid
from gateways.pacs.stow import has_instance, store
from schemas.config import Pacs
from schemas.errors import NotAcceptable, PacsUnavailable
from schemas.measurement import Measurement
from tests.gateways.pacs.archive import Archive, running


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
