"""Bodies to events."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import NotAcceptable
from schemas.fhir.events import ParsedEvents, events_of

EHR = "https://ehr.example/fhir"


def read(document: Any, **options: Any) -> ParsedEvents:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return events_of(body, **{"source": "engine", "base": None, "several": False, **options})


def refused(document: Any, **options: Any) -> tuple[str, list[str]]:
    """(code, paths)."""
    with pytest.raises(NotAcceptable) as caught:
        read(document, **options)
    return caught.value.reason_code, [issue.path for issue in caught.value.issues]


def test_a_single_resource_is_one_event_with_its_bytes_as_they_came(make: Any) -> None:
    body = json.dumps(make.observation(), indent=3).encode()
    parsed = read(body)
    (event,) = parsed.events
    assert (event.resource_type, event.resource_id, event.patient) == ("Observation", "o1", "Patient/p1")
    assert event.body == body
    assert (parsed.kind, parsed.reply, parsed.skipped) == ("resource", "outcome", [])


def test_the_version_is_version_id_then_last_updated_then_the_content(make: Any) -> None:
    last = "2024-01-01T10:00:00.123Z"
    (numbered,) = read(make.observation(meta={"versionId": "7", "lastUpdated": last})).events
    (dated,) = read(make.observation(meta={"lastUpdated": last})).events
    (bare,) = read(make.observation()).events
    assert (numbered.version, dated.version) == ("7", last)
    assert len(bare.version) == 64
    shuffled = dict(reversed(make.observation().items()))
    assert read(json.dumps(shuffled, indent=2).encode()).events[0].version == bare.version
    assert read(make.observation(status="amended")).events[0].version != bare.version


def test_the_same_resource_alone_and_in_a_bundle_is_the_same_version(make: Any) -> None:
    (alone,) = read(make.observation()).events
    (bundled,) = read(make.bundle("collection", {"resource": make.observation()})).events
    assert alone.version == bundled.version


def test_a_transaction_keeps_the_order_and_says_which_entry_is_which_event(make: Any) -> None:
    encounter = {"resourceType": "Encounter", "id": "e1", "status": "finished"}
    parsed = read(make.bundle("transaction", make.put(make.patient()), make.put(encounter), make.put(make.condition())))
    assert [event.resource_type for event in parsed.events] == ["Patient", "Condition"]
    assert parsed.entries == (0, None, 1)
    assert parsed.reply == "bundle-response"
    assert [(issue.path, "Encounter" in issue.text) for issue in parsed.skipped] == [("Bundle.entry[1].resource", True)]


def test_references_to_entries_by_urn_are_followed(make: Any) -> None:
    who = "urn:uuid:8d0e83b7-3b5f-4c25-aa03-15a0deacdacc"
    without_id = make.patient()
    del without_id["id"]
    seen = make.observation(subject={"reference": who})
    del seen["id"]
    parsed = read(
        make.bundle(
            "transaction",
            {"fullUrl": who, "resource": without_id, "request": {"method": "POST", "url": "Patient"}},
            {"resource": seen, "request": {"method": "POST", "url": "Observation"}},
        )
    )
    person, observation = parsed.events
    assert person.patient == observation.patient == "Patient/8d0e83b7-3b5f-4c25-aa03-15a0deacdacc"
    assert json.loads(observation.body)["subject"]["reference"] == person.patient
    assert json.loads(person.body)["id"] == person.resource_id
    assert json.loads(observation.body)["id"] == observation.resource_id
    assert len(observation.resource_id) == 32


def test_an_absolute_reference_to_an_entry_is_the_senders_own_patient(make: Any) -> None:
    url = "http://10.0.0.1/internal/Patient/p1"
    seen = make.observation(subject={"reference": url})
    parsed = read(make.bundle("collection", {"fullUrl": url, "resource": make.patient()}, {"resource": seen}), base=EHR)
    assert [event.patient for event in parsed.events] == ["Patient/p1", "Patient/p1"]


def test_several_servers_patients_are_kept_apart(make: Any) -> None:
    (event,) = read(make.patient(), base=EHR, several=True).events
    assert event.patient == f"{EHR}/Patient/p1"
    assert refused(make.observation(), several=True) == ("patient-reference", ["Observation.subject.reference"])


def test_an_endpoint_is_nobodys(make: Any) -> None:
    (event,) = read({"resourceType": "Endpoint", "id": "e", "status": "active", "address": "file:///x"}).events
    assert event.patient is None


def test_a_put_wants_its_resource_back_and_may_leave_the_id_to_the_path(make: Any) -> None:
    without_id = make.observation()
    del without_id["id"]
    parsed = read(without_id, method="PUT", path_type="Observation", path_id="o7")
    assert parsed.reply == "resource"
    assert parsed.events[0].resource_id == json.loads(parsed.resource)["id"] == "o7"


def test_a_delete_is_an_event_without_a_body(make: Any) -> None:
    parsed = read(b"", method="DELETE", path_type="Patient", path_id="p1", arrival="17")
    (event,) = parsed.events
    assert (event.interaction, event.patient, event.body, event.version) == ("delete", "Patient/p1", b"", "deleted-17")
    (bundled,) = read(make.bundle("batch", {"request": {"method": "DELETE", "url": "Observation/o1"}})).events
    assert (bundled.interaction, bundled.resource_id) == ("delete", "o1")
    assert read(b"", method="DELETE", path_type="Encounter", path_id="e1").events == []


def test_a_history_delete_has_the_version_that_its_response_states(make: Any) -> None:
    gone = {
        "request": {"method": "DELETE", "url": "Observation/o1"},
        "response": {"status": "204", "lastModified": "2024-01-01T10:00:00Z"},
    }
    (event,) = read(make.bundle("history", gone)).events
    assert event.version == "gone-2024-01-01T10:00:00Z"


def test_an_observation_of_a_group_is_skipped_and_said_so(make: Any) -> None:
    parsed = read(make.observation(subject={"reference": "Group/g1"}))
    assert parsed.events == []
    assert parsed.skipped[0].path == "Observation.subject"


def test_reads_in_a_batch_are_skipped(make: Any) -> None:
    parsed = read(make.bundle("batch", {"request": {"method": "GET", "url": "Patient/p1"}}))
    assert (parsed.events, parsed.entries, len(parsed.skipped)) == ([], (None,), 1)


WRONG = [
    ({}, "resourceType", "not-fhir"),
    ({"resourceType": "Grommet", "id": "g"}, "resourceType", "unknown-type"),
    ({"resourceType": 3}, "resourceType", "not-fhir"),
]


@pytest.mark.parametrize(("document", "path", "code"), WRONG)
def test_a_body_without_a_known_type_is_refused(document: Any, path: str, code: str) -> None:
    assert refused(document) == (code, [path])


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"status": "bogus"}, "Observation.status"),
        ({"status": None}, "Observation.status"),
        ({"id": "a b"}, "Observation.id"),
        ({"id": "x" * 65}, "Observation.id"),
        ({"id": "o1\n"}, "Observation.id"),
        ({"subject": {}}, "Observation.subject.reference"),
        ({"subject": "Patient/p1"}, "Observation.subject"),
        ({"subject": {"reference": "Grommet/1"}}, "Observation.subject.reference"),
        ({"subject": {"reference": "urn:uuid:1"}}, "Observation.subject.reference"),
        ({"valueQuantity": {"value": "-2.4"}}, "Observation.valueQuantity.value"),
        ({"valueQuantity": {"value": True}}, "Observation.valueQuantity.value"),
        ({"component": [{"code": {}}, {"valueInteger": 1}]}, "Observation.component[1].code"),
        ({"code": {"coding": {}}}, "Observation.code.coding"),
        ({"effectiveDateTime": "yesterday"}, "Observation.effectiveDateTime"),
        ({"meta": {"versionId": "a/b"}}, "Observation.meta.versionId"),
    ],
)
def test_each_wrong_element_is_named_by_its_path(make: Any, changes: dict[str, Any], path: str) -> None:
    assert refused(make.observation(**changes)) == (
        "patient-reference" if "/1" in str(changes) or "urn" in str(changes) else "not-fhir",
        [path],
    )


def test_all_wrong_entries_of_a_bundle_are_named_at_once(make: Any) -> None:
    bad = make.bundle(
        "collection",
        {"resource": make.observation(status="bogus")},
        {"resource": make.patient()},
        {"resource": {"resourceType": "Grommet"}},
        {"resource": make.imaging_study(status="final")},
        {
            "resource": make.condition(
                verificationStatus={
                    "coding": [
                        {"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "maybe"}
                    ]
                }
            )
        },
    )
    assert refused(bad)[1] == [
        "Bundle.entry[0].resource.status",
        "Bundle.entry[2].resource.resourceType",
        "Bundle.entry[3].resource.status",
        "Bundle.entry[4].resource.verificationStatus",
    ]


def test_what_is_wrong_is_never_repeated(make: Any) -> None:
    secret = "Mustermann"
    for changes in ({"status": secret}, {"effectiveDateTime": secret}, {"subject": {"reference": secret}}):
        with pytest.raises(NotAcceptable) as caught:
            read(make.observation(**changes))
        assert secret not in caught.value.detail + str(caught.value.issues)


@pytest.mark.parametrize(
    ("document", "options", "path"),
    [
        ("patient", {"path_type": "Observation"}, "Patient.resourceType"),
        ("patient", {"path_type": "Patient", "path_id": "p2"}, "Patient.id"),
        ("patient", {"path_type": "Grommet"}, "(path)"),
        ("patient", {"path_type": "Patient", "path_id": "p 1"}, "(path)"),
        ("patient", {"method": "DELETE"}, "(path)"),
    ],
)
def test_path_and_body_must_agree(make: Any, document: str, options: dict[str, Any], path: str) -> None:
    assert refused(getattr(make, document)(), **options)[1] == [path]


def test_a_patient_without_an_id_cannot_be_referred_to(make: Any) -> None:
    assert refused({"resourceType": "Patient"}) == ("not-fhir", ["Patient.id"])


@pytest.mark.parametrize(
    ("bad", "path"),
    [
        ({"resourceType": "Bundle"}, "Bundle.type"),
        ({"resourceType": "Bundle", "type": "heap"}, "Bundle.type"),
        ({"resourceType": "Bundle", "type": "document"}, "Bundle.type"),
        ({"resourceType": "Bundle", "type": "batch", "entry": {}}, "Bundle.entry"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [3]}, "Bundle.entry[0]"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": 3}]}, "Bundle.entry[0].resource"),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {}}]}, "Bundle.entry[0].request"),
        ({"resourceType": "Bundle", "type": "message", "entry": []}, "Bundle.entry[0].resource"),
        (
            {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "DELETE", "url": "x"}}]},
            "Bundle.entry[0].request.url",
        ),
        (
            {
                "resourceType": "Bundle",
                "type": "batch",
                "entry": [{"request": {"method": "PATCH", "url": "Patient/1"}}],
            },
            "Bundle.entry[0].request.method",
        ),
    ],
)
def test_a_wrong_bundle_is_named_by_its_path(bad: Any, path: str) -> None:
    assert refused(bad)[1] == [path]


def test_put_url_and_resource_must_agree(make: Any) -> None:
    entry = make.put(make.observation(), request={"method": "PUT", "url": "Observation/o2"})
    assert refused(make.bundle("transaction", entry))[1] == ["Bundle.entry[0].resource.id"]


def test_the_samples_of_real_senders_are_read(samples: dict[str, Any]) -> None:
    counts = {"own_collection": 4, "own_transaction": 4, "own_message": 1, "own_tscore_wrong_unit": 1}
    counts |= {"hapi_style_put": 1, "medplum_resthook_create": 1, "medplum_resthook_update": 1}
    counts |= {f"own_{release}_event_full": 1 for release in ("R4", "R4B", "R5")}
    counts["backport_r4_event-notification-full-resource"] = 1
    assert {name: len(read(samples[name]).events) for name in counts} == counts


def test_handshakes_and_heartbeats_of_real_senders_are_welcomed(samples: dict[str, Any]) -> None:
    quiet = [name for name in samples if "handshake" in name or "heartbeat" in name]
    assert len(quiet) >= 10
    assert {read(samples[name]).kind for name in quiet} == {"handshake"}


def test_notifications_without_resources_are_refused_rather_than_lost(samples: dict[str, Any]) -> None:
    names = [name for name in samples if "id-only" in name or "idonly" in name or "event-notification-empty" in name]
    names = [name for name in names if "handshake" not in name]
    assert {refused(samples[name])[0] for name in names} == {"no-payload"}


SCALAR = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.sampled_from(["Patient/p1", "final"])
ANYTHING = SCALAR | st.lists(SCALAR, max_size=2) | st.dictionaries(st.text(max_size=5), SCALAR, max_size=2)


@given(data=st.data())
def test_a_damaged_bundle_gives_events_or_not_acceptable_and_nothing_else(data: st.DataObject) -> None:
    observation = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "s", "code": "c"}]},
        "subject": {"reference": "Patient/p1"},
        "component": [{"code": {}, "valueQuantity": {"value": 1}}],
    }
    document: Any = {
        "resourceType": "Bundle",
        "type": data.draw(st.sampled_from(["collection", "transaction", "message", "history"])),
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": observation, "request": {"method": "PUT", "url": "Observation/o1"}}
        ],
    }
    for _ in range(data.draw(st.integers(1, 3))):
        damage(document, data)
    try:
        parsed = read(document)
    except NotAcceptable:
        return
    assert all(event.patient for event in parsed.events if event.resource_type != "Endpoint")


def damage(document: Any, data: st.DataObject) -> None:
    """Put anything, or nothing, in place of one element somewhere below."""
    place = document
    while isinstance(place, (dict, list)) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        below = place[key]
        if not isinstance(below, (dict, list)) or not below or data.draw(st.booleans()):
            place[key] = copy.deepcopy(data.draw(ANYTHING))
            return
        place = below
