"""OAuth2 access tokens of senders: whose they are, and what is wrong with those that are refused."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from schemas.config import Sender
from schemas.errors import NotConfigured, Unavailable
from services.access_tokens import REMEMBERED_SECONDS, AccessTokens
from services.tokens import TokenRefused

ISSUER = "https://login.example/realms/hospital"
AUDIENCE = "https://vbq.example"


@pytest.fixture(scope="module")
def server(make_signer: Callable[..., Any]) -> Any:
    """The authorization server's key."""
    return make_signer(ISSUER, "RS256")


def sender(path: Path, **changes: Any) -> Sender:
    return Sender(**{"name": "ris", "issuer": ISSUER, "jwks_file": path, "audience": [AUDIENCE], **changes})


def token(signer: Any, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """An access token as Keycloak makes it, more or less: no `jti` that we would look at, `azp` and `sub`."""
    given = {"jti": None, "azp": "ris-client", "sub": "service-account", "typ": "Bearer", **claims}
    made: str = signer.token(AUDIENCE, {"typ": "at+jwt", **(header or {})}, **given)
    return made


def test_an_access_token_names_its_sender_and_may_be_used_again(server: Any, write_jwks: Callable[..., Path]) -> None:
    path = write_jwks(server)
    senders = [sender(path, client_id="ris-client"), sender(path, name="lab", client_id="lab-client")]
    tokens = AccessTokens(senders, [])
    mine = token(server)
    assert [tokens.by_token(mine).name for _ in range(3)] == ["ris"] * 3
    assert tokens.by_token(token(server, azp="x", client_id="lab-client")).name == "lab"
    assert tokens.by_token(token(server, azp=None, sub="lab-client", aud=["other", AUDIENCE])).name == "lab"


@pytest.mark.parametrize(
    ("header", "claims", "words"),
    [
        ({}, {"exp": int(time.time()) - 60}, "`exp`"),
        ({}, {"exp": None}, "required claim"),
        ({}, {"aud": None}, "required claim"),
        ({}, {"aud": "https://else.example"}, "`aud`"),
        ({}, {"nbf": int(time.time()) + 86_400}, "future"),
        ({}, {"iss": "https://login.example/realms/other"}, "`iss`"),
        ({}, {"azp": "nobody"}, "`client_id`"),
        ({"kid": "unknown"}, {}, "`kid`"),
        ({"kid": "k" * 300}, {}, "`kid`"),
        ({"typ": "id+jwt"}, {}, "`typ`"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_without_repeating_it(
    server: Any, write_jwks: Callable[..., Path], header: dict[str, Any], claims: dict[str, Any], words: str
) -> None:
    tokens = AccessTokens([sender(write_jwks(server), client_id="ris-client")], [])
    with pytest.raises(TokenRefused) as caught:
        tokens.by_token(token(server, header, **claims))
    assert words in caught.value.why
    assert "nobody" not in caught.value.why


def test_no_key_of_ones_own_and_no_other_algorithm(
    server: Any, make_signer: Callable[..., Any], write_jwks: Callable[..., Path]
) -> None:
    path = write_jwks(server)
    tokens = AccessTokens([sender(path, algorithms=["RS256"])], [])
    forged = make_signer(ISSUER, "RS256")
    forged.kid = server.kid
    with pytest.raises(TokenRefused, match="signature"):
        tokens.by_token(token(forged))
    public = "the public key as a shared secret, as an attacker would take it"
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 60}
    for made in (
        jwt.encode(claims, public, algorithm="HS256", headers={"kid": server.kid}),
        jwt.encode(claims, None, algorithm="none", headers={"kid": server.kid}),
        token(make_signer(ISSUER, "ES384")),
        "a.b.c",
        "e30.e30.",
        ".".join(["x" * 4000] * 3),
    ):
        with pytest.raises(TokenRefused):
            tokens.by_token(made)


def test_a_token_that_was_checked_is_remembered_for_a_short_while_and_never_past_its_end(
    server: Any, write_jwks: Callable[..., Path]
) -> None:
    now = [time.time()]
    path = write_jwks(server)
    tokens = AccessTokens([sender(path)], [], clock=lambda: now[0])
    long, short = token(server), token(server, exp=int(now[0]) + 5)
    assert tokens.by_token(long).name == tokens.by_token(short).name == "ris"
    path.write_text('{"keys": [{"kty": "OKP"}]}')  # the key is gone (an unreadable file would leave the old one)
    assert tokens.by_token(long).name == "ris"
    now[0] += 10
    assert short not in str(tokens.__dict__), "what is remembered is a hash"
    now[0] += REMEMBERED_SECONDS


def test_keys_behind_an_address_are_fetched_and_rotation_is_followed(
    server: Any, make_signer: Callable[..., Any]
) -> None:
    keys = [server]
    asked: list[str] = []

    def get(url: str) -> bytes:
        asked.append(url)
        if not keys:
            raise Unavailable("away")
        return json.dumps({"keys": [one.jwk() for one in keys]}).encode()

    url = "https://login.example/certs"
    remote = Sender(name="ris", issuer=ISSUER, jwks_url=url, audience=[AUDIENCE])
    assert AccessTokens([remote], [], fetch=get).by_token(token(server)).name == "ris"
    assert asked == [url]
    keys.clear()
    with pytest.raises(Unavailable):
        AccessTokens([remote], [], fetch=get).by_token(token(server))


def test_senders_that_share_an_issuer_must_be_told_apart(server: Any, write_jwks: Callable[..., Path]) -> None:
    path = write_jwks(server)
    for second in ({}, {"client_id": "a"}):
        with pytest.raises(NotConfigured, match="client_id"):
            AccessTokens([sender(path, client_id="a"), sender(path, name="lab", **second)], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_url": "http://login.example/certs"},
        {"jwks_url": "https://login.example/certs"},
        {"issuer": ISSUER, "jwks_url": "https://login.example/certs", "algorithms": ["HS256"]},
        {"issuer": ISSUER, "jwks_url": "https://login.example/certs", "requests_per_second": 0},
    ],
)
def test_a_sender_whose_tokens_could_not_be_checked_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="1 validation error"):
        Sender(name="ris", **wrong)


@pytest.fixture
def client(make_app: Callable[..., Flask], server: Any, write_jwks: Callable[..., Path]) -> FlaskClient:
    path = str(write_jwks(server, name="senders.json"))
    return make_app({"senders": [{"name": "ris", "issuer": ISSUER, "jwks_file": path}]}).test_client()


def test_an_access_token_for_this_service_lets_events_in_and_results_out(client: FlaskClient, server: Any) -> None:
    patient = {"resourceType": "Patient", "id": "p1"}
    for audience in ("http://127.0.0.1:8080", "http://localhost:8080/events"):
        headers = {"Authorization": f"Bearer {token(server, aud=audience)}"}
        assert client.post("/events", json=patient, headers=headers).status_code in (200, 202)
        assert client.get("/fhir/RiskAssessment", headers=headers).status_code == 200
    refused = client.post("/events", json=patient, headers={"Authorization": f"Bearer {token(server)}"})
    assert refused.status_code == 401
    assert "`aud`" in refused.get_json()["issue"][0]["diagnostics"]
    assert client.get("/fhir/RiskAssessment", headers={"Authorization": f"Bearer {token(server)}"}).status_code == 401
