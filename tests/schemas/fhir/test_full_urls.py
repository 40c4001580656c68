"""What a Bundle's entry says of where it is from: a fullUrl that disagrees, another server, a byte order mark."""

import codecs
import json
from typing import Any

import pytest

from schemas.fhir.parse import parse_json
from tests.schemas.fhir.test_events import EHR, read, refused

OTHER = "https://other.example/fhir"
ALIAS = "http://fhir-internal:8080/fhir"
MINE = {"base": EHR, "aliases": (ALIAS,)}


@pytest.mark.parametrize("full_url", [f"{EHR}/Observation/o1", f"{ALIAS}/Observation/o1", "urn:uuid:o1", None, "odd"])
def test_a_full_url_that_agrees_or_is_none_changes_nothing(make: Any, full_url: str | None) -> None:
    entry = {"resource": make.observation(), **({"fullUrl": full_url} if full_url else {})}
    (event,) = read(make.bundle("collection", entry), **MINE).events
    assert (event.resource_id, event.patient) == ("o1", "Patient/p1")


@pytest.mark.parametrize("full_url", [f"{EHR}/Observation/o2", f"{EHR}/Patient/o1", f"{OTHER}/Observation/o2"])
def test_a_full_url_of_something_else_is_refused(make: Any, full_url: str) -> None:
    entry = {"fullUrl": full_url, "resource": make.observation()}
    for options in (MINE, {}):
        assert refused(make.bundle("collection", entry), **options) == ("not-fhir", ["Bundle.entry[0].fullUrl"])


def test_what_is_of_another_server_does_not_stand_in_the_place_of_ours(make: Any) -> None:
    """There p1 is somebody else, and o1 another Observation."""
    ours = {"fullUrl": f"{EHR}/Patient/p1", "resource": make.patient()}
    theirs = {"fullUrl": f"{OTHER}/Observation/o1", "resource": make.observation()}
    unused = {"fullUrl": f"{OTHER}/Encounter/e1", "resource": {"resourceType": "Encounter", "id": "e1"}}
    assert refused(make.bundle("collection", ours, theirs), **MINE)[1] == ["Bundle.entry[1].fullUrl"]
    assert len(refused(make.bundle("collection", ours, theirs))[1]) == 2, "without a base nobody knows which is whose"
    assert len(read(make.bundle("collection", ours, unused), **MINE).events) == 1


def test_one_base_that_is_not_configured_is_the_senders_own_by_another_name(make: Any) -> None:
    """As a server behind a proxy writes it; a Bundle without any fullUrl is nobody else's either."""
    for options in (MINE, {}):
        entry = {"fullUrl": f"{OTHER}/Observation/o1", "resource": make.observation()}
        bundle = make.bundle("collection", entry, {"resource": make.patient()})
        assert [event.patient for event in read(bundle, **options).events] == ["Patient/p1", "Patient/p1"]


@pytest.mark.parametrize("kind", ["transaction", "history"])
def test_a_deletion_at_another_server_deletes_nothing_here(make: Any, kind: str) -> None:
    def deleted(url: str, full_url: str | None = None) -> Any:
        entry = {"request": {"method": "DELETE", "url": url}, "response": {"status": "204"}}
        return make.bundle(kind, {**entry, **({"fullUrl": full_url} if full_url else {})})

    for url, full_url in (("Observation/o1", None), (f"{ALIAS}/Observation/o1", f"{EHR}/Observation/o1")):
        (event,) = read(deleted(url, full_url), **MINE).events
        assert (event.interaction, event.resource_id) == ("delete", "o1")
    mixed = deleted(f"{OTHER}/Observation/o1", f"{EHR}/Observation/o1")
    assert refused(mixed, **MINE)[1] == ["Bundle.entry[0].request.url"]


def test_a_byte_order_mark_is_passed_over_and_not_kept(make: Any) -> None:
    body = json.dumps(make.observation()).encode()
    (marked,), (plain,) = (read(lead + body).events for lead in (codecs.BOM_UTF8, b""))
    assert marked == plain
    assert parse_json(marked.body)["id"] == "o1"
    assert refused(codecs.BOM_UTF8)[0] == "empty-body"
    assert refused(codecs.BOM_UTF8 * 2 + body)[0] == "not-json"
    assert refused(json.dumps(make.observation()).encode("utf-16"))[0] == "not-utf8"
