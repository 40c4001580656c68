"""The EHR: what is sent, what is tried again, and what never is. Against a real HTTP server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways.fhir.ehr import Ehr
from gateways.settings import Settings
from schemas.config import Auth
from schemas.config import Ehr as EhrConfig
from schemas.errors import EhrUnavailable, NotConfigured, Rejected
from tests.ehr_server import Server, reply, running

BUNDLE = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": {}}, {"resource": {}}]}


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as one:
        yield one


def test_a_transaction_goes_to_the_base_and_its_statuses_come_back(server: Server) -> None:
    server.answer = (200, {}, reply("201 Created", "200 OK"))
    assert Ehr(EhrConfig(base_url=server.url)).send(BUNDLE) == ["201 Created", "200 OK"]
    path, headers, sent = server.came[0]
    assert path == "/fhir"
    assert headers["Content-Type"] == "application/fhir+json"
    assert "Authorization" not in headers
    assert sent == BUNDLE


def test_a_bearer_token_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EHR_TOKEN", "made-up")
    server.answer = (200, {}, reply("201", "201"))
    Ehr(EhrConfig(base_url=server.url, auth=Auth(kind="bearer", token_env="EHR_TOKEN"))).send(BUNDLE)
    assert server.came[0][1]["Authorization"] == "Bearer made-up"


@pytest.mark.parametrize(
    "auth", [Auth(kind="bearer", token_env="NOT_SET"), Auth(kind="basic"), Auth(kind="backend-services")]
)
def test_a_login_that_cannot_work_is_refused_at_once(auth: Auth) -> None:
    with pytest.raises(NotConfigured, match=r"ehr\.auth"):
        Ehr(EhrConfig(base_url="https://ehr.example/fhir", auth=auth))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_ehr_is_tried_again_when_it_says(server: Server, status: int) -> None:
    server.answer = (status, {"Retry-After": "17"}, {})
    with pytest.raises(EhrUnavailable) as caught:
        Ehr(EhrConfig(base_url=server.url)).send(BUNDLE)
    assert caught.value.retry_after_s == 17.0


def test_an_ehr_that_is_away_is_tried_again() -> None:
    with pytest.raises(EhrUnavailable, match="did not answer"):
        Ehr(EhrConfig(base_url="http://127.0.0.1:1/fhir")).send(BUNDLE)


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.answer = (307, {"Location": "http://127.0.0.1:1/elsewhere"}, {})
    with pytest.raises(Rejected, match="answered 307"):
        Ehr(EhrConfig(base_url=server.url)).send(BUNDLE)
    assert len(server.came) == 1


def test_a_refusal_is_final_and_its_words_stay_out(server: Server) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "invalid", "diagnostics": "Jane Canary"}]}
    server.answer = (422, {}, outcome)
    with pytest.raises(Rejected, match="invalid") as caught:
        Ehr(EhrConfig(base_url=server.url)).send(BUNDLE)
    assert "Canary" not in caught.value.detail


@pytest.mark.parametrize(
    "document",
    [reply("201 Created"), reply("201 Created", "422"), {"resourceType": "Patient"}, b"<html>"],
    ids=["one entry missing", "one entry refused", "no Bundle", "no JSON"],
)
def test_a_reply_that_does_not_match_is_no_success(server: Server, document: Any) -> None:
    server.answer = (200, {}, document)
    with pytest.raises(Rejected):
        Ehr(EhrConfig(base_url=server.url)).send(BUNDLE)


def test_the_variable_changes_the_address_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("ehr: {base_url: https://a.example/fhir, writes: client-ids, ca_file: ca.pem}")
    found = Settings(config=tmp_path / "c.yaml", ehr_base_url="https://b.example/fhir").structured().ehr
    assert found is not None
    assert (found.base_url, found.writes, str(found.ca_file)) == ("https://b.example/fhir", "client-ids", "ca.pem")
    assert not found.private_network
    alone = Settings(ehr_base_url="http://hapi:8080/fhir").structured().ehr
    assert alone is not None
    assert alone.private_network, "there is no other place to say so"
