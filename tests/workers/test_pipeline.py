"""From events to the assessment that counts, step by step, with a real study and real databases."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.assessment import Assessment
from schemas.measurement import Measurement
from tests import records
from workers.assessing import assess_patient
from workers.measuring import measure_study
from workers.outcomes import run_job


@pytest.fixture
def study(small_study: Path) -> dict[str, Any]:
    return records.imaging_study(address=records.file_url(small_study))


def current(hands: Any) -> Assessment:
    found = hands.bench.results.view("Patient/p1").assessment
    assert found is not None
    return found


def measurements(hands: Any) -> list[Measurement]:
    """The latest of each study."""
    with hands.bench.database.read() as connection:
        return list(hands.bench.results.measurements(connection, "Patient/p1").values())


def published(hands: Any, kind: str = "RiskAssessment") -> list[dict[str, Any]]:
    return [json.loads(body) for body in hands.bench.results.search(kind, patient="Patient/p1").bodies]


def test_a_study_and_a_t_score_become_a_risk(hands: Any, study: dict[str, Any]) -> None:
    hands.push(records.bundle(records.patient(), study, records.t_score(value=-2.9)))
    hands.work()
    found = current(hands)
    assert found.state == "complete"
    assert found.risk is not None
    assert found.measurement is not None
    assert found.measurement.vbq == pytest.approx(4.1, rel=0.01)
    assert found.study == "ImagingStudy/s-p1"
    (resource,) = published(hands)
    assert resource["status"] == "final"
    assert resource["id"] == found.id
    assert {row["resourceType"] for kind in ("Observation", "Provenance") for row in published(hands, kind)} == {
        "Observation",
        "Provenance",
    }
    hands.idle()
    assert hands.bench.inbox.stats() | {"oldest_pending_seconds": 0} == {
        "accepted": 3,
        "done": 3,
        "dead": 0,
        "pending": 0,
        "oldest_pending_seconds": 0,
        "jobs_pending": 0,
        "jobs_dead": 0,
    }


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_the_order_of_arrival_does_not_matter(hands: Any, study: dict[str, Any], order: tuple[int, ...]) -> None:
    events = [records.patient(), study, records.t_score()]
    for place in order:
        hands.push(events[place])
        hands.work()
    assert current(hands).state == "complete"
    assert not hands.due()


def test_a_replayed_event_yields_one_assessment(hands: Any, study: dict[str, Any]) -> None:
    everything = records.bundle(records.patient(), study, records.t_score())
    hands.push(everything)
    hands.work()
    before = (current(hands), published(hands))
    hands.push(everything)
    hands.work()
    assert hands.bench.inbox.replay([1, 2, 3]) == [1, 2, 3]
    hands.work()
    assert hands.bench.inbox.replay([1, 2, 3]) == [1, 2, 3]
    hands.work()
    assert (current(hands), published(hands)) == before


def test_a_later_t_score_supersedes_and_nothing_is_lost(hands: Any, study: dict[str, Any]) -> None:
    hands.push(records.bundle(records.patient(), study, records.t_score(value=-2.0, date="2025-09-01")))
    hands.work()
    old = current(hands)
    hands.push(records.t_score(value=-3.1, name="later"))
    hands.work()
    new = current(hands)
    assert new.risk is not None
    assert old.risk is not None
    assert new.risk.risk > old.risk.risk
    assert new.supersedes == old.id
    assert hands.bench.results.assessment(old.id) == old
    newest, oldest = published(hands)
    assert (newest["id"], newest["status"]) == (new.id, "final")
    assert (oldest["id"], oldest["status"]) == (old.id, "amended")


def test_going_back_to_earlier_inputs_makes_the_earlier_assessment_current_again(
    hands: Any, study: dict[str, Any]
) -> None:
    hands.push(records.bundle(records.patient(), study, records.t_score(value=-2.0)))
    hands.work()
    first = current(hands)
    hands.push(records.t_score(value=-3.1, name="wrong"))
    hands.work()
    assert current(hands).id != first.id
    hands.push(records.t_score(value=-3.1, name="wrong", status="entered-in-error"))
    hands.work()
    finals = [row for row in published(hands) if row["status"] == "final"]
    assert [row["id"] for row in finals] == [current(hands).id]
    assert len(published(hands)) >= 2


def test_a_t_score_alone_is_an_incomplete_assessment_that_names_the_vbq(hands: Any) -> None:
    hands.push(records.patient(), records.t_score())
    hands.work()
    assert current(hands).state == "incomplete"
    assert current(hands).missing == ["vbq"]


def test_a_weight_alone_is_nothing_to_assess(hands: Any) -> None:
    hands.push(records.patient(), records.observation("w", "p1", records.WEIGHT, 61, "kg"))
    hands.work()
    view = hands.bench.results.view("Patient/p1")
    assert (view.assessment, view.in_progress, view.known) == (None, False, True)


def test_a_study_waits_for_its_patient_and_says_so(hands: Any, study: dict[str, Any]) -> None:
    hands.push(study, records.t_score())
    hands.work()
    job = hands.job("measure")
    assert (job.state, job.reason_code) == ("due", "patient-missing")
    view = hands.bench.results.view("Patient/p1")
    assert (view.assessment, view.in_progress) == (None, True)
    hands.push(records.patient())
    hands.work()
    assert current(hands).state == "complete"


def test_a_study_waits_for_its_endpoint(hands: Any, small_study: Path) -> None:
    away = records.imaging_study(endpoint=[{"reference": "Endpoint/e1"}])
    hands.push(records.patient(), away, records.t_score())
    hands.work()
    assert hands.job("measure").reason_code == "endpoint-unknown"
    hands.push(
        {
            "resourceType": "Endpoint",
            "id": "e1",
            "status": "active",
            "connectionType": {"code": "dicom-wado-rs"},
            "payloadType": [{"text": "DICOM"}],
            "address": records.file_url(small_study),
        }
    )
    hands.work()
    assert current(hands).state == "complete"


def test_another_patients_pixels_give_no_number_and_a_dead_letter_until_the_record_is_put_right(
    hands: Any, study: dict[str, Any]
) -> None:
    wrong = records.patient(identifier=[{"value": "SOMEBODY-ELSE"}])
    hands.push(wrong, study, records.t_score())
    hands.work()
    found = current(hands)
    assert found.state == "not_measurable"
    assert [row.code for row in found.reasons][:1] == ["identity-patient-id"]
    (dead,) = hands.bench.jobs.dead()
    assert dead.reason_code == "identity-patient-id"
    hands.push(records.patient(identifier=[{"value": "SYNTH-0005"}]))
    hands.work()
    assert current(hands).state == "complete"
    assert hands.bench.jobs.dead() == []


def test_a_study_outside_the_configured_roots_is_refused(hands: Any, tmp_path: Path) -> None:
    outside = records.imaging_study(address=records.file_url(tmp_path))
    hands.push(records.patient(), outside, records.t_score())
    hands.work()
    assert current(hands).state == "not_measurable"
    assert [row.code for row in current(hands).reasons][:1] == ["endpoint-outside-roots"]


def test_a_study_without_regions_is_measured_automatically(hands: Any, small_study: Path) -> None:
    bare = small_study.parent / "bare"
    bare.mkdir(exist_ok=True)
    for path in small_study.rglob("*.dcm"):
        (bare / path.name).write_bytes(path.read_bytes())
    hands.push(records.patient(), records.imaging_study(address=records.file_url(bare)), records.t_score())
    hands.work()
    found = current(hands)
    assert found.state == "complete"
    assert found.measurement is not None
    assert found.measurement.method == "automatic"
    assert found.measurement.vbq == pytest.approx(4.1, rel=0.15)


def test_a_reader_s_regions_count_and_the_automatic_ones_are_kept_beside(hands: Any, study: dict[str, Any]) -> None:
    hands.push(records.patient(), study, records.t_score())
    hands.work()
    found = current(hands)
    assert found.measurement is not None
    assert found.measurement.method == "reader"
    hands.idle()
    (kept,) = measurements(hands)
    assert kept.automatic is not None
    assert kept.vbq == found.measurement.vbq
    if kept.automatic.vbq is not None and kept.vbq is not None:
        assert kept.automatic.difference == pytest.approx(kept.automatic.vbq / kept.vbq - 1)


def test_a_reader_s_result_does_not_wait_for_the_automatic_one(hands: Any, study: dict[str, Any]) -> None:
    hands.push(records.patient(), study, records.t_score())
    hands.read_events()
    (first,) = [row for row, kind in hands.due() if kind == "measure"]
    run_job(hands.bench, first, measure_study)
    (stored,) = measurements(hands)
    assert stored.automatic is None
    due = {kind: row for row, kind in hands.due()}
    assert set(due) == {"assess"}, "the patient is assessed now"
    assert hands.job("measure").when_idle, "and the comparison is still to come"
    run_job(hands.bench, due["assess"], assess_patient)
    assert current(hands).state == "complete"
    assessed = current(hands)
    hands.idle()
    (compared,) = measurements(hands)
    assert compared.automatic is not None
    assert compared.vbq == stored.vbq
    same_remarks = {row.code for row in compared.flags} == {row.code for row in stored.flags}
    assert (current(hands).id == assessed.id) == same_remarks
    assert not hands.due()


def test_a_reader_s_new_regions_are_assessed_before_they_are_compared(
    hands: Any, study: dict[str, Any], small_study: Path
) -> None:
    hands.push(records.patient(), study, records.t_score())
    hands.work()
    hands.idle()
    before = measurements(hands)[0].vbq
    regions = small_study / "regions.json"
    original = regions.read_text()
    document = json.loads(original)
    document["levels"]["L1"]["semi_axes_mm"] = [4.0, 4.0]
    try:
        regions.write_text(json.dumps(document))
        hands.push({**study, "description": "MR lumbar spine, read again"})
        hands.read_events()
        (row,) = [row for row, kind in hands.due() if kind == "measure"]
        run_job(hands.bench, row, measure_study)
        (stored,) = measurements(hands)
        assert stored.vbq != before
        assert stored.automatic is None
        hands.idle()
        assert measurements(hands)[0].automatic is not None
    finally:
        regions.write_text(original)


@pytest.mark.parametrize("how", ["delete", "entered-in-error", "patient"])
def test_what_was_taken_back_withdraws_the_assessment(hands: Any, study: dict[str, Any], how: str) -> None:
    hands.push(records.patient(), study, records.t_score())
    hands.work()
    before = current(hands)
    if how == "delete":
        hands.delete("ImagingStudy", "s-p1")
    elif how == "patient":
        hands.delete("Patient", "p1")
    else:
        hands.push({**study, "status": "entered-in-error"})
    hands.work()
    found = current(hands)
    assert (found.state, found.risk, found.supersedes) == ("withdrawn", None, before.id)
    assert [row["status"] for row in published(hands)] == ["cancelled", "amended"]
    hands.push(records.t_score(name="later", value=-3.0))
    hands.work()
    assert current(hands).id == found.id, "a later value does not bring a withdrawn study back"


def test_a_study_that_comes_back_is_assessed_again(hands: Any, study: dict[str, Any]) -> None:
    hands.push(records.patient(), study, records.t_score())
    hands.work()
    hands.delete("ImagingStudy", "s-p1")
    hands.work()
    hands.push({**study, "description": "MR lumbar spine"})
    hands.work()
    assert current(hands).state == "complete"


def test_a_study_of_the_knee_is_passed_over_with_the_reason(hands: Any) -> None:
    hands.push(records.patient(), records.imaging_study(description="MR knee left"))
    hands.work()
    row = hands.bench.inbox.list()[0]
    assert (row.state, row.reason_code) == ("done", "other-body-part")
    assert not hands.bench.results.view("Patient/p1").in_progress


def test_an_event_that_is_not_fhir_is_a_dead_letter_without_values(hands: Any) -> None:
    event = hands.events(records.t_score())[0]
    broken = json.loads(event.body)
    broken["valueQuantity"]["value"] = "CANARY"
    hands.bench.inbox.accept([event.but(body=json.dumps(broken).encode())])
    hands.work()
    (dead,) = hands.bench.inbox.dead()
    assert dead.reason_code == "not-fhir"
    assert "Observation.valueQuantity.value" in (dead.reason_text or "")
    assert "CANARY" not in (dead.reason_text or "")


def test_events_that_touch_nothing_but_meta_do_not_measure_again(hands: Any, study: dict[str, Any]) -> None:
    hands.push(records.patient(), {**study, "meta": {"versionId": "1"}}, records.t_score())
    hands.work()
    hands.idle()
    done = hands.job("measure").done
    hands.push({**study, "meta": {"versionId": "2"}})
    hands.work()
    assert hands.job("measure").done == done
    hands.push({**study, "meta": {"versionId": "3"}, "description": "MR LWS"})
    hands.work()
    assert hands.job("measure").done == done + 1


def test_while_work_is_under_way_the_card_knows(hands: Any, study: dict[str, Any]) -> None:
    assert not hands.bench.results.view("Patient/p1").known
    hands.push(records.patient(), study)
    assert hands.bench.results.view("Patient/p1").in_progress
    hands.read_events()
    assert hands.bench.results.view("Patient/p1").in_progress
    hands.work()
    view = hands.bench.results.view("Patient/p1")
    assert not view.in_progress
    assert view.assessment is not None
    assert view.assessment.state == "incomplete"


def test_a_crash_loop_ends_as_a_dead_letter(make_hands: Callable[..., Any], study: dict[str, Any]) -> None:
    hands = make_hands(max_attempts=3)
    hands.push(records.patient(), study)
    hands.read_events()
    row = hands.job("measure").id
    from sqlalchemy import update

    from gateways.store.tables import jobs
    from workers.measuring import measure_study
    from workers.outcomes import run_job

    for _ in range(3):
        assert hands.bench.jobs.claim(row) is not None  # and the worker dies
        with hands.bench.database.write() as connection:
            connection.execute(update(jobs).where(jobs.c.id == row).values(lease_until=0.0))
    run_job(hands.bench, row, measure_study)
    (dead,) = hands.bench.jobs.dead()
    assert dead.reason_code == "attempts-exhausted"
    hands.work()
    assert hands.bench.results.view("Patient/p1").assessment is not None, "the patient is assessed without a number"
