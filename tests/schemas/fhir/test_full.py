"""The full check: sound resources pass, all else is NotAcceptable with a path and without values."""

from typing import Any

import pytest

from schemas.errors import NotAcceptable
from schemas.fhir.full import checked, validate


def paths(resource: Any) -> list[str]:
    with pytest.raises(NotAcceptable) as caught:
        validate(resource)
    return [issue.path for issue in caught.value.issues]


def test_sound_resources_pass(make: Any) -> None:
    for resource in (make.observation(), make.condition(), make.patient(), make.imaging_study()):
        assert checked(resource) is resource


def test_wrong_elements_are_named_without_their_values(make: Any) -> None:
    secret = "Mustermann"
    bad = make.observation(effectiveDateTime=secret, subject={"reference": "Patient/p1", secret + " x": 1})
    with pytest.raises(NotAcceptable) as caught:
        validate(bad)
    assert {issue.path for issue in caught.value.issues} == {
        "Observation.effectiveDateTime",
        "Observation.subject.(not an element)",
    }
    assert secret not in caught.value.detail + str(caught.value.issues)


@pytest.mark.parametrize("resource", [{}, {"resourceType": 3}])
def test_a_missing_type_is_named(resource: Any) -> None:
    assert paths(resource) == ["resourceType"]


def test_an_unknown_type_is_refused_alone_and_inside_a_bundle(make: Any) -> None:
    assert paths({"resourceType": "Grommet"}) == ["Grommet"]
    assert paths(make.bundle("collection", {"resource": {"resourceType": "Grommet"}}))


def test_extensions_nested_without_end_are_refused(make: Any) -> None:
    extension: Any = {"url": "http://x", "valueString": "end"}
    for _ in range(400):
        extension = {"url": "http://x", "extension": [extension]}
    assert paths(make.patient(extension=[extension]))
