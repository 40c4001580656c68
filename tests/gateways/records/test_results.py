"""Results: one current assessment per patient, everything else still there."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from gateways.records.briefs import Brief, brief_of, read_brief
from gateways.records.results import Results
from gateways.store.database import Database
from gateways.store.tables import assessments
from schemas.assessment import Assessment
from schemas.fhir.results import resources_of
from tests import assessments as made


def keep(database: Database, assessment: Any, old: Any = None) -> Results:
    results = Results(database)
    rewritten = resources_of(old, superseded_by=assessment.id) if old is not None else []
    with database.write() as connection:
        results.store(
            connection,
            assessment,
            resources_of(assessment),
            rewritten=[row for row in rewritten if row["resourceType"] == "RiskAssessment"],
        )
    return results


def two() -> tuple[Any, Any]:
    old = made.assessment(id=made.OLD_ID, patient="Patient/p1")
    return old, made.assessment(id=made.NEW_ID, key="f" * 64, patient="Patient/p1", supersedes=made.OLD_ID)


def test_the_new_one_counts_and_the_old_one_stays(database: Database) -> None:
    old, new = two()
    keep(database, old)
    results = keep(database, new, old)
    assert results.current("Patient/p1") == new
    assert results.assessment(made.OLD_ID) == old
    page = results.search("RiskAssessment", patient="Patient/p1")
    assert page.total == 2
    assert b'"final"' in page.bodies[0]
    assert b'"amended"' in page.bodies[1]


def test_a_search_finds_by_identifier_in_each_way_of_writing_it(database: Database) -> None:
    old, _ = two()
    results = keep(database, old)
    system = "https://vbq-cds.example/fhir/assessment-key"
    assert results.search("RiskAssessment", identifier=f"{system}|{old.key}").total == 1
    assert results.search("RiskAssessment", identifier=old.key).total == 1
    assert results.search("RiskAssessment", identifier=f"https://other.example|{old.key}").total == 0
    assert results.search("RiskAssessment", identifier="%").total == 0
    assert results.search("RiskAssessment", patient="Patient/p2").total == 0


def test_pages_are_parts_of_the_whole(database: Database) -> None:
    old, new = two()
    keep(database, old)
    results = keep(database, new, old)
    whole = results.search("RiskAssessment").bodies
    assert [results.search("RiskAssessment", count=1, offset=n).bodies for n in (0, 1, 2)] == [whole[:1], whole[1:], []]
    assert results.search("RiskAssessment", count=0).bodies == []


def test_a_device_belongs_to_no_patient(database: Database) -> None:
    old, _ = two()
    results = keep(database, old)
    assert results.search("Device").total > 0
    assert results.search("Device", patient="Patient/p1").total == 0


def test_a_stranger_is_unknown(database: Database) -> None:
    view = Results(database).view("Patient/nobody")
    assert (view.assessment, view.in_progress, view.known) == (None, False, False)


def test_two_current_assessments_of_a_patient_cannot_be(database: Database) -> None:
    old, _ = two()
    keep(database, old)
    row = {
        "key": "k",
        "patient": "Patient/p1",
        "state": "x",
        "created": 0.0,
        "current": True,
        "sent": True,
        "body": b"",
    }

    def second() -> None:
        with database.write() as connection:
            connection.execute(insert(assessments).values(id="other", **row))

    with pytest.raises(IntegrityError):
        second()


def test_many_threads_may_look_at_once(database: Database) -> None:
    old, _ = two()
    results = keep(database, old)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: results.view("Patient/p1").assessment, range(200)))
    assert found == [old] * 200


def test_a_reader_sees_a_new_assessment_at_once(database: Database) -> None:
    old, new = two()
    results = keep(database, old)
    assert results.current("Patient/p1") == old
    keep(database, new, old)
    assert results.current("Patient/p1") == new


def test_a_brief_says_what_the_whole_record_says(database: Database) -> None:
    full = made.assessment()
    for one in (full, full.but(risk=None, state="incomplete", missing=["t_score"], measurement=None, inputs=[])):
        read = read_brief(one.model_dump_json().encode())
        assert read == brief_of(one)
        names = set(Brief.__struct_fields__)
        assert names <= set(Assessment.model_fields)
        assert (read.id, read.state, read.created, list(read.missing)) == (one.id, one.state, one.created, one.missing)
        assert [row.source for row in read.inputs] == [row.source for row in one.inputs]
    with database.write() as connection:
        Results(database).store(connection, full, [])
    view = Results(database).view(full.patient)
    assert view.brief == brief_of(full)
    assert view.assessment == full
    assert view.assessment is view.assessment, "read once"
