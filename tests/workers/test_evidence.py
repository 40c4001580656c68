"""The archive gets the evidence of a measurement: once, and without holding up the EHR."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import records
from tests.ehr_server import AGREES
from tests.ehr_server import running as ehr_running
from tests.gateways.pacs.archive import Archive, running


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    (tmp_path / "empty").mkdir()
    with running(tmp_path / "empty") as server:
        yield server


def configured(archive: Archive, tmp_path: Path, *, store: bool) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(f"pacs: [{{name: main, wado_rs: '{archive.url}', store_evidence: {str(store).lower()}}}]\n")
    return path


@pytest.fixture
def hands(make_hands: Callable[..., Any], archive: Archive, small_study: Path, tmp_path: Path) -> Any:
    made = make_hands(config=configured(archive, tmp_path, store=True))
    address = records.file_url(small_study)
    made.push(records.patient(), records.imaging_study(address=address), records.t_score(value=-2.5))
    return made


def test_the_archive_gets_report_and_picture_of_a_measurement_once(hands: Any, archive: Archive) -> None:
    hands.work()
    assert hands.job("publish").state == "idle"
    assert [row.Modality for row in archive.stored] == ["SR", "OT"]
    assert {row.PatientID for row in archive.stored} == {"SYNTH-0005"}
    hands.push(records.t_score(value=-3.5, name="later"))
    hands.work()
    assert len(archive.stored) == 2


def test_without_store_evidence_the_archive_gets_nothing(
    make_hands: Callable[..., Any], archive: Archive, small_study: Path, tmp_path: Path
) -> None:
    hands = make_hands(config=configured(archive, tmp_path, store=False))
    address = records.file_url(small_study)
    hands.push(records.patient(), records.imaging_study(address=address), records.t_score(value=-2.5))
    hands.work()
    assert archive.asked == []


def test_an_archive_that_is_away_gets_it_later_and_the_ehr_hears_once(
    make_hands: Callable[..., Any], archive: Archive, small_study: Path, tmp_path: Path
) -> None:
    with ehr_running() as ehr:
        ehr.answer = (200, {}, AGREES)
        hands = make_hands(config=configured(archive, tmp_path, store=True), ehr_base_url=ehr.url)
        address = records.file_url(small_study)
        hands.push(records.patient(), records.imaging_study(address=address), records.t_score(value=-2.5))
        archive.fault = 503
        hands.work()
        assert (hands.job("publish").state, hands.job("publish").reason_code) == ("due", "pacs-unavailable")
        archive.fault = None
        hands.hurry()
        hands.work()
        assert hands.job("publish").state == "idle"
        assert len(archive.stored) == 2
        assert len(ehr.came) == 1


def test_an_archive_that_refuses_is_a_dead_letter(hands: Any, archive: Archive) -> None:
    archive.refuses_storing = 409
    hands.work()
    (dead,) = hands.bench.jobs.dead()
    assert (dead.kind, dead.reason_code) == ("publish", "pacs-refused")
