"""Who gets in with a token, and why not. Requirement numbers are those of the CDS Hooks list, rows 41-47."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateways.access.remote_keys import FRESH_SECONDS, MOST_ADDRESSES, RETRY_SECONDS, STALE_SECONDS, RemoteKeys
from gateways.access.replay import SeenTokens
from schemas.config import CdsClient
from schemas.errors import Unavailable
from services.tokens import TokenRefused, Tokens

URL = "http://127.0.0.1:8080/cds-services/vertebral-fracture-risk-view"


@pytest.fixture
def client(signer: Any, write_jwks: Callable[..., Path]) -> CdsClient:
    return CdsClient(name="sandbox", issuer=signer.issuer, jwks_file=write_jwks(signer), algorithms=["ES384"])


@pytest.fixture
def tokens(client: CdsClient) -> Tokens:
    return Tokens([client])


def test_a_signed_token_for_this_url_lets_its_client_in(tokens: Tokens, signer: Any) -> None:
    assert tokens.check(signer.token(URL), [URL]).name == "sandbox"


def test_an_audience_may_be_a_list(tokens: Tokens, signer: Any) -> None:
    assert tokens.check(signer.token(URL, aud=["https://other.example", URL]), [URL]).name == "sandbox"


@pytest.mark.parametrize("algorithm", ["RS384", "ES256", "RS256"])
def test_every_configurable_algorithm_works(
    make_signer: Callable[..., Any], write_jwks: Callable[..., Path], algorithm: Any
) -> None:
    other = make_signer("https://ehr.example", algorithm)
    client = CdsClient(name="ehr", issuer=other.issuer, jwks_file=write_jwks(other), algorithms=[algorithm])
    assert Tokens([client]).check(other.token(URL), [URL]).name == "ehr"


@pytest.mark.parametrize("claim", ["exp", "iat", "jti", "iss", "aud"])
def test_a_token_without_a_required_claim_is_refused(tokens: Tokens, signer: Any, claim: str) -> None:
    with pytest.raises(TokenRefused):
        tokens.check(signer.token(URL, **{claim: None}), [URL])


@pytest.mark.parametrize(
    ("claims", "words"),  # times are those of the collection, some minutes before the test on a busy machine
    [
        ({"exp": int(time.time()) - 60}, "`exp` is in the past"),
        ({"iat": int(time.time()) + 86_400}, "in the future"),
        ({"nbf": int(time.time()) + 86_400}, "in the future"),
        ({"aud": "https://elsewhere.example/cds-services/x"}, "`aud`"),
        ({"iss": "https://unknown.example"}, "`iss`"),
        ({"exp": int(time.time()) + 90_000}, "ahead"),
        ({"jti": ""}, "`jti`"),
        ({"jti": "x" * 300}, "`jti`"),
        ({"exp": "soon"}, "malformed"),
    ],
)
def test_a_wrong_claim_is_named_in_the_refusal(tokens: Tokens, signer: Any, claims: dict[str, Any], words: str) -> None:
    with pytest.raises(TokenRefused, match=words):
        tokens.check(signer.token(URL, **claims), [URL])


def test_an_issue_time_rounded_up_by_the_client_is_let_through(tokens: Tokens, signer: Any) -> None:
    assert tokens.check(signer.token(URL, iat=int(time.time()) + 1), [URL])


def test_a_token_works_once(tokens: Tokens, signer: Any) -> None:
    token = signer.token(URL)
    tokens.check(token, [URL])
    with pytest.raises(TokenRefused, match="used before"):
        tokens.check(token, [URL])


def test_a_refused_token_does_not_use_up_its_jti(tokens: Tokens, signer: Any) -> None:
    with pytest.raises(TokenRefused):
        tokens.check(signer.token("https://elsewhere.example", jti="j1"), [URL])
    assert tokens.check(signer.token(URL, jti="j1"), [URL])


def test_remembered_tokens_are_forgotten_when_they_expire() -> None:
    clock = [1000.0]
    seen = SeenTokens(lambda: clock[0])
    assert seen.first_time("i", "j", 1300)
    assert not seen.first_time("i", "j", 1300)
    assert seen.first_time("other issuer", "j", 1300)
    clock[0] = 1400
    assert seen.first_time("i", "k", 1700)
    assert len(seen._until) == 1


def test_an_unsigned_token_is_refused(tokens: Tokens, signer: Any) -> None:
    claims = jwt.decode(signer.token(URL), options={"verify_signature": False})
    token = jwt.encode(claims, None, algorithm="none", headers={"kid": signer.kid})
    with pytest.raises(TokenRefused, match="`alg`"):
        tokens.check(token, [URL])


def test_a_symmetric_signature_made_with_the_public_key_is_refused(tokens: Tokens, signer: Any) -> None:
    secret = signer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = signer.token(URL).split(".")[1]
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS384", "typ": "JWT", "kid": signer.kid}).encode()).decode()
    signed = f"{head.rstrip('=')}.{claims}"
    seal = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha384")).decode().rstrip("=")
    with pytest.raises(TokenRefused, match="`alg`"):
        tokens.check(f"{signed}.{seal}", [URL])


def test_a_key_of_another_kind_than_the_algorithm_is_refused(
    make_signer: Callable[..., Any], write_jwks: Callable[..., Path], signer: Any
) -> None:
    small = make_signer(signer.issuer, "ES256")
    client = CdsClient(name="c", issuer=signer.issuer, jwks_file=write_jwks(small), algorithms=["ES384"])
    with pytest.raises(TokenRefused, match="fits its `alg`"):
        Tokens([client]).check(signer.token(URL, {"kid": small.kid}), [URL])


def test_somebody_elses_signature_is_refused(tokens: Tokens, make_signer: Callable[..., Any], signer: Any) -> None:
    stranger = make_signer(signer.issuer)
    with pytest.raises(TokenRefused, match="signature"):
        tokens.check(stranger.token(URL, {"kid": signer.kid}), [URL])


@pytest.mark.parametrize("header", [{"typ": "JOSE"}, {"kid": "unknown"}])
def test_a_wrong_header_is_refused(tokens: Tokens, signer: Any, header: dict[str, str]) -> None:
    with pytest.raises(TokenRefused):
        tokens.check(signer.token(URL, header), [URL])


def test_a_key_address_in_the_header_is_never_followed(tokens: Tokens, signer: Any) -> None:
    assert tokens.check(signer.token(URL, {"jku": "http://127.0.0.1:1/jwks.json"}), [URL]).name == "sandbox"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "." * 40, "e" * 9000, base64.b64encode(b"{}").decode() + ".e30.x"])
def test_rubbish_is_refused_and_not_a_crash(tokens: Tokens, token: str) -> None:
    with pytest.raises(TokenRefused):
        tokens.check(token, [URL])


def test_one_issuer_may_serve_several_tenants(signer: Any, write_jwks: Callable[..., Path]) -> None:
    path = write_jwks(signer)
    clients = [CdsClient(name=name, issuer=signer.issuer, jwks_file=path, tenant=name) for name in ("north", "south")]
    tokens = Tokens(clients)
    assert tokens.check(signer.token(URL, tenant="south"), [URL]).name == "south"
    with pytest.raises(TokenRefused, match="tenant"):
        tokens.check(signer.token(URL, tenant="west"), [URL])


class Web:
    """Stands for the client's web server: what lies where, and what was asked for."""

    def __init__(self, **pages: Any) -> None:
        self.pages = {name.replace("_", "/"): rows for name, rows in pages.items()}
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        rows = self.pages.get(url.removeprefix("https://far.example/"))
        if rows is None:
            raise Unavailable("nothing there")
        return json.dumps({"keys": [row.jwk() for row in rows]}).encode()


def far(**changes: Any) -> CdsClient:
    return CdsClient(name="far", issuer="https://far.example", algorithms=["ES384"], **changes)


def test_45_keys_are_fetched_once_from_the_configured_address(make_signer: Callable[..., Any]) -> None:
    theirs = make_signer("https://far.example")
    web = Web(keys=[theirs])
    tokens = Tokens([far(jwks_url="https://far.example/keys")], fetch=web)
    for _ in range(3):
        assert tokens.check(theirs.token(URL, {"jku": "https://evil.example/keys"}), [URL]).name == "far"
    assert web.asked == ["https://far.example/keys"]


def test_45_a_rotated_key_is_fetched_when_its_kid_is_first_seen_and_made_up_kids_are_not_followed_up(
    make_signer: Callable[..., Any],
) -> None:
    old, new = make_signer("https://far.example"), make_signer("https://far.example")
    web, clock = Web(keys=[old]), [0.0]
    keys = RemoteKeys("https://far.example/keys", fetch=web, clock=lambda: clock[0])
    assert keys.find(old.kid)
    web.pages["keys"] = [old, new]
    clock[0] = RETRY_SECONDS + 1
    assert keys.find(new.kid)
    for number in range(20):
        assert keys.find(f"made-up-{number}") is None
    assert len(web.asked) == 2
    web.pages.clear()
    clock[0] += FRESH_SECONDS + 1
    assert keys.find(new.kid), "keys outlive their server's absence"
    clock[0] += STALE_SECONDS
    with pytest.raises(Unavailable):
        keys.find(new.kid)


def test_45_a_jku_counts_only_from_an_allowed_host(make_signer: Callable[..., Any]) -> None:
    theirs = make_signer("https://far.example")
    web = Web(site1_jwks=[theirs])
    tokens = Tokens([far(jku_origins=["https://far.example"])], fetch=web)
    assert tokens.check(theirs.token(URL, {"jku": "https://far.example/site1/jwks"}), [URL]).name == "far"
    for jku in (
        "https://evil.example/site1/jwks",
        "https://far.example.evil.example/site1/jwks",
        "https://far.example@evil.example/site1/jwks",
        "https://far.example:8443/site1/jwks",
        "http://far.example/site1/jwks",
        "file:///etc/passwd",
        "https://[",
        7,
    ):
        with pytest.raises(TokenRefused, match="jku"):
            tokens.check(theirs.token(URL, {"jku": jku}), [URL])
    assert web.asked == ["https://far.example/site1/jwks"]
    with pytest.raises(TokenRefused, match="out of band"):
        tokens.check(theirs.token(URL), [URL])


def test_45_a_whole_address_allows_that_address_alone(make_signer: Callable[..., Any]) -> None:
    theirs = make_signer("https://far.example")
    web = Web(a=[theirs], b=[theirs])
    tokens = Tokens([far(jku_origins=["https://far.example/a"])], fetch=web)
    assert tokens.check(theirs.token(URL, {"jku": "https://far.example/a"}), [URL])
    with pytest.raises(TokenRefused, match="jku"):
        tokens.check(theirs.token(URL, {"jku": "https://far.example/b"}), [URL])


def test_45_the_number_of_addresses_that_tokens_can_make_us_ask_is_bounded(make_signer: Callable[..., Any]) -> None:
    theirs = make_signer("https://far.example")
    web = Web()
    tokens = Tokens([far(jku_origins=["https://far.example"])], fetch=web)
    for number in range(50):
        with pytest.raises((TokenRefused, Unavailable)):
            tokens.check(theirs.token(URL, {"jku": f"https://far.example/{number}"}), [URL])
    assert len(web.asked) == MOST_ADDRESSES


def test_keys_in_the_clear_are_refused_off_loopback() -> None:
    with pytest.raises(ValueError, match="https"):
        far(jwks_url="http://far.example/keys")
    assert far(jwks_url="http://127.0.0.1:9000/keys").jwks_url
