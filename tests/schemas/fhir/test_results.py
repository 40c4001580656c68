"""Assessments as FHIR: valid, complete, deterministic; a number only where there is one."""

import datetime as dt
import json
from typing import Any

import pytest

from schemas.assessment import Assessment
from schemas.fhir import systems
from schemas.fhir.full import validate
from schemas.fhir.reference import read_reference
from schemas.fhir.results import as_transaction, resources_of
from tests import assessments as made
from tests.golden_files import agrees_with_golden

Json = dict[str, Any]
EHR = "https://ehr.example/fhir"
STATES = {
    "complete": made.assessment,
    "incomplete": made.incomplete,
    "needs-regions": made.needs_regions,
    "outside-population": made.outside_population,
    "withdrawn": made.withdrawn,
}


def by_type(assessment: Assessment, **options: Any) -> dict[str, Json]:
    return {row["resourceType"]: row for row in resources_of(assessment, **options)}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_valid_fhir_and_as_it_was_found_right(state: str) -> None:
    resources = resources_of(STATES[state]())
    for resource in resources:
        validate(resource)
    validate(as_transaction(resources))
    assert agrees_with_golden(f"fhir/{state}.json", resources)


def test_a_complete_assessment_has_its_percentage_its_interval_and_its_horizon() -> None:
    risk = by_type(made.assessment())["RiskAssessment"]
    (prediction,) = risk["prediction"]
    assert risk["status"] == "final"
    assert prediction["probabilityDecimal"] == 29.88
    (extension,) = prediction["_probabilityDecimal"]["extension"]
    spread = extension["valueRange"]
    assert (spread["low"]["value"], spread["high"]["value"], spread["low"]["code"]) == (22.94, 38.46, "%")
    assert prediction["whenPeriod"] == {"start": "2024-01-15", "end": "2029-01-15"}
    assert prediction["qualitativeRisk"]["coding"][0]["code"] == "moderate"
    assert "relativeRisk" not in prediction
    for words in (
        "29.9 %",
        "22.9 to 38.5 %",
        "-2.48 (2021-12-01",
        "79.6 µmol/L",
        "lin2025-vbq-t 1.0.0",
        "Research use",
    ):
        assert words in prediction["rationale"]


@pytest.mark.parametrize("state", [name for name in STATES if name != "complete"])
def test_without_a_risk_there_is_no_number_but_the_reasons(state: str) -> None:
    assessment = STATES[state]()
    risk = by_type(assessment)["RiskAssessment"]
    assert "prediction" not in risk
    assert risk["status"] == ("cancelled" if state == "withdrawn" else "preliminary")
    assert risk["extension"][0] == {"url": systems.ASSESSMENT_STATE, "valueCode": state}
    notes = " ".join(note["text"] for note in risk["note"])
    assert all(reason.text in notes for reason in assessment.reasons)


def test_the_basis_names_each_source_once_and_nothing_that_is_no_reference() -> None:
    resources = by_type(made.assessment())
    basis = [row["reference"] for row in resources["RiskAssessment"]["basis"]]
    assert basis == [
        f"Observation/{resources['Observation']['id']}",
        "ImagingStudy/is1",
        "Observation/o1/_history/2",
        "Observation/o2",
        "Condition/c1",
    ]


def test_an_ignored_value_is_told_with_its_reason() -> None:
    notes = [note["text"] for note in by_type(made.assessment())["RiskAssessment"]["note"]]
    assert "Not used: t_score of 2019-03-02: older than the window (too-old)" in notes


def test_the_observation_has_a_component_per_level_and_per_csf_region() -> None:
    observation = by_type(made.assessment())["Observation"]
    codes = [part["code"]["coding"][-1]["code"] for part in observation["component"]]
    assert codes == ["body-L1", "body-L2", "body-L3", "body-L4", "body-L5", "csf-L1", "csf-L2", "csf-L3"]
    assert "not used: haemangioma" in observation["component"][3]["code"]["text"]
    assert observation["valueQuantity"]["value"] == 4.26
    assert observation["derivedFrom"] == [{"reference": "ImagingStudy/is1"}]
    assert observation["effectiveDateTime"] == "2024-01-15"


def test_the_same_measurement_is_the_same_observation_whatever_the_assessment() -> None:
    later = made.assessment(id=made.NEW_ID, key="ef" * 32, created=made.CREATED + dt.timedelta(days=9))
    assert by_type(made.assessment())["Observation"] == by_type(later)["Observation"]
    remeasured = made.assessment(measurement=made.measurement(vbq=4.3))
    assert by_type(made.assessment())["Observation"]["id"] != by_type(remeasured)["Observation"]["id"]


def test_no_identifier_needs_escaping() -> None:
    for assessment in (made.assessment(software="a|b c"), made.incomplete()):
        for resource in resources_of(assessment):
            for identifier in resource.get("identifier", []):
                assert set(identifier["value"]) <= set("0123456789abcdef-")


def test_a_superseded_one_says_by_which_and_the_new_one_revises_it() -> None:
    old = by_type(made.assessment(), superseded_by=made.NEW_ID)["RiskAssessment"]
    assert old["status"] == "amended"
    assert {"url": systems.SUPERSEDED_BY, "valueReference": {"reference": f"RiskAssessment/{made.NEW_ID}"}} in old[
        "extension"
    ]
    assert old["note"][0]["text"].startswith("Superseded")
    assert old["prediction"]  # what was said stays readable
    new = by_type(made.assessment(id=made.NEW_ID, supersedes=made.OLD_ID))["Provenance"]
    revision = [row["what"] for row in new["entity"] if row["role"] == "revision"]
    assert revision == [{"reference": f"RiskAssessment/{made.OLD_ID}"}]


def test_a_patient_of_one_server_among_several_has_all_references_on_that_server() -> None:
    assessment = made.assessment(patient=f"{EHR}/Patient/p1")
    risk = by_type(assessment)["RiskAssessment"]
    outside = [row["reference"] for row in risk["basis"][1:]]
    assert all(reference.startswith(f"{EHR}/") for reference in outside)
    sent = json.dumps(as_transaction(resources_of(assessment), ehr_base=EHR))
    assert f"{EHR}/" not in sent
    assert '"reference": "Patient/p1"' in sent


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [found for item in value.values() for found in references(item)]
    return []


def test_a_transaction_creates_each_resource_once_and_refers_within_itself() -> None:
    entries = as_transaction(resources_of(made.assessment()))["entry"]
    urls = {entry["fullUrl"] for entry in entries}
    theirs = ("Patient", "ImagingStudy", "Observation", "Condition")
    assert len(urls) == len(entries) == 5
    for entry in entries:
        for reference in references(entry["resource"]):
            literal = read_reference(reference)
            assert reference in urls or (literal is not None and literal.resource_type in theirs)
    requests = {entry["resource"]["resourceType"]: entry["request"] for entry in entries}
    assert requests["Provenance"]["method"] == "PUT"
    for kind in ("Device", "Observation", "RiskAssessment"):
        assert requests[kind]["method"] == "POST"
        assert requests[kind]["ifNoneExist"].startswith(f"identifier={systems.ROOT}/")


def test_old_and_new_in_one_transaction_update_the_old_and_refer_to_each_other() -> None:
    new = made.assessment(id=made.NEW_ID, key="ef" * 32, supersedes=made.OLD_ID)
    both = [*resources_of(new), *resources_of(made.assessment(), superseded_by=made.NEW_ID)]
    bundle = as_transaction(both)
    validate(bundle)
    risks = [entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == "RiskAssessment"]
    assert [entry["request"]["method"] for entry in risks] == ["PUT", "PUT"]
    assert all(entry["request"]["url"].startswith("RiskAssessment?identifier=") for entry in risks)
    assert f"urn:uuid:{made.NEW_ID}" in references(risks[1]["resource"])


def test_one_of_ours_that_is_not_in_the_transaction_is_referred_to_by_identifier() -> None:
    bundle = as_transaction(resources_of(made.assessment(id=made.NEW_ID, supersedes=made.OLD_ID)))
    (provenance,) = (row["resource"] for row in bundle["entry"] if row["resource"]["resourceType"] == "Provenance")
    revision = next(row["what"] for row in provenance["entity"] if row["role"] == "revision")
    assert revision["identifier"] == {"system": systems.ASSESSMENT_ID, "value": made.OLD_ID}
    validate(bundle)


@pytest.mark.parametrize(("study", "end"), [("2024-02-29", "2029-02-28"), ("2023-12-31", "2028-12-31")])
def test_the_horizon_ends_on_the_same_day_years_later(study: str, end: str) -> None:
    acquisition = made.measurement().acquisition.but(study_date=study)
    risk = by_type(made.assessment(measurement=made.measurement(acquisition=acquisition)))["RiskAssessment"]
    assert risk["prediction"][0]["whenPeriod"] == {"start": study, "end": end}
