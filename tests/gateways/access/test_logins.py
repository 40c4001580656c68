"""Logging in: what is sent, what is kept, what is refused. The token endpoint checks assertions as SMART says."""

import json
import stat
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateways.access.logins import Login, login
from gateways.access.private_keys import read_signing_key, thumbprint
from gateways.fhir.client import FhirClient
from gateways.fhir.http import FhirHttp, Limits
from schemas.config import Auth
from schemas.errors import EhrUnavailable, NotConfigured, Rejected
from tests.ehr_server import sekmet
from tests.hostile_server import Answer, Asked, Hostile, hostile

CLIENT = "vbq-made-up"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP384R1())


def pem(key: Any, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden))


def private_jwk(key: Any, **more: str) -> dict[str, Any]:
    make = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else jwt.algorithms.RSAAlgorithm
    return {**make.to_jwk(key, as_dict=True), **more}


@pytest.fixture
def key_file(tmp_path: Path) -> Callable[[bytes | dict[str, Any]], Path]:
    def write(content: bytes | dict[str, Any]) -> Path:
        path = tmp_path / f"key{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        path.chmod(stat.S_IRUSR)
        return path

    return write


@dataclass
class Authority:
    """A FHIR server whose token endpoint checks assertions as SMART App Launch 2.2 says, unless told otherwise."""

    server: Hostile
    public: Any
    algorithm: str
    life: Any = 300
    odd: Answer | None = None
    metadata: dict[str, Any] | None = None
    good: set[str] = field(default_factory=set)
    now: list[float] = field(default_factory=lambda: [time.time()])
    seen: set[str] = field(default_factory=set)
    headers: list[dict[str, Any]] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == ".well-known/smart-configuration":
            return Answer(200, self.metadata or {"token_endpoint": f"{self.server.base}/token"})
        if asked.path == "token":
            return self.odd or self.token(asked)
        kind, _, token = (asked.token or "").partition(" ")
        if kind != "Bearer" or token not in self.good:
            return Answer(401, {})
        return Answer(200, {"resourceType": "Patient", "id": "p1"})

    def token(self, asked: Asked) -> Answer:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        claims = jwt.decode(
            form["client_assertion"],
            self.public,
            algorithms=[self.algorithm],
            audience=f"{self.server.base}/token",
            options={"require": ["exp", "iss", "sub", "aud", "jti"]},
        )
        assert claims["iss"] == claims["sub"] == CLIENT
        assert self.now[0] < claims["exp"] <= self.now[0] + 300
        assert claims["jti"] not in self.seen
        self.seen.add(claims["jti"])
        self.headers.append(jwt.get_unverified_header(form["client_assertion"]))
        self.scopes.append(form["scope"])
        token = f"made-up.{len(self.seen)}"
        self.good = {token}
        return Answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": self.life})


@pytest.fixture
def authority() -> Iterator[Authority]:
    with hostile(lambda asked: Answer(500)) as server:
        found = Authority(server, EC.public_key(), "ES384")
        server.script = found
        yield found


def signed_in(authority: Authority, path: Path, clock: Callable[[], float] = time.time, **more: Any) -> Login:
    auth = Auth(kind="backend-services", client_id=CLIENT, key_file=path, **more)
    return login(auth, base_url=authority.server.base, setting="ehr.auth", clock=clock)


def read(authority: Authority, mine: Login) -> None:
    with FhirClient(FhirHttp(authority.server.base, mine, limits=Limits())) as client:
        assert client.read("Patient/p1")["id"] == "p1"


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS384"), (EC, "ES384")], ids=["RS384", "ES384"])
def test_a_signed_assertion_gets_a_token_that_reads(
    authority: Authority, key_file: Callable[[Any], Path], key: Any, algorithm: str
) -> None:
    authority.public, authority.algorithm = key.public_key(), algorithm
    mine = signed_in(authority, key_file(pem(key)))
    read(authority, mine)
    read(authority, mine)
    assert authority.server.paths("POST") == ["token"], "the token is kept"
    assert authority.server.paths()[:1] == [".well-known/smart-configuration"]
    assert authority.headers == [{"alg": algorithm, "kid": thumbprint(key), "typ": "JWT"}]
    assert authority.scopes == ["system/*.read"]


def test_a_token_is_renewed_shortly_before_its_end_with_a_fresh_assertion(
    authority: Authority, key_file: Callable[[Any], Path]
) -> None:
    now = authority.now
    mine = signed_in(authority, key_file(pem(EC)), lambda: now[0], scopes="system/Patient.rs", key_id="k7")
    read(authority, mine)
    for seconds, asked in ((269, 1), (2, 2), (10, 2)):
        now[0] = now[0] + seconds
        headers = mine.headers()
        assert len(authority.seen) == asked
        assert headers == {"Authorization": f"Bearer made-up.{asked}"}
    assert len(authority.seen) == 2, "each assertion has a jti of its own"
    assert authority.scopes == ["system/Patient.rs"] * 2
    assert {row["kid"] for row in authority.headers} == {"k7"}


@pytest.mark.parametrize(("life", "kept"), [(8, 4), (20, 10), ("600", 570), (None, 270), (True, 270), ("soon", 270)])
def test_odd_lives_of_tokens(authority: Authority, key_file: Callable[[Any], Path], life: Any, kept: float) -> None:
    now = authority.now
    authority.life = life
    mine = signed_in(authority, key_file(pem(EC)), lambda: now[0])
    mine.headers()
    now[0] += max(5, kept) - 0.5
    mine.headers()
    assert len(authority.seen) == 1
    now[0] += 1
    mine.headers()
    assert len(authority.seen) == 2


def test_a_401_costs_one_renewal_and_no_more(authority: Authority, key_file: Callable[[Any], Path]) -> None:
    mine = signed_in(authority, key_file(pem(EC)))
    read(authority, mine)
    authority.good = set()  # the server forgot our token
    read(authority, mine)
    assert len(authority.seen) == 2
    authority.odd = Answer(200, {"access_token": "useless", "token_type": "bearer", "expires_in": 300})
    authority.good = set()
    authority.server.asked.clear()
    with pytest.raises(EhrUnavailable) as caught:
        read(authority, mine)
    assert caught.value.reason_code == "ehr-login"
    assert authority.server.paths() == ["Patient/p1", "Patient/p1"]
    assert authority.server.paths("POST") == ["token"]


@pytest.mark.parametrize(
    ("odd", "words", "code"),
    [
        (Answer(401, {"error": "invalid_client", "error_description": "Jane Canary"}), "invalid_client", "ehr-login"),
        (Answer(400, {"error": "<script>"}), "no OAuth error code", "ehr-login"),
        (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), "answered 302", "ehr-login"),
        (Answer(503, {}, {"Retry-After": "9"}), "answered 503", "ehr-unavailable"),
        (Answer(cut=True), "did not answer", "ehr-unavailable"),
        (Answer(200, b"x" * 70_000), "larger than", "ehr-login"),
        (Answer(200, b"<html>"), "no access_token", "ehr-login"),
        (Answer(200, {"access_token": "a", "token_type": "mac"}), "not of type bearer", "ehr-login"),
        (Answer(200, {"access_token": "a\r\nX-Evil: 1", "token_type": "bearer"}), "no access_token", "ehr-login"),
        (Answer(200, {"access_token": 7, "token_type": "bearer"}), "no access_token", "ehr-login"),
    ],
)
def test_what_a_token_endpoint_may_answer(
    authority: Authority, key_file: Callable[[Any], Path], odd: Answer, words: str, code: str
) -> None:
    authority.odd = odd
    with pytest.raises(EhrUnavailable, match=words) as caught:
        read(authority, signed_in(authority, key_file(pem(EC))))
    assert caught.value.reason_code == code
    assert "Canary" not in caught.value.detail
    assert "Patient/p1" not in authority.server.paths()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"issuer": "x"}, "set auth.token_url"),
        ({"token_endpoint": 7}, "set auth.token_url"),
        ({"token_endpoint": "ftp://x/y"}, "set auth.token_url"),
        ({"token_endpoint": "https://login.example/token"}, r"another origin \(https://login.example\)"),
    ],
)
def test_a_token_endpoint_elsewhere_must_be_configured(
    authority: Authority, key_file: Callable[[Any], Path], metadata: dict[str, Any], words: str
) -> None:
    authority.metadata = metadata
    with pytest.raises(NotConfigured, match=words):
        signed_in(authority, key_file(pem(EC))).headers()
    read(authority, signed_in(authority, key_file(pem(EC)), token_url=f"{authority.server.base}/token"))


def test_a_key_may_be_a_jwk_or_one_of_a_jwks(key_file: Callable[[Any], Path]) -> None:
    found = read_signing_key(key_file(private_jwk(EC, kid="e1")), None, "k")
    assert (found.algorithm, found.kid) == ("ES384", "e1")
    several = {"keys": [private_jwk(EC, kid="e1"), private_jwk(RSA, kid="r1", use="sig")]}
    assert read_signing_key(key_file(several), "r1", "k").algorithm == "RS384"
    assert read_signing_key(key_file({"keys": [private_jwk(RSA)]}), None, "k").kid == thumbprint(RSA)
    for key_id in (None, "other"):
        with pytest.raises(NotConfigured, match="holds 2 private keys"):
            read_signing_key(key_file(several), key_id, "k")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pem(RSA, b"secret"), "encrypted"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "too short"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "P-384"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "neither RSA nor EC"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key in PEM"),
        (b"", "neither PEM nor"),
        (b"x" * 70_000, "larger than"),
        ({"kty": "RSA", "d": "x", "n": "y", "e": "z"}, "no RSA or EC private key"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "0 private keys"),
        ({"keys": 7}, "neither PEM nor"),
        ({"keys": [{"kty": "oct", "d": "x"}]}, "no RSA or EC private key"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_in_words(key_file: Callable[[Any], Path], content: Any, words: str) -> None:
    with pytest.raises(NotConfigured, match=words) as caught:
        read_signing_key(key_file(content), None, "ehr.auth.key_file")
    assert "secret" not in caught.value.detail
    assert caught.value.detail.startswith("ehr.auth.key_file")


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({"kind": "bearer"}, r"ehr\.auth\.token_env"),
        ({"kind": "bearer", "token_env": "NOT_SET"}, r"ehr\.auth\.token_env"),
        ({"kind": "bearer", "token_env": "ODD"}, "spaces"),
        ({"kind": "basic", "username_env": "USER_ENV"}, r"ehr\.auth\.password_env"),
        ({"kind": "basic", "username_env": "COLON", "password_env": "USER_ENV"}, "colon"),
        ({"kind": "backend-services", "key_file": "x"}, r"ehr\.auth\.client_id"),
        ({"kind": "backend-services", "client_id": "x"}, r"ehr\.auth\.key_file"),
        ({"kind": "backend-services", "client_id": "x", "key_file": "not-there"}, "cannot be read"),
    ],
)
def test_a_login_that_cannot_work_is_refused_at_once(auth: dict[str, Any], words: str) -> None:
    environ = {"USER_ENV": "me", "COLON": "a:b", "ODD": "two words"}
    with pytest.raises(NotConfigured, match=words):
        login(Auth.model_validate(auth), base_url="https://ehr.example/fhir", setting="ehr.auth", environ=environ)


def test_basic_and_bearer_headers() -> None:
    environ = {"U": "mé", "P": "p:w", "T": " tok \n"}
    where: dict[str, Any] = {"base_url": "https://ehr.example/fhir", "setting": "ehr.auth", "environ": environ}
    basic = login(Auth(kind="basic", username_env="U", password_env="P"), **where).headers()["Authorization"]
    assert b64decode(basic.removeprefix("Basic ")).decode() == "mé:p:w"
    assert login(Auth(kind="bearer", token_env="T"), **where).headers() == {"Authorization": "Bearer tok"}
    assert login(Auth(), **where).headers() == {}


def test_no_secret_crosses_a_network_in_the_clear() -> None:
    auth = Auth(kind="bearer", token_env="T")
    with pytest.raises(NotConfigured, match="plain http"):
        login(auth, base_url="http://ehr.example/fhir", setting="ehr.auth", environ={"T": "x"})
    assert login(auth, base_url="http://127.0.0.1:1/fhir", setting="ehr.auth", environ={"T": "x"}).headers()
    assert login(Auth(), base_url="http://hapi:8080/fhir", setting="ehr.auth").headers() == {}


def test_a_server_that_we_did_not_write_takes_the_assertion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key_file: Callable[[Any], Path]
) -> None:
    """sekmet-fhir with SMART on: RS384 (on ES384 its token endpoint answers 500, a known gap of 0.1.1)."""
    public = jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)
    smart = {"types": ["smart"], "smart_clients": [{"client_id": CLIENT, "jwks": {"keys": [{**public, "kid": "k"}]}}]}
    with sekmet(tmp_path, monkeypatch, server_auth=smart) as server:
        base = f"{str(server.base_url).rstrip('/')}/fhir"
        assert server.get("/fhir/Patient").status_code == 401
        auth = Auth(kind="backend-services", client_id=CLIENT, key_file=key_file(pem(RSA)), key_id="k")
        mine = login(auth, base_url=base, setting="ehr.auth", scopes="system/*.read system/*.write")
        with FhirClient(FhirHttp(base, mine)) as client:
            client.update({"resourceType": "Patient", "id": "p1"})
            assert client.read("Patient/p1")["id"] == "p1"
            assert [row["id"] for row in client.search("Patient", {"_count": "1"})] == ["p1"]
            client.delete("Patient/p1")
            with pytest.raises(Rejected) as caught:
                client.read("Patient/p1")
            assert caught.value.reason_code == "ehr-gone"
