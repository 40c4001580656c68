"""Keys, tokens and the app over a real SQLite file."""

import datetime as dt
import functools
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask
from flask.testing import FlaskClient

from gateways.queue.broker import Waker
from gateways.queue.inbox import Inbox
from gateways.records.feedback import Feedback
from gateways.records.results import Results
from gateways.registry.models import Models
from gateways.settings import Settings
from schemas.assessment import Assessment
from schemas.config import MergePolicy
from schemas.fhir.facts import patient_facts
from schemas.fhir.results import resources_of
from schemas.measurement import Acquisition, Measurement
from services.app import create_app
from services.outside import Outside
from tests.databases import with_tables
from vbq.assess import assess

BASE = "http://127.0.0.1:8080"
TOKEN = "made-up-token"
HMAC_SECRET = "s3cr3t"
EHR = "https://ehr.example/fhir"


class Signer:
    """A CDS client's private key: makes its JWKS and its tokens."""

    def __init__(self, issuer: str = "https://sandbox.example", algorithm: str = "ES384") -> None:
        self.issuer, self.algorithm, self.kid = issuer, algorithm, uuid.uuid4().hex
        curves = {"ES384": ec.SECP384R1(), "ES256": ec.SECP256R1()}
        self.key = (
            ec.generate_private_key(curves[algorithm])
            if algorithm in curves
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def jwk(self) -> dict[str, Any]:
        public = self.key.public_key()
        make = (
            jwt.algorithms.ECAlgorithm if isinstance(public, ec.EllipticCurvePublicKey) else jwt.algorithms.RSAAlgorithm
        )
        return {**make.to_jwk(public, as_dict=True), "kid": self.kid, "use": "sig"}

    def token(self, url: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token for `url`; a claim given as None is left out."""
        now = int(time.time())
        every = {"iss": self.issuer, "aud": url, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4()), **claims}
        return jwt.encode(
            {name: value for name, value in every.items() if value is not None},
            self.key,
            algorithm=self.algorithm,
            headers={"kid": self.kid, "typ": "JWT", **(header or {})},
        )


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def make_signer() -> Callable[..., Signer]:
    return Signer


@pytest.fixture
def write_jwks(tmp_path: Path) -> Callable[..., Path]:
    """Writes a JWKS file of the given signers or JWKs and returns its path."""

    def write(*rows: Signer | dict[str, Any], name: str = "jwks.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"keys": [row.jwk() if isinstance(row, Signer) else row for row in rows]}))
        return path

    return write


def config_of(jwks: Path, issuer: str) -> dict[str, Any]:
    """A sender with a bearer token, one with an HMAC secret, and one CDS client."""
    return {
        "senders": [
            {"name": "engine", "bearer_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "fhir_base_url": EHR},
            {"name": "medplum", "hmac_secret_env": "MEDPLUM_SECRET"},
        ],
        "cds_clients": [
            {
                "name": "sandbox",
                "issuer": issuer,
                "jwks_file": str(jwks),
                "algorithms": ["ES384"],
                "fhir_base_urls": [EHR],
            }
        ],
    }


class Woken:
    """What the relay sent."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int]] = []

    def __call__(self, kind: str, row: int) -> None:
        self.rows.append((kind, row))


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def config(signer: Signer, write_jwks: Callable[..., Path]) -> dict[str, Any]:
    return config_of(write_jwks(signer), signer.issuer)


@pytest.fixture
def make_app(tmp_path: Path, config: dict[str, Any], woken: Woken) -> Iterator[Callable[..., Flask]]:
    """Makes the app over a fresh SQLite file; settings and parts of the configuration can be given."""
    made: list[Outside] = []

    def make(changes: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **given: Any) -> Flask:
        path = tmp_path / "vbq.yaml"
        path.write_text(yaml.safe_dump({**config, **(changes or {})}))
        settings = Settings(data_dir=tmp_path / "data", config=path, **given)
        database = with_tables(settings.database)
        outside = Outside(
            database=database,
            inbox=Inbox(database),
            results=Results(database),
            feedback=Feedback(database),
            models=Models(settings, database),
            waker=Waker(settings, send=woken),
        )
        made.append(outside)
        return create_app(settings, outside, {"MEDPLUM_SECRET": HMAC_SECRET, **(environ or {})})

    yield make
    for outside in made:
        outside.close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def outside(app: Flask) -> Outside:
    found: Outside = app.extensions["outside"]
    return found


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def sender() -> dict[str, str]:
    """Headers of a request by the sender `engine`."""
    return {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}


def assessment_of(
    models: Models,
    patient: str = "Patient/p1",
    *,
    t_score: float | None = -2.4,
    vbq: float = 4.1,
    previous: str | None = None,
) -> Assessment:
    """What the real composition says of a made-up woman of 73."""
    record: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1951-02-03"}
    ]
    if t_score is not None:
        record.append(
            {
                "resourceType": "Observation",
                "id": "o1",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}]},
                "subject": {"reference": "Patient/p1"},
                "effectiveDateTime": "2023-12-01",
                "valueQuantity": {"value": t_score, "system": "http://unitsofmeasure.org", "code": "{T-score}"},
            }
        )
    measurement = Measurement(
        status="measured",
        vbq=vbq,
        interval=(vbq - 0.1, vbq + 0.1),
        method="reader",
        algorithm="vbq-reader-regions 0",
        study_uid="2.25.1",
        series_uid="2.25.1.1",
        acquisition=Acquisition(study_date="2024-01-15"),
    )
    model = models.active()
    return assess(
        patient=patient,
        study="ImagingStudy/is1",
        facts=patient_facts(record),
        measurement=measurement,
        model=model.artefact,
        digest=model.digest,
        policy=MergePolicy(),
        as_of=dt.datetime(2024, 2, 1, 10, tzinfo=dt.UTC),
        previous=previous,
        software="vbq-cds 0",
    )


@pytest.fixture
def put_into() -> Callable[..., Assessment]:
    """Makes an assessment, stores it in an app's database with its FHIR resources as a worker does, and returns it."""

    def put(app: Flask, patient: str = "Patient/p1", **given: Any) -> Assessment:
        outside: Outside = app.extensions["outside"]
        made = assessment_of(outside.models, patient, **given)
        with outside.database.write() as connection:
            outside.results.store(connection, made, resources_of(made), send=False)
        return made

    return put


@pytest.fixture
def store(app: Flask, put_into: Callable[..., Assessment]) -> Callable[..., Assessment]:
    """The same for the usual app."""
    return functools.partial(put_into, app)
