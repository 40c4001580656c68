"""Several records, one person: merges, shared identifiers, and what is taken back or was somebody else's."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateways.audit.log import Audit
from gateways.store.database import Database
from gateways.store.patient_tables import study_identities
from schemas.assessment import Assessment
from schemas.fhir.systems import PATIENT_REPLACED_BY
from tests import records

Json = dict[str, Any]
NATIONAL = "urn:oid:2.16.840.1.113883.2.4.6.3"
A, B = "https://a.example/fhir", "https://b.example/fhir"
_numbers = itertools.count(1)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """SQLite: the ties are read by plain queries, which tests/workers/test_erasure.py runs on both databases."""
    return sqlite_database


def current(hands: Any, patient: str) -> Assessment | None:
    found: Assessment | None = hands.bench.results.view(patient).assessment
    return found


def link(kind: str, other: str) -> Json:
    return {"link": [{"other": {"reference": f"Patient/{other}"}, "type": kind}]}


def version(resource: Json, number: int, day: int | None = None) -> Json:
    stamp = f"2025-01-{day or number:02d}T10:00:00Z"
    return {**resource, "meta": {"versionId": str(number), "lastUpdated": stamp}}


def inputs(found: Assessment | None) -> dict[str, Any]:
    return {row.name: row.value for row in found.inputs} if found is not None else {}


def why(found: Assessment | None) -> list[str]:
    return [row.code for row in found.reasons] if found is not None else []


def resource_of(hands: Any, identifier: str) -> Json:
    body = hands.bench.results.resource("RiskAssessment", identifier)
    found: Json = json.loads(body)
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (link("replaced-by", "p2"), {}),
        ({}, link("replaces", "p1")),
        (link("replaced-by", "p2"), link("replaces", "p1")),
    ],
)
def test_after_a_merge_the_survivor_has_the_inputs_of_both_and_the_other_is_withdrawn(
    hands: Any, old: Json, new: Json
) -> None:
    hands.push(records.patient("p1"), records.patient("p2"), records.t_score("p1", value=-2.7))
    hands.push(records.observation("w", "p2", records.WEIGHT, 61, "kg"))
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.7
    assert current(hands, "Patient/p2") is None
    hands.push(version(records.patient("p1", active=False, **old), 2), version(records.patient("p2", **new), 2))
    hands.work()
    gone, kept = current(hands, "Patient/p1"), current(hands, "Patient/p2")
    assert gone is not None
    assert (gone.state, why(gone), gone.risk) == ("withdrawn", ["record-replaced"], None)
    assert inputs(kept).items() >= {"t_score": -2.7, "weight_kg": 61.0}.items()
    said = resource_of(hands, gone.id)
    assert said["status"] == "cancelled"
    assert any("Patient/p2" in note["text"] for note in said["note"]), "it says which record stands in its place"
    pointer = {"url": PATIENT_REPLACED_BY, "valueReference": {"reference": "Patient/p2"}}
    assert pointer in said["extension"]
    # and an event about the old record still reaches the survivor
    hands.push(records.t_score("p1", value=-3.3, name="later"))
    hands.work()
    assert inputs(current(hands, "Patient/p2"))["t_score"] == -3.3
    assert Audit(hands.bench.database).verify().ok


def test_a_merge_that_is_taken_back_leaves_two_people(hands: Any) -> None:
    hands.push(records.patient("p1", **link("replaced-by", "p2")), records.patient("p2"), records.t_score("p1"))
    hands.work()
    assert inputs(current(hands, "Patient/p2"))["t_score"] == -2.9
    hands.push(version(records.patient("p1"), 2))
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.9
    assert why(current(hands, "Patient/p2")) == ["inputs-withdrawn"]


def test_a_chain_of_merges_ends_at_its_last_record_whatever_the_order(hands: Any) -> None:
    hands.push(records.patient("p2", **link("replaced-by", "p3")), records.t_score("p1", value=-2.1))
    hands.push(records.patient("p1", **link("replaced-by", "p2")), records.patient("p3"))
    hands.push(records.observation("w", "p2", records.WEIGHT, 58, "kg"))
    hands.work()
    assert inputs(current(hands, "Patient/p3")).items() >= {"t_score": -2.1, "weight_kg": 58.0}.items()
    for name in ("p1", "p2"):
        found = current(hands, f"Patient/{name}")
        assert found is None or found.state == "withdrawn"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_of_links_ends_and_ties_nothing(hands: Any, length: int) -> None:
    names = [f"p{number}" for number in range(length)]
    for place, name in enumerate(names):
        other = names[(place + 1) % length]
        hands.push(records.patient(name, **link("replaced-by", other)), records.t_score(name, value=-2.0 - place))
    hands.work()
    for place, name in enumerate(names):
        found = current(hands, f"Patient/{name}")
        assert found is not None
        assert (found.state, inputs(found)["t_score"]) == ("incomplete", -2.0 - place)


def test_two_survivors_are_a_contradiction_that_gives_nobody_the_inputs(hands: Any) -> None:
    both = {"link": [*link("replaced-by", "p2")["link"], *link("replaced-by", "p3")["link"]]}
    hands.push(records.patient("p1"), records.t_score("p1"))
    hands.work()
    hands.push(version(records.patient("p1", **both), 2), records.patient("p2"), records.patient("p3"))
    hands.work()
    assert why(current(hands, "Patient/p1")) == ["record-replaced-unclear"]
    assert [inputs(current(hands, f"Patient/{name}")).get("t_score") for name in ("p2", "p3")] == [None, None]


@pytest.mark.parametrize(
    "other",
    [
        {"reference": "RelatedPerson/r1"},
        {"reference": "https://elsewhere.example/fhir/Patient/p2"},
        {"reference": "urn:uuid:4f5e9a2b-0c55-4d5c-8a3c-2b1f0c3d9a10"},
        {"display": "p2"},
        {"reference": "Patient/p1"},
    ],
)
def test_a_link_that_leads_elsewhere_is_passed_over(
    make_hands: Callable[..., Any], tmp_path: Path, other: Json
) -> None:
    config = tmp_path / "one.yaml"
    sender = {"name": "engine", "bearer_sha256": "0" * 64, "fhir_base_url": A}
    config.write_text(yaml.safe_dump({"senders": [sender]}))
    hands = make_hands(config=config)
    hands.push(records.patient("p1", link=[{"other": other, "type": "replaced-by"}]), records.t_score("p1"))
    hands.work()
    found = current(hands, "Patient/p1")
    assert found is not None
    assert found.state == "incomplete"


def test_a_record_that_is_not_in_use_has_no_number_until_it_is_again(hands: Any) -> None:
    hands.push(records.patient("p1"), records.t_score("p1"))
    hands.work()
    hands.push(version(records.patient("p1", active=False), 2))
    hands.work()
    assert why(current(hands, "Patient/p1")) == ["record-inactive"]
    hands.push(version(records.patient("p1", active=True), 3))
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.9


@pytest.fixture
def two_bases(make_hands: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Hands of a site with two FHIR servers; `push(base, resource)` sends from one of them."""

    def make(systems: Sequence[str] = (NATIONAL,)) -> Any:
        config = tmp_path / f"{next(_numbers)}.yaml"
        senders = [
            {"name": name, "bearer_sha256": digit * 64, "fhir_base_url": base}
            for name, digit, base in (("a", "0", A), ("b", "1", B))
        ]
        config.write_text(yaml.safe_dump({"senders": senders, "patient_identity": {"systems": list(systems)}}))
        return make_hands(config=config)

    return make


def send(hands: Any, base: str, *resources: Json) -> None:
    from schemas.fhir.events import events_of

    for resource in resources:
        name = "a" if base == A else "b"
        made = events_of(json.dumps(resource).encode(), source=name, base=base, several=True)
        hands.bench.inbox.accept(made.events)


def known_as(value: str, **changes: Any) -> Json:
    return {"identifier": [{"system": NATIONAL, "value": value, **changes}]}


def test_one_identifier_of_a_trusted_system_at_two_servers_is_one_person(two_bases: Callable[..., Any]) -> None:
    hands = two_bases()
    send(hands, A, records.patient("p1", **known_as("123")), records.t_score("p1", value=-2.7))
    send(
        hands, B, records.patient("x9", **known_as("123")), records.observation("t-p1", "x9", records.WEIGHT, 55, "kg")
    )
    hands.work()
    for key, other in ((f"{A}/Patient/p1", B), (f"{B}/Patient/x9", A)):
        found = current(hands, key)
        assert found is not None
        assert inputs(found).items() >= {"t_score": -2.7, "weight_kg": 55.0}.items()
        foreign = [row.source for row in found.inputs if row.source.startswith("http")]
        assert foreign == [f"{other}/Observation/t-p1"], "what comes from elsewhere says from where"


@pytest.mark.parametrize(
    ("systems", "here", "there"),
    [
        ((), known_as("123"), known_as("123")),
        (("urn:other",), known_as("123"), known_as("123")),
        ((NATIONAL,), known_as("123"), known_as("124")),
        ((NATIONAL,), known_as("123", use="old"), known_as("123")),
        ((NATIONAL,), known_as(" "), known_as(" ")),
        ((NATIONAL,), known_as("123"), {**known_as("123"), "birthDate": "1960-01-01"}),
        ((NATIONAL,), known_as("123"), {**known_as("123"), "gender": "male"}),
        ((NATIONAL,), {"identifier": [{"value": "123"}]}, {"identifier": [{"value": "123"}]}),
    ],
)
def test_without_a_trusted_identifier_or_against_the_birth_date_two_servers_hold_two_people(
    two_bases: Callable[..., Any], systems: tuple[str, ...], here: Json, there: Json
) -> None:
    hands = two_bases(systems)
    send(hands, A, records.patient("p1", **here), records.t_score("p1"))
    send(hands, B, records.patient("p1", **there), records.observation("w", "p1", records.WEIGHT, 55, "kg"))
    hands.work()
    assert "weight_kg" not in inputs(current(hands, f"{A}/Patient/p1"))
    assert "t_score" not in inputs(current(hands, f"{B}/Patient/p1"))


def test_an_identifier_that_many_share_names_nobody(two_bases: Callable[..., Any]) -> None:
    hands = two_bases()
    for number in range(12):
        send(hands, A, records.patient(f"p{number}", **known_as("000000")))
    send(hands, A, records.t_score("p0", value=-2.2))
    hands.work()
    assert inputs(current(hands, f"{A}/Patient/p0"))["t_score"] == -2.2
    assert current(hands, f"{A}/Patient/p1") is None


def test_a_value_that_turns_out_to_be_somebody_elses_changes_both(hands: Any) -> None:
    moved = records.t_score("p1", value=-3.0)
    hands.push(records.patient("p1"), records.patient("p2"), version(moved, 1))
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -3.0
    hands.push(version({**moved, "subject": {"reference": "Patient/p2"}}, 2))
    hands.work()
    assert inputs(current(hands, "Patient/p2"))["t_score"] == -3.0
    assert why(current(hands, "Patient/p1")) == ["inputs-withdrawn"]


@pytest.mark.parametrize("how", ["deleted", "entered-in-error"])
def test_a_t_score_that_is_taken_back_is_gone_and_the_result_says_so(hands: Any, how: str, small_study: Path) -> None:
    study = records.imaging_study("p1", address=records.file_url(small_study))
    hands.push(records.patient("p1"), study, records.t_score("p1"))
    hands.work()
    before = current(hands, "Patient/p1")
    assert before is not None
    assert before.state == "complete"
    if how == "deleted":
        hands.delete("Observation", "t-p1")
    else:
        hands.push(records.t_score("p1", status="entered-in-error"))
    hands.work()
    found = current(hands, "Patient/p1")
    assert found is not None
    assert (found.state, found.risk, found.missing, found.supersedes) == ("incomplete", None, ["t_score"], before.id)
    assert how in [row.code for row in found.ignored]
    said = resource_of(hands, found.id)
    assert "prediction" not in said
    assert any(how in note["text"] for note in said["note"])
    assert resource_of(hands, before.id)["status"] == "amended"


def test_a_lone_t_score_that_is_deleted_withdraws_what_was_said(hands: Any) -> None:
    hands.push(records.patient("p1"), records.t_score("p1"))
    hands.work()
    hands.delete("Observation", "t-p1")
    hands.work()
    assert why(current(hands, "Patient/p1")) == ["inputs-withdrawn"]
    hands.push(records.t_score("p1", value=-2.2))
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.2, "and it comes back"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"birthDate": "1971-01-01"}, "identity-birth-date"),
        ({"gender": "male"}, "identity-sex"),
        ({"identifier": [{"value": "SOMEBODY-ELSE"}]}, "identity-patient-id"),
    ],
)
def test_a_patient_who_changes_so_that_the_images_are_not_hers_loses_the_number_at_once(
    hands: Any, small_study: Path, wrong: Json, code: str
) -> None:
    study = records.imaging_study("p1", address=records.file_url(small_study))
    hands.push(version(records.patient("p1"), 1), study, records.t_score("p1"))
    hands.work()
    before = current(hands, "Patient/p1")
    assert before is not None
    assert before.state == "complete"
    measured = hands.job("measure").done
    hands.push(version(records.patient("p1", **wrong), 2))
    hands.work()
    found = current(hands, "Patient/p1")
    assert found is not None
    assert (found.state, why(found), found.risk) == ("withdrawn", [code], None)
    hands.push(version(records.patient("p1"), 3))
    hands.work()
    again = current(hands, "Patient/p1")
    assert again is not None
    assert again.risk == before.risk
    assert hands.job("measure").done == measured, "nothing was fetched again for it"


def test_the_images_of_a_merged_record_count_for_the_survivor(hands: Any, small_study: Path) -> None:
    study = records.imaging_study("p1", address=records.file_url(small_study))
    hands.push(records.patient("p1", **link("replaced-by", "p2")), study)
    hands.push(records.patient("p2", identifier=[{"value": "SYNTH-0005"}]), records.t_score("p2"))
    hands.work()
    found = current(hands, "Patient/p2")
    assert found is not None
    assert (found.state, found.study) == ("complete", "ImagingStudy/s-p1")
    with hands.bench.database.read() as connection:
        assert len(connection.execute(study_identities.select()).all()) == 1


def test_a_resource_without_versions_comes_back_with_the_same_content_and_a_history_says_when_it_was_deleted(
    hands: Any,
) -> None:
    value = records.t_score("p1", value=-2.4)
    hands.push(records.patient("p1"), value)
    hands.work()
    for _ in range(2):
        hands.delete("Observation", "t-p1")
        hands.work()
        assert why(current(hands, "Patient/p1")) == ["inputs-withdrawn"]
        hands.push(value, value)
        hands.work()
        assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.4
    hands.push(version(records.t_score("p1", value=-2.6), 4, day=20))
    gone = {
        "request": {"method": "DELETE", "url": "Observation/t-p1"},
        "response": {"status": "204", "lastModified": "2025-01-10T10:00:00Z"},
    }
    hands.push({"resourceType": "Bundle", "type": "history", "entry": [gone]})
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.6, "it was deleted before it came back"


def test_late_and_repeated_versions_change_nothing_and_a_newer_one_brings_a_deleted_one_back(hands: Any) -> None:
    value = {number: records.t_score("p1", value=-2.0 - number / 10) for number in range(1, 6)}
    hands.push(records.patient("p1"), version(value[2], 2))
    hands.work()
    for late in (
        version(value[1], 1),
        {**version(value[1], 1), "meta": {"versionId": "9", "lastUpdated": "2024-01-01T00:00:00Z"}},
    ):
        hands.push(late)
        hands.work()
        assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.2
    hands.push(version(value[3], 3, day=2))  # the same moment: the version decides
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.3
    hands.delete("Observation", "t-p1")
    hands.push(version(value[1], 1), version(value[2], 2, day=1))
    hands.work()
    assert why(current(hands, "Patient/p1")) == ["inputs-withdrawn"]
    hands.push(version(value[5], 5))
    hands.work()
    assert inputs(current(hands, "Patient/p1"))["t_score"] == -2.5


people = st.sampled_from(["a", "b", "c"])
links = st.none() | st.tuples(st.sampled_from(["replaced-by", "replaces"]), people)
patient_versions = st.fixed_dictionaries(
    {"name": people, "link": links, "active": st.sampled_from([True, True, False])}
)
observation_versions = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["t1", "t2", "w"]),
        "subject": people,
        "status": st.sampled_from(["final", "final", "entered-in-error"]),
        "value": st.integers(20, 35),
    }
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Json], list[int], list[int]]:
    """Versions of resources about three records, an order of arrival, and where work is done in between."""
    rows: list[Json] = [{"kind": "Patient", **row} for row in draw(st.lists(patient_versions, max_size=5))]
    rows += [{"kind": "Observation", **row} for row in draw(st.lists(observation_versions, min_size=1, max_size=6))]
    order = draw(st.permutations(range(len(rows))))
    return rows, list(order), draw(st.lists(st.integers(0, len(rows)), max_size=3))


def built(rows: list[Json], run: int) -> list[Json]:
    """The resources of a history, in a namespace of their own; a resource's versions count up in the list's order."""
    numbers: dict[str, int] = {}
    made = []
    for row in rows:
        name = f"{row['name']}-{run}"
        numbers[name] = numbers.get(name, 0) + 1
        if row["kind"] == "Patient":
            tie = link(row["link"][0], f"{row['link'][1]}-{run}") if row["link"] else {}
            made.append(version(records.patient(name, active=row["active"], **tie), numbers[name]))
            continue
        code, value, unit = (
            (records.WEIGHT, 30.0 + row["value"], "kg")
            if row["name"] == "w"
            else (records.SPINE_T_SCORE, -row["value"] / 10, "{T-score}")
        )
        found = records.observation(name, f"{row['subject']}-{run}", code, value, unit, status=row["status"])
        made.append(version(found, numbers[name]))
    return made


def outcome(hands: Any, run: int) -> list[Any]:
    """What counts now of each record. Nothing said and everything taken back are the same: no number stands."""
    found: list[Any] = []
    for name in ("a", "b", "c"):
        one = current(hands, f"Patient/{name}-{run}")
        if one is None or one.state == "withdrawn":
            found.append(None)
            continue
        sources = sorted((row.name, str(row.value), row.source.replace(f"-{run}", "")) for row in one.inputs)
        # a value passed over for a later one makes no new assessment (vbq/assess.py), so it may or may not be told
        told = [row for row in one.ignored if row.code != "superseded"]
        ignored = sorted((row.code, row.source.replace(f"-{run}", "")) for row in told)
        found.append((one.state, sources, one.missing, ignored))
    return found


# Each example costs a tenth of a second and more, so a failing one is shown as it is.
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=QUICK)
@given(history=histories())
def test_any_order_of_the_same_events_ends_in_the_same(
    hands: Any, history: tuple[list[Json], list[int], list[int]]
) -> None:
    rows, order, pauses = history
    run, straight = next(_numbers), next(_numbers)
    arriving = built(rows, run)
    for place, number in enumerate(order):
        hands.push(arriving[number])
        if place in pauses:
            hands.work()
    hands.work()
    hands.push(*built(rows, straight))
    hands.work()
    assert outcome(hands, run) == outcome(hands, straight)
    before = outcome(hands, run)
    hands.push(*arriving)
    hands.work()
    assert outcome(hands, run) == before
