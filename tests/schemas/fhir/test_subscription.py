"""Subscriptions that we want, and the way there from those that a server has."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import RELEVANT_TYPES
from schemas.fhir.full import validate
from schemas.fhir.subscription import Channel, backport, criteria_of, plan, rest_hook

HERE = "https://vbq.example/events"
CHANNEL = Channel(HERE, ("Authorization: Bearer t",), "s3cr3t")
Json = dict[str, Any]


def kept(subscription: Json, number: int, **changes: Any) -> Json:
    """As a server keeps it."""
    return {**subscription, "id": f"s{number}", "meta": {"versionId": "1"}, "status": "active", **changes}


WANTED = [rest_hook(criteria_of(kind, narrow=False), CHANNEL) for kind in RELEVANT_TYPES]
TOPICS = [backport("http://t.example/1", CHANNEL, content="id-only", heartbeat_seconds=60, filters=["Patient?x=1"])]


@pytest.mark.parametrize("subscription", [*WANTED, *TOPICS])
def test_what_we_ask_for_is_valid_and_shows_no_secret_by_accident(subscription: Json) -> None:
    validate(subscription)
    assert "s3cr3t" not in repr(CHANNEL)
    assert "Bearer" not in repr(CHANNEL)


def test_narrow_criteria_name_the_codes_that_we_read() -> None:
    assert criteria_of("ImagingStudy", narrow=True) == "ImagingStudy?modality=MR"
    assert "http://loinc.org|38267-1" in criteria_of("Observation", narrow=True)
    assert criteria_of("Patient", narrow=True) == "Patient?"


def test_from_nothing_all_are_created_and_then_nothing_is_left_to_do() -> None:
    first = plan([], WANTED, HERE)
    assert list(first.create) == WANTED
    there = [kept(row, number) for number, row in enumerate(first.create)]
    again = plan(there, WANTED, HERE)
    assert (again.create, again.update, again.remove, len(again.keep)) == ((), (), (), 5)


def test_one_that_stopped_or_differs_is_asked_for_again_under_its_id() -> None:
    stopped = kept(WANTED[0], 1, status="error", error="Handshake failed")
    other = kept({**WANTED[1], "channel": {**WANTED[1]["channel"], "header": ["Authorization: Bearer old"]}}, 2)
    found = plan([stopped, other], WANTED[:2], HERE)
    assert [(row["id"], row["status"]) for row in found.update] == [("s1", "requested"), ("s2", "requested")]
    assert "error" not in found.update[0]
    assert found.update[1]["channel"] == WANTED[1]["channel"]
    for row in found.update:
        validate(row)


def test_what_a_server_adds_is_no_difference() -> None:
    there = kept({**WANTED[0], "criteria": "Patient", "end": "2030-01-01T00:00:00Z"}, 1)
    there["channel"] = {**there["channel"], "extension": [{"url": "http://x", "valueBoolean": True}]}
    assert plan([there], WANTED[:1], HERE).keep == (there,)


def test_doubles_are_removed_and_others_left_alone_unless_all_of_ours_shall_go() -> None:
    double = [kept(WANTED[0], number) for number in (1, 2)]
    theirs = kept(rest_hook("Patient?", Channel("https://other.example/hook")), 3)
    unwanted = kept(rest_hook("Device?", CHANNEL), 4)
    found = plan([*double, theirs, unwanted, {"resourceType": "Subscription"}], WANTED[:1], HERE)
    assert ([row["id"] for row in found.keep], [row["id"] for row in found.remove]) == (["s1"], ["s2"])
    gone = plan([*double, theirs, unwanted], [], HERE, exact=True)
    assert [row["id"] for row in gone.remove] == ["s1", "s2", "s4"]


@given(st.lists(st.sampled_from([*WANTED, *TOPICS]), max_size=8), st.data())
def test_two_rounds_always_suffice(there: list[Json], data: st.DataObject) -> None:
    states = st.sampled_from(["active", "error", "off", "requested"])
    existing = [kept(row, number, status=data.draw(states)) for number, row in enumerate(there)]
    first = plan(existing, WANTED, HERE)
    created = [kept(row, 100 + number) for number, row in enumerate(first.create)]
    after = [*first.keep, *({**row, "status": "active"} for row in first.update), *created]
    second = plan(after, WANTED, HERE)
    assert (second.create, second.update, second.remove, len(second.keep)) == ((), (), (), len(WANTED))
