"""Feedback on cards, on both databases."""

from gateways.records.feedback import CardFeedback, Feedback, is_quiet
from gateways.records.results import Results
from gateways.store.database import Database
from tests import assessments as made

ENTRY = CardFeedback("card-1", "overridden", "2026-11-22T10:37:46.255Z", b'{"card":"card-1"}')


def test_what_was_told_before_changes_nothing(database: Database) -> None:
    feedback = Feedback(database)
    other = ENTRY._replace(outcome="accepted")
    assert feedback.store("view", "ehr", [ENTRY, ENTRY]) == 1
    assert feedback.store("view", "ehr", [other, ENTRY]) == 1
    assert feedback.store("view", "ehr", [other, ENTRY]) == 0
    assert feedback.store("sign", "ehr", [ENTRY]) == 1
    assert feedback.store("view", "ehr", []) == 0


def test_feedback_about_another_servers_patient_has_no_effect(database: Database) -> None:
    patient = "https://two.example/fhir/Patient/p1"
    assessment = made.assessment(patient=patient)
    with database.write() as connection:
        Results(database).store(connection, assessment, [])
    feedback = Feedback(database)
    entry = ENTRY._replace(reason="doubtful", assessment_prefix=assessment.id[:13], clinician="c", phase="chart")
    feedback.keep("view", "one", [entry], bases=["https://one.example/fhir"])
    assert feedback.ruling(patient, "c", "chart", client="ehr") is None
    feedback.keep("view", "two", [entry._replace(card="card-2")], bases=["https://two.example/fhir"])
    ruling = feedback.ruling(patient, "c", "chart", client="ehr")
    assert ruling is not None
    assert ruling.finding == "moderate"
    assert is_quiet(ruling, assessment, now=ruling.received + 86400, quiet_days=2)
    assert not is_quiet(ruling, assessment, now=ruling.received + 3 * 86400, quiet_days=2)
    assert not is_quiet(ruling, made.assessment(state="not_measurable", risk=None), now=ruling.received, quiet_days=2)
    assert [(row.model, row.reason, row.cards) for row in feedback.counted()] == [
        ("lin2025-vbq-t 1.0.0", "doubtful", 1),
        ("unknown", "doubtful", 1),
    ]


def test_an_override_that_comes_before_its_assessment_is_stored_counts_for_that_very_assessment(
    database: Database,
) -> None:
    first = made.assessment()
    feedback = Feedback(database)
    entry = ENTRY._replace(reason="doubtful", assessment_prefix=first.id[:13], clinician="c", phase="chart")
    feedback.keep("view", "ehr", [entry])
    ruling = feedback.ruling(first.patient, "c", "chart", client="ehr")
    assert ruling is not None
    assert is_quiet(ruling, first, now=ruling.received, quiet_days=2)
    other = first.but(id="00000000-0000-5000-8000-000000000000")
    assert not is_quiet(ruling, other, now=ruling.received, quiet_days=2), "nobody knows yet what it said"
    assert feedback.ruling(first.patient, "c", "chart", client="another") is None
    assert feedback.ruling(first.patient, "d", "chart", client="ehr") is None
    with database.write() as connection:
        Results(database).store(connection, first, [])
    later = feedback.ruling(first.patient, "c", "chart", client="ehr")
    assert later is not None
    assert later.finding == "moderate"
    assert is_quiet(later, other, now=later.received, quiet_days=2), "the same risk class, whatever the assessment"
