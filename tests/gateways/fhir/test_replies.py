"""Whatever a FHIR server states, reading it ends in a value or in an error of ours. Laws; no network."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.fhir.bulk import File, files_of, split
from gateways.fhir.checks import Finding, reading, server_part, writing
from gateways.fhir.client import FhirClient, outcome_codes
from gateways.fhir.cohort_server import vbq_measurement
from gateways.fhir.http import FhirHttp, inside
from gateways.fhir.sources import Source
from gateways.outgoing.retry_after import retry_after_s
from schemas.errors import Forbidden, Rejected

BASE = "https://ehr.example/fhir"
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
names = st.sampled_from(
    [
        "resourceType",
        "id",
        "url",
        "type",
        "count",
        "output",
        "deleted",
        "error",
        "link",
        "relation",
        "entry",
        "resource",
        "request",
        "method",
        "issue",
        "code",
        "coding",
        "system",
        "value",
        "valueQuantity",
        "derivedFrom",
        "reference",
        "status",
        "meta",
        "lastUpdated",
        "rest",
        "mode",
        "interaction",
        "name",
    ]
)
words = st.sampled_from(
    [
        "Bundle",
        "next",
        "server",
        "Observation",
        "ImagingStudy/1",
        "final",
        f"{BASE}/x",
        "https://evil.example/x",
        "../x",
        "//e",
    ]
)
documents = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
    max_leaves=12,
)
objects = st.dictionaries(names, documents, max_size=6)


@given(st.text(max_size=60) | st.none(), st.floats(0, 4e9))
def test_retry_after_is_never_negative_and_never_raises(text: str | None, now: float) -> None:
    found = retry_after_s(text, now=now)
    assert found is None or found >= 0


@given(st.lists(st.binary(max_size=12), max_size=20), st.integers(1, 15))
def test_lines_do_not_depend_on_where_the_parts_end(parts: list[bytes], most: int) -> None:
    whole = b"".join(parts)
    assert list(split(iter(parts), most)) == list(split(iter([whole]), most))
    kept = [line for line in split(iter(parts), most) if line is not None]
    assert all(line and len(line) <= most for line in kept)
    assert set(kept) <= {line.strip() for line in whole.split(b"\n")}


@given(objects)
def test_a_manifest_gives_files_at_allowed_places_or_an_error(manifest: dict[str, Any]) -> None:
    http = FhirHttp(BASE)
    try:
        files = files_of(http, manifest)
    except (Rejected, Forbidden):
        return
    assert all(isinstance(file, File) and http.may_call(file.url) for file in files)


@given(objects)
def test_a_page_leads_below_the_base_or_nowhere(bundle: dict[str, Any]) -> None:
    client = FhirClient(FhirHttp(BASE))
    try:
        following = client.following(bundle, f"{BASE}/Observation?page=1")
    except Forbidden:
        return
    assert following is None or inside(following, BASE)


@given(st.binary(max_size=80))
def test_codes_of_an_outcome_are_words(body: bytes) -> None:
    assert all(c.isalpha() or c in "-, " for c in outcome_codes(body))


@given(objects)
def test_a_capability_statement_of_any_shape_gives_findings(statement: dict[str, Any]) -> None:
    found = Finding([], [])
    writing(server_part(statement), found)
    reading(server_part(statement), ["Patient"], found)
    assert found.wrong


@given(objects)
def test_an_observation_of_any_shape_is_a_measurement_or_none(observation: dict[str, Any]) -> None:
    found = vbq_measurement(observation)
    assert found is None or found[2].vbq is not None


@given(st.binary(max_size=200) | objects.map(lambda document: json.dumps(document).encode()))
def test_a_line_of_any_content_is_events_or_reasons(body: bytes) -> None:
    found = Source("hapi", BASE, several=False).events(body)
    assert found.events or found.passed_over


@pytest.mark.parametrize("stated", [{"relation": "next", "url": "x" * 9000}, {"relation": "next", "url": "https://["}])
def test_a_link_that_is_none_is_refused(stated: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        FhirClient(FhirHttp(BASE)).following({"link": [stated]}, BASE)
