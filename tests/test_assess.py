"""The page to read first, tried: every state, the key, and what replaces what."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clinical import Coding, ObservedQuantity, PatientFacts, Person, StatedCondition
from schemas.codes import LOINC, SNOMED_CT
from schemas.config import MergePolicy
from schemas.errors import ModelRefused
from schemas.measurement import Acquisition, Measurement, Reason
from vbq.assess import assess, withdraw
from vbq.risk.published import build

AS_OF = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
MODEL = build()
DIGEST = "0" * 64


def t_score(value=-2.48, *, code="38267-1", on="2023-12-01", unit="{T-score}", reference="Observation/t", **more):
    moment = dt.datetime.fromisoformat(on).replace(tzinfo=dt.UTC)
    return ObservedQuantity(
        reference=reference,
        status="final",
        codings=[Coding(system=LOINC, code=code)],
        value=value,
        unit=unit,
        effective=moment,
        effective_text=on,
        **more,
    )


def woman(*observations, born=dt.date(1952, 3, 4), gender="female", conditions=(), **more):
    person = Person(reference="Patient/p1", gender=gender, birth_date=born, **more)
    rows = [
        StatedCondition(reference=f"Condition/{code}", codings=[Coding(system=SNOMED_CT, code=code)])
        for code in conditions
    ]
    return PatientFacts(person=person, observations=list(observations), conditions=rows)


def measured(vbq: float | None = 4.26, status="measured", **more: Any) -> Measurement:
    settings: dict[str, Any] = {
        "status": status,
        "vbq": vbq,
        "interval": (vbq - 0.1, vbq + 0.1) if vbq else None,
        "method": "reader" if vbq else None,
        "algorithm": "vbq-reader-regions 0.1.0",
        "study_uid": "2.25.1",
        "acquisition": Acquisition(study_date="2024-01-15"),
    }
    return Measurement(**{**settings, **more})


def ask(facts, measurement, **more: Any):
    settings: dict[str, Any] = {
        "patient": "Patient/p1",
        "study": "ImagingStudy/s1" if measurement else None,
        "facts": facts,
        "measurement": measurement,
        "model": MODEL,
        "digest": DIGEST,
        "policy": MergePolicy(),
        "as_of": AS_OF,
        "previous": None,
        "software": "vbq-cds test",
    }
    return assess(**{**settings, **more})


def input_of(found, name):
    return next(row for row in found.inputs if row.name == name)


def test_a_measured_study_and_a_spine_t_score_give_the_published_risk() -> None:
    found = ask(woman(t_score()), measured())
    assert (found.state, found.missing, found.reasons) == ("complete", [], [])
    assert [round(100 * x, 1) for x in (found.risk.risk, found.risk.lower, found.risk.upper)] == [29.9, 22.9, 38.5]
    assert input_of(found, "vbq").source == "ImagingStudy/s1"
    assert input_of(found, "vbq").date == dt.date(2024, 1, 15)
    assert "reader" in input_of(found, "vbq").note
    assert input_of(found, "menopause").how == "assumed"
    assert (found.model.id, found.model.digest, found.created) == ("lin2025-vbq-t", DIGEST, AS_OF)


def test_without_a_t_score_it_is_incomplete_and_says_what_was_looked_for_and_found() -> None:
    found = ask(woman(t_score(unit="g/cm2"), t_score(-3.0, code="38264-8", reference="Observation/hip")), measured())
    assert (found.state, found.missing, found.risk) == ("incomplete", ["t_score"], None)
    text = found.reasons[0].text
    for words in ("730 days", "wrong-unit", "another site"):
        assert words in text
    assert found.reasons[0].code == "missing-t-score"


def test_a_forearm_t_score_never_gives_a_risk() -> None:
    assert ask(woman(t_score(code="38265-5")), measured()).missing == ["t_score"]


def test_without_a_measurement_it_is_incomplete_and_names_vbq() -> None:
    found = ask(woman(t_score()), None)
    assert (found.state, found.missing) == ("incomplete", ["vbq"])
    assert "vbq" not in {row.name for row in found.inputs}


@pytest.mark.parametrize("status", ["needs_regions", "not_measurable", "needs_confirmation"])
def test_a_study_without_a_number_to_use_gives_its_own_state(status) -> None:
    vbq = 4.0 if status == "needs_confirmation" else None
    reason = Reason(code="no-t1", text="There is no sagittal T1 series.")
    found = ask(woman(t_score()), measured(vbq, status, reasons=[reason]))
    assert (found.state, found.risk, found.reasons, found.missing) == (status, None, [reason], [])
    assert ask(woman(t_score()), measured(vbq, status)).reasons, "a state is never without a reason"


def test_a_study_without_regions_and_no_t_score_names_both() -> None:
    found = ask(woman(), measured(None, "needs_regions"))
    assert (found.state, found.missing) == ("needs_regions", ["t_score"])
    assert [row.code for row in found.reasons] == ["needs-regions", "missing-t-score"]


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (woman(t_score(), gender="male"), "sex"),
        (woman(t_score(), conditions=["309606002"]), "not-postmenopausal"),
        (woman(t_score(), conditions=["94222008"]), "exclusion-bone-metastasis"),
        (woman(t_score(), deceased=True), "deceased"),
    ],
)
def test_outside_the_population_beats_everything_but_keeps_what_is_known(facts, code) -> None:
    for measurement in (measured(), measured(None, "needs_regions"), None):
        found = ask(facts, measurement)
        assert (found.state, found.risk) == ("outside_population", None)
        assert [row.code for row in found.reasons] == [code]
        assert input_of(found, "t_score").value == -2.48


def test_an_unknown_menopausal_state_is_incomplete() -> None:
    found = ask(woman(t_score(), born=dt.date(1980, 1, 1)), measured())
    assert (found.state, found.missing) == ("incomplete", ["menopause"])
    assert ask(woman(t_score(), born=dt.date(1980, 1, 1), conditions=["76498008"]), measured()).state == "complete"


def test_without_a_birth_date_it_is_incomplete() -> None:
    found = ask(woman(t_score(), born=None), measured())
    assert (found.state, found.missing) == ("incomplete", ["age_years", "menopause"])


def test_without_a_patient_resource_it_is_incomplete_and_not_a_crash() -> None:
    found = ask(PatientFacts(person=None, observations=[t_score()]), measured())
    assert found.state == "incomplete"
    assert {"sex", "age_years"} <= set(found.missing)


def test_a_vbq_beyond_physiology_is_unusable_and_named() -> None:
    found = ask(woman(t_score()), measured(40.0))
    assert (found.state, found.missing) == ("incomplete", ["vbq"])
    assert found.reasons[0].code == "input-out-of-range"
    assert "40" not in found.reasons[0].text


def test_a_model_that_asks_for_what_nobody_reads_is_incomplete_and_says_so() -> None:
    strange = MODEL.but(covariates=[MODEL.covariates[0].but(name="grip_strength"), MODEL.covariates[1]])
    found = ask(woman(t_score()), measured(), model=strange)
    assert found.missing == ["grip_strength"]
    assert "does not read" in found.reasons[0].text


def test_an_expired_model_is_refused_and_gives_no_assessment() -> None:
    with pytest.raises(ModelRefused, match="expired"):
        ask(woman(t_score()), measured(), model=MODEL.but(expires=dt.date(2024, 1, 1)))


def test_the_same_inputs_give_the_same_assessment_at_another_time() -> None:
    first = ask(woman(t_score()), measured())
    later = ask(woman(t_score()), measured(), as_of=AS_OF + dt.timedelta(days=3), previous=first.id)
    assert (later.key, later.id) == (first.key, first.id)
    assert later.supersedes is None


def test_a_later_t_score_gives_another_assessment_that_supersedes() -> None:
    first = ask(woman(t_score()), measured())
    second = ask(
        woman(t_score(), t_score(-3.0, on="2024-05-01", reference="Observation/t2")), measured(), previous=first.id
    )
    assert second.id != first.id
    assert second.supersedes == first.id
    assert second.risk.risk > first.risk.risk


@pytest.mark.parametrize(
    "change",
    [
        {"patient": "Patient/p2"},
        {"study": "ImagingStudy/s2"},
        {"digest": "1" * 64},
        {"measurement": measured(4.27)},
        {"measurement": measured(flags=[Reason(code="automatic-differs", text="look at both")])},
        {"facts": woman(t_score(-2.5))},
        {"facts": woman(t_score(reference="Observation/other"))},
    ],
    ids=["patient", "study", "model", "vbq", "flag", "value", "source"],
)
def test_whatever_the_result_rests_on_is_in_the_key(change) -> None:
    plain = ask(woman(t_score()), measured())
    assert ask(**{"facts": woman(t_score()), "measurement": measured(), **change}).key != plain.key


def test_the_order_and_wording_of_remarks_make_no_new_assessment() -> None:
    one, other = Reason(code="csf-uneven", text="uneven"), Reason(code="small-region", text="small")
    reworded = Reason(code="csf-uneven", text="the CSF is uneven")
    keys = {
        ask(woman(t_score()), measured(flags=flags)).key for flags in ([one, other], [other, one], [other, reworded])
    }
    assert len(keys) == 1


def test_a_value_that_was_merely_superseded_makes_no_new_assessment() -> None:
    older = t_score(-1.0, on="2023-01-01", reference="Observation/old")
    assert ask(woman(t_score(), older), measured()).key == ask(woman(t_score()), measured()).key


def test_a_value_that_was_refused_makes_a_new_one_since_there_is_something_to_say() -> None:
    refused = t_score(40.0, reference="Observation/wrong")
    assert ask(woman(refused), measured()).key != ask(woman(), measured()).key


def test_a_withdrawn_assessment_keeps_no_number() -> None:
    current = ask(woman(t_score()), measured())
    gone = withdraw(
        current, code="study-entered-in-error", text="The study was withdrawn.", as_of=AS_OF, software="vbq-cds test"
    )
    assert (gone.state, gone.risk, gone.measurement, gone.inputs) == ("withdrawn", None, None, [])
    assert gone.supersedes == current.id
    assert gone.id != current.id


def test_an_old_study_still_counts_and_is_shown_as_stale() -> None:
    later = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    found = ask(woman(t_score()), measured(), as_of=later)
    assert found.state == "complete"
    assert (input_of(found, "vbq").stale, input_of(found, "t_score").stale) == (True, True)
    assert found.key == ask(woman(t_score()), measured()).key


def test_images_without_a_date_say_so() -> None:
    found = ask(woman(t_score()), measured(acquisition=Acquisition()))
    assert "carry no date" in input_of(found, "vbq").note


@given(
    vbq=st.floats(0.5, 12),
    value=st.floats(-10, 10),
    unit=st.sampled_from(["{T-score}", None, "g/cm2"]),
    gender=st.sampled_from(["female", "male", "other", "unknown", None]),
    born=st.one_of(st.none(), st.dates(dt.date(1900, 1, 1), dt.date(2024, 1, 1))),
    status=st.sampled_from(["measured", "needs_regions", "needs_confirmation", "not_measurable"]),
)
def test_there_is_a_risk_exactly_where_the_state_is_complete(vbq, value, unit, gender, born, status) -> None:
    number = vbq if status in {"measured", "needs_confirmation"} else None
    found = ask(woman(t_score(value, unit=unit), gender=gender, born=born), measured(number, status))
    assert (found.risk is not None) == (found.state == "complete")
    assert (found.state == "complete") == (not found.reasons and not found.missing)
