"""Notifications in all their dialects, as notices."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import NotAcceptable
from schemas.events import IncomingEvent
from schemas.fhir.events import ParsedEvents, events_of
from schemas.notice import Notice

Json = dict[str, Any]
EHR = "https://ehr.example/fhir"
SEKMET = "http://127.0.0.1:18090/fhir"  # what the recorded server calls itself


def read(document: Any, **options: Any) -> ParsedEvents:
    given = {"source": "ehr", "base": EHR, "several": False, "readable": True, "arrival": "2026-11-22T10:00:00Z"}
    return events_of(json.dumps(document).encode(), **{**given, **options})


def notice_of(parsed: ParsedEvents) -> Notice:
    assert parsed.notice is not None
    return Notice.model_validate_json(parsed.notice.body)


def refused(document: Any, **options: Any) -> NotAcceptable:
    with pytest.raises(NotAcceptable) as caught:
        read(document, **options)
    return caught.value


@pytest.mark.parametrize("release", ["R4", "R4B", "R5"])
def test_each_release_says_the_same(samples: dict[str, Json], release: str) -> None:
    empty, named, full = (samples[f"own_{release}_event_{kind}"] for kind in ("empty", "idonly", "full"))
    common = {"kind": "event-notification", "subscription": "Subscription/s1", "status": "active", "announced": 4}
    common |= {"numbers": [4], "sent": "2024-01-01T10:00:01Z"}
    topic = "http://example.org/SubscriptionTopic/imagingstudy-available"
    assert notice_of(read(empty)) == Notice.model_validate({**common, "topic": topic, "search": True})
    assert notice_of(read(named)) == Notice.model_validate({**common, "topic": topic, "fetch": ["ImagingStudy/is1"]})
    whole = read(full)
    assert notice_of(whole) == Notice.model_validate({**common, "topic": topic})
    assert [event.resource_id for event in whole.events] == ["is1"]


@pytest.mark.parametrize("content", ["empty", "id-only", "full-resource"])
def test_what_a_real_server_sent_is_read(samples: dict[str, Json], content: str) -> None:
    shaken = notice_of(read(samples[f"backport_r4_handshake-{content}"], base=SEKMET))
    assert (shaken.kind, shaken.announced, shaken.numbers, shaken.fetch) == ("handshake", 0, [], [])
    parsed = read(samples[f"backport_r4_event-notification-{content}"], base=SEKMET)
    told = notice_of(parsed)
    assert (told.announced, told.numbers, told.search) == (1, [1], content == "empty")
    named = [kind.partition("/")[0] for kind in told.fetch]
    assert named == {"empty": [], "id-only": ["ImagingStudy", "Patient"], "full-resource": ["Patient"]}[content]
    assert len(parsed.events) == (content == "full-resource")


def test_every_heartbeat_is_welcome_and_those_of_an_hour_without_news_are_one(samples: dict[str, Json]) -> None:
    names = [name for name in samples if "heartbeat" in name]
    assert len(names) == 4
    for name in names:
        parsed = read(samples[name], readable=False)
        assert (parsed.kind, parsed.events, notice_of(parsed).kind) == ("handshake", [], "heartbeat")
    again = {**samples["own_R4_heartbeat"], "id": "another", "timestamp": "2024-01-01T10:03:01Z"}
    first, second = (read(one).notice for one in (samples["own_R4_heartbeat"], again))
    later = read(again, arrival="2026-11-22T11:00:00Z").notice
    assert first is not None
    assert second is not None
    assert later is not None
    assert first.version == second.version != later.version


def status(*events: Json, kind: str = "event-notification", **more: Any) -> Json:
    return {
        "resourceType": "SubscriptionStatus",
        "type": kind,
        "subscription": {"reference": f"{EHR}/Subscription/s1"},
        "notificationEvent": list(events),
        **more,
    }


def bundle(first: Json, *entries: Json, kind: str = "history") -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": first}, *entries]}


def event(number: Any, focus: str | None = None, **more: Any) -> Json:
    return {"eventNumber": number, **({"focus": {"reference": focus}} if focus else {}), **more}


def test_camel_case_parameters_and_numbers_that_are_numbers_are_taken() -> None:
    parts = [{"name": "eventNumber", "valueInteger": 7}]
    parts.append({"name": "focus", "valueReference": {"reference": "Observation/o1"}})
    rows = [
        {"name": "type", "valueCode": "event-notification"},
        {"name": "eventsSinceSubscriptionStart", "valueUnsignedInt": 7},
        {"name": "notificationEvent", "part": parts},
    ]
    found = notice_of(read(bundle({"resourceType": "Parameters", "parameter": rows})))
    assert (found.numbers, found.announced, found.fetch, found.subscription) == ([7], 7, ["Observation/o1"], "")
    assert notice_of(read(bundle(status(event(7, "Observation/o1"))))).numbers == [7]


def test_entries_that_have_a_url_and_no_resource_are_an_id_only_payload_too() -> None:
    named = {"fullUrl": f"{EHR}/Observation/o1", "request": {"method": "PUT", "url": "Observation/o1"}}
    found = notice_of(read(bundle(status(event("1")), named)))
    assert (found.fetch, found.search) == (["Observation/o1"], False)


def test_what_came_along_is_not_fetched_whatever_url_it_has(make: Any) -> None:
    inside = {"fullUrl": "urn:uuid:5c1b5a3e-0000-4000-8000-000000000001", "resource": make.observation()}
    found = read(bundle(status(event("1", "urn:uuid:5c1b5a3e-0000-4000-8000-000000000001")), inside))
    assert notice_of(found).fetch == []
    assert (
        notice_of(read(bundle(status(event("1", f"{EHR}/Observation/o1")), {"resource": make.observation()}))).fetch
        == []
    )


def test_a_deletion_in_a_notification_is_one_and_is_not_fetched() -> None:
    gone = {"fullUrl": f"{EHR}/Observation/o1", "request": {"method": "DELETE", "url": "Observation/o1"}}
    parsed = read(bundle(status(event("1", f"{EHR}/Observation/o1")), gone))
    assert [one.interaction for one in parsed.events] == ["delete"]
    assert (notice_of(parsed).fetch, notice_of(parsed).search) == ([], False)


def test_another_name_of_the_senders_base_is_its_base(make: Any) -> None:
    inner = "http://10.0.0.7:8080/fhir"
    told = status(event("1", f"{inner}/Observation/o1"), subscription={"reference": f"{inner}/Subscription/s1"})
    found = read(bundle(told), aliases=(f"{inner}/",))
    assert (notice_of(found).fetch, notice_of(found).subscription) == (["Observation/o1"], "Subscription/s1")
    (seen,) = read(make.observation(subject={"reference": f"{inner}/Patient/p1"}), aliases=(inner,)).events
    assert seen.patient == "Patient/p1"
    (plain,) = read(make.observation(subject={"reference": "https://x/Patient/p1"}), aliases=(inner,)).events
    assert plain.patient == "https://x/Patient/p1", "another server's patient is not this one's"


@pytest.mark.parametrize(
    "focus",
    [
        "https://token:secret@evil.example/fhir/Observation/o1",
        "https://evil.example/secret-path/Observation/o1",
        "http://ehr.example/fhir/Observation/o1",
        "https://ehr.example:8443/fhir/Observation/o1",
        "https://ehr.example/fhir/../other/Observation/o1",
    ],
)
def test_what_lies_elsewhere_is_refused_by_name_and_its_secrets_are_not_repeated(focus: str) -> None:
    error = refused(bundle(status(event("1", focus))))
    assert error.reason_code == "focus-elsewhere"
    assert error.issues[0].path == "Bundle.entry[0].resource.notificationEvent[0].focus"
    assert "fhir_base_url" in error.detail
    assert "secret" not in error.detail
    assert ("evil.example" in focus) == ("evil.example" in error.detail)


@pytest.mark.parametrize(
    "focus", ["#contained", "urn:uuid:1", "Patient?identifier=1", "Grommet/1", "Observation/", "x"]
)
def test_a_focus_that_names_no_resource_is_refused(focus: str) -> None:
    assert refused(bundle(status(event("1", focus)))).reason_code == "focus-reference"


def test_a_focus_that_is_of_no_use_is_passed_over_and_said_so() -> None:
    parsed = read(bundle(status(event("1", "Encounter/e1"), event("2", "Condition/c1"))), types=frozenset({"Patient"}))
    assert notice_of(parsed).fetch == []
    assert ["Encounter" in issue.text or "Condition" in issue.text for issue in parsed.skipped] == [True, True]


@pytest.mark.parametrize("document", [status(event("1")), status(event("1", "Observation/o1")), status()])
def test_without_leave_to_read_what_carries_nothing_is_refused_rather_than_lost(document: Json) -> None:
    error = refused(bundle(document), readable=False)
    assert error.reason_code == "no-payload"
    assert "reads" in error.detail


@pytest.mark.parametrize(
    ("first", "path"),
    [
        (status(kind="party"), "type"),
        (status(event("four")), "notificationEvent[0].eventNumber"),
        (status(event("-1")), "notificationEvent[0].eventNumber"),
        (status(event("٤")), "notificationEvent[0].eventNumber"),
        (status(event("9" * 19)), "notificationEvent[0].eventNumber"),
        (status(event(True)), "notificationEvent[0].eventNumber"),
        (status(event(1.5)), "notificationEvent[0].eventNumber"),
        (status(event("1", focus=["x"])), "notificationEvent[0].focus"),
        (status(event("1", focus={"reference": 3})), "notificationEvent[0].focus"),
        (status(eventsSinceSubscriptionStart={}), "eventsSinceSubscriptionStart"),
        (status(notificationEvent={}), "notificationEvent"),
        (status(notificationEvent=[3]), "notificationEvent[0]"),
        (status(subscription="Subscription/s1"), "subscription"),
        (status(topic=["x"]), "topic"),
        ({"resourceType": "Parameters", "parameter": {}}, "parameter"),
        ({"resourceType": "Parameters", "parameter": [{}]}, "parameter[0].name"),
        ({"resourceType": "Parameters", "parameter": [{"name": "notification-event", "part": 1}]}, "parameter[0].part"),
    ],
)
def test_each_wrong_element_is_named_by_its_path(first: Json, path: str) -> None:
    assert [issue.path for issue in refused(bundle(first)).issues] == [f"Bundle.entry[0].resource.{path}"]


def test_too_many_events_in_one_notification_are_refused() -> None:
    assert "10000" in refused(bundle(status(*[event("1")] * 10_001))).detail


def test_no_body_at_all_is_a_search_and_a_delivery_that_is_tried_again_is_one() -> None:
    first, again, other = (
        events_of(b"", source="ehr", base=EHR, several=False, readable=True, arrival=arrival, delivery=delivery).notice
        for arrival, delivery in (("2026-11-22T10:00:00Z", "msg-1"), ("2026-11-22T10:00:09Z", "msg-1"), ("x", ""))
    )
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.version == again.version != other.version
    assert Notice.model_validate_json(first.body) == Notice(kind="ping", search=True)


SCALAR = st.none() | st.booleans() | st.integers(-3, 10**20) | st.text(max_size=6) | st.floats(allow_nan=False)
WORD = st.sampled_from(
    ["type", "event-notification", "heartbeat", "notification-event", "focus", "event-number", "Observation/o1", EHR]
)
ANYTHING = st.recursive(
    SCALAR | WORD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["reference", "name", "part", "valueString", "resourceType", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(data=st.data())
def test_a_damaged_notification_gives_a_notice_or_not_acceptable_and_nothing_else(data: st.DataObject) -> None:
    parts = [
        {"name": "event-number", "valueString": "3"},
        {"name": "focus", "valueReference": {"reference": f"{EHR}/Observation/o1"}},
        {"name": "additional-context", "valueReference": {"reference": f"{EHR}/Patient/p1"}},
    ]
    rows = [{"name": "type", "valueCode": "event-notification"}, {"name": "notification-event", "part": parts}]
    full = event("3", f"{EHR}/Observation/o1", additionalContext=[{"reference": "Patient/p1"}])
    first = data.draw(st.sampled_from([{"resourceType": "Parameters", "parameter": rows}, status(full)]))
    kind = data.draw(st.sampled_from(["history", "subscription-notification"]))
    document = json.loads(json.dumps(bundle(first, {"fullUrl": f"{EHR}/Patient/p1"}, kind=kind)))
    for _ in range(data.draw(st.integers(1, 4))):
        place, steps = document, 0
        while isinstance(place, dict | list) and place and steps < 12:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key, steps = data.draw(st.sampled_from(keys)), steps + 1
            if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
                place[key] = data.draw(ANYTHING)
                break
            place = place[key]
    try:
        parsed = read(document)
    except NotAcceptable:
        return
    if parsed.notice is not None:
        assert isinstance(parsed.notice, IncomingEvent)
        assert all(one.count("/") == 1 for one in notice_of(parsed).fetch)
        assert len(parsed.notice.version) <= 256
        assert len(parsed.notice.resource_id) <= 64
