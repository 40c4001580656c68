"""Reading with a lent token: all pages, in parallel, in time, and the token nowhere else."""

import time
from collections.abc import Iterator

import pytest

from gateways.fhir.ehr_reads import MOST_PAGES, EhrReads, Loan, below
from tests.services.fhir_server import FhirServer, fhir_server


@pytest.fixture
def ehr() -> Iterator[FhirServer]:
    with fhir_server() as here:
        yield here


@pytest.fixture
def reads() -> Iterator[EhrReads]:
    found = EhrReads()
    yield found
    found.close()


def loan(ehr: FhirServer) -> Loan:
    return Loan(ehr.base, "t0ken")


def test_17_18_20_all_pages_are_read_with_the_token(ehr: FhirServer, reads: EhrReads) -> None:
    ehr.answers["Patient/p1"] = (200, {"resourceType": "Patient", "id": "p1"})
    ehr.bundle("Observation?patient=p1", {"id": "o1"}, following=f"{ehr.base}/Observation?page=2")
    ehr.bundle("Observation?page=2", {"id": "o2"})
    found = reads.fetch(loan(ehr), {"patient": "Patient/p1", "dxa": "Observation?patient=p1"}, seconds=5)
    assert [row["id"] for row in found["dxa"].resources] == ["o1", "o2"]
    assert found["patient"].resources[0]["id"] == "p1"
    assert {token for _, token in ehr.asked} == {"Bearer t0ken"}
    assert set(ehr.cookies) == {None}, "a server's cookie of one call must not come with the next"


def test_17_the_token_goes_to_no_other_address(ehr: FhirServer, reads: EhrReads) -> None:
    with fhir_server() as other:
        ehr.answers["Patient/p1"] = (302, {"location": f"{other.base}/Patient/p1"})
        ehr.bundle("Observation?a", {"id": "o1"}, following=f"{other.base}/Observation?page=2")
        ehr.bundle("Observation?b", {"id": "o1"}, following=ehr.base.replace("/fhir", "/elsewhere/x"))
        found = reads.fetch(loan(ehr), {"patient": "Patient/p1", "a": "Observation?a", "b": "Observation?b"}, seconds=5)
        assert other.asked == []
    assert found["patient"].problem == "status-302"
    assert found["a"].problem == found["b"].problem == "next-page-elsewhere"
    assert "t0ken" not in repr(loan(ehr))


def test_17_the_token_is_never_sent_in_the_clear_off_loopback(reads: EhrReads) -> None:
    found = reads.fetch(Loan("http://ehr.example/fhir", "t"), {"patient": "Patient/p1"}, seconds=5)
    assert found["patient"].problem == "not-https"


def test_22_a_slow_server_costs_its_time_and_no_more(ehr: FhirServer, reads: EhrReads) -> None:
    ehr.answers["Patient/p1"] = (200, {"resourceType": "Patient", "id": "p1"})
    queries = {str(n): "Patient/p1" for n in range(4)}
    reads.fetch(loan(ehr), queries, seconds=5)
    ehr.seconds = 0.3
    began = time.monotonic()
    found = reads.fetch(loan(ehr), queries, seconds=2)
    assert time.monotonic() - began < 0.9, "four queries at once take the time of one"
    assert all(row.problem is None for row in found.values())
    began = time.monotonic()
    found = reads.fetch(loan(ehr), queries, seconds=0.1)
    assert time.monotonic() - began < 0.25
    assert {row.problem for row in found.values()} == {"timeout"}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((404, {}), "not-found"),
        ((503, {}), "status-503"),
        ((200, []), "not-json"),
        ((200, {"resourceType": "OperationOutcome"}), "refused"),
    ],
)
def test_what_went_wrong_has_a_code(ehr: FhirServer, reads: EhrReads, answer: tuple[int, dict], problem: str) -> None:  # type: ignore[type-arg]  # hostile on purpose
    ehr.answers["Patient/p1"] = answer
    assert reads.fetch(loan(ehr), {"patient": "Patient/p1"}, seconds=5)["patient"].problem == problem


def test_pages_without_end_are_left(ehr: FhirServer, reads: EhrReads) -> None:
    ehr.bundle("Observation?x", {"id": "o1"}, following=f"{ehr.base}/Observation?x")
    found = reads.fetch(loan(ehr), {"dxa": "Observation?x"}, seconds=5)["dxa"]
    assert found.problem == "too-much"
    assert len(ehr.asked) == MOST_PAGES


def test_no_answer_at_all_is_said(reads: EhrReads) -> None:
    found = reads.fetch(Loan("http://127.0.0.1:1/fhir", "t"), {"patient": "Patient/p1"}, seconds=5)
    assert found["patient"].problem == "no-answer"


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("https://ehr.example/fhir/Observation?page=2", True),
        ("https://ehr.example/fhir?_getpages=1", True),
        ("https://ehr.example/fhirx/Observation", False),
        ("https://ehr.example:444/fhir/Observation", False),
        ("http://ehr.example/fhir/Observation", False),
        ("https://ehr.example@evil.example/fhir/x", False),
        ("https://u@ehr.example/fhir/x", False),
        ("https://ehr.example/fhir/../admin", False),
        ("https://ehr.example/fhir/%2e%2e/admin", False),
        ("//ehr.example/fhir/x", False),
        ("https://[", False),
        ("Observation?page=2", False),
    ],
)
def test_the_next_page_must_lie_below_the_very_base(url: str, inside: bool) -> None:
    assert below(url, "https://ehr.example/fhir") is inside
