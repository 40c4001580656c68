"""The structured part of the configuration (VBQ_CONFIG, a YAML file): senders, CDS clients, EHR, PACS, policy."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, IPvAnyAddress, StringConstraints, model_validator

from schemas.model import TrustedKey
from schemas.record import Record

Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
JwsAlgorithm = Literal["ES384", "RS384", "ES256", "RS256"]
Language = Literal["en", "de", "fr", "es", "zh"]
PrivateNetwork = Annotated[
    bool, Field(description="its name may lead to a private address (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7)")
]
CaFile = Annotated[
    Path | None, Field(description="PEM certificates of the authorities that count for it, instead of the machine's")
]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class SmartApp(Record):
    """How the EHR's authorization server knows us (SMART App Launch 2.2), for the review page behind a card."""

    client_id: str = Field(min_length=1, max_length=256)
    client_secret_env: str | None = Field(
        default=None, description="environment variable with the client secret; none of both: a public client"
    )
    key_file: Path | None = Field(
        default=None, description="private key (PEM, EC P-384 or RSA) for private_key_jwt; its public half is theirs"
    )
    key_id: str | None = Field(default=None, description="`kid` under which the EHR knows that key")
    scopes: str = Field(
        default="launch",
        pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$",
        description="what is asked for; must bring the patient in context",
    )

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if self.client_secret_env and self.key_file:
            raise ValueError("needs client_secret_env or key_file, not both")
        return self


def _fetched_safely(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in _LOOPBACK


class CdsClient(Record):
    """An EHR that may call the CDS Hooks services: whose tokens count and which FHIR servers it may name."""

    name: str
    issuer: str = Field(description="`iss` of its tokens, exactly")
    jwks_file: Path | None = Field(default=None, description="its public keys, out of band; read again when changed")
    jwks_url: Origin | None = Field(default=None, description="its public keys, fetched and kept; https off loopback")
    jku_origins: list[Origin] = Field(
        default_factory=list,
        description="`jku` in a token's header counts only from these: an origin, or one whole address",
    )
    algorithms: list[JwsAlgorithm] = Field(default=["ES384", "RS384"], min_length=1)
    tenant: str | None = Field(default=None, description="`tenant` of its tokens; none: any")
    fhir_base_urls: list[Origin] = Field(
        default_factory=list, description="FHIR servers that it may name; fhirAuthorization is sent to these alone"
    )
    language: Language | None = Field(
        default=None, description="of its cards; none: Accept-Language, else the card policy's"
    )
    private_network: PrivateNetwork = False
    smart: SmartApp | None = Field(
        default=None, description="registration of the review page with this EHR; none: its cards have no link to it"
    )

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if not (self.jwks_file or self.jwks_url or self.jku_origins):
            raise ValueError("needs jwks_file, jwks_url or jku_origins: without keys no token can be checked")
        for url in (*([self.jwks_url] if self.jwks_url else []), *self.jku_origins):
            if not _fetched_safely(url):
                raise ValueError("jwks_url and jku_origins must be https: keys fetched in the clear prove nothing")
        return self

    @model_validator(mode="after")
    def _launches_from_somewhere(self) -> Self:
        if self.smart is not None and not self.fhir_base_urls:
            raise ValueError("smart needs fhir_base_urls: a launch is taken from these FHIR servers alone")
        return self


class Auth(Record):
    """How we log in to another system."""

    kind: Literal["none", "bearer", "basic", "client-secret", "backend-services"] = "none"
    token_env: str | None = None
    username_env: str | None = None
    password_env: str | None = None
    client_id: str | None = None
    client_secret_env: str | None = Field(
        default=None, description="with client-secret (OAuth2 client credentials): variable that holds the secret"
    )
    token_url: Origin | None = Field(
        default=None, description="none: what the server's .well-known/smart-configuration says, if at its own origin"
    )
    key_file: Path | None = Field(
        default=None, description="our private key: PEM, JWK or JWKS; RSA signs RS384, EC on P-384 signs ES384"
    )
    key_id: str | None = Field(
        default=None, description="`kid` of our key; none: of the JWK, else its RFC 7638 thumbprint"
    )
    scopes: str | None = Field(
        default=None,
        pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$",
        description="none: system/*.read, and system/*.write where results go",
    )


class Sender(Record):
    """A system that pushes FHIR events, with its own secret and its own FHIR base."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    bearer_sha256: Sha256Hex | list[Sha256Hex] | None = Field(
        default=None, description="SHA-256 of the bearer token; two while rotating"
    )
    hmac_secret_env: str | list[str] | None = Field(
        default=None,
        description="environment variable that holds the HMAC secret (X-Signature; whsec_...: Standard Webhooks); two "
        "while rotating",
    )
    issuer: str | None = Field(default=None, description="`iss` of its OAuth2 access tokens (JWT), exactly")
    jwks_url: Origin | None = Field(default=None, description="that issuer's public keys; https off loopback")
    jwks_file: Path | None = Field(default=None, description="that issuer's public keys, out of band")
    audience: list[str] = Field(default_factory=list, description="`aud` of its tokens; none: our base URL, or /events")
    client_id: str | None = Field(
        default=None, description="`client_id`, `azp` or `sub` of its tokens; needed where two senders share an issuer"
    )
    algorithms: list[JwsAlgorithm] = Field(default=["ES384", "RS384", "ES256", "RS256"], min_length=1)
    fhir_base_url: Origin | None = Field(
        default=None, description="its FHIR server: whose patients its relative references mean"
    )
    base_aliases: list[Origin] = Field(
        default_factory=list, description="other URLs by which that server calls itself, e.g. behind a proxy"
    )
    resource_types: list[str] | None = Field(default=None, description="None: every type that matters")
    requests_per_second: float | None = Field(
        default=None, gt=0, description="more than that gets 429 (at each web process); none: not limited"
    )
    burst_requests: int | None = Field(
        default=None, ge=1, description="how many may come at once; none: what a second allows, one at least"
    )
    private_network: PrivateNetwork = False
    ca_file: CaFile = None
    reads: Auth | None = Field(
        default=None, description="how we log in at fhir_base_url to read there; none: nothing is ever read there"
    )
    export_files_at: list[Origin] = Field(
        default_factory=list, description="other addresses than fhir_base_url where its $export may put its files"
    )

    @model_validator(mode="after")
    def _has_secret(self) -> Self:
        if self.issuer and not (self.jwks_url or self.jwks_file):
            raise ValueError("issuer needs jwks_url or jwks_file: without keys no token can be checked")
        if not (self.bearer_sha256 or self.hmac_secret_env or self.issuer):
            raise ValueError("needs bearer_sha256, hmac_secret_env, or issuer with jwks_url or jwks_file")
        if self.jwks_url and not _fetched_safely(self.jwks_url):
            raise ValueError("jwks_url must be https: keys fetched in the clear prove nothing")
        return self


class Ehr(Record):
    """The EHR's FHIR server that gets our results."""

    base_url: Origin
    auth: Auth = Auth()
    private_network: PrivateNetwork = False
    ca_file: CaFile = None
    writes: Literal["auto", "conditional", "client-ids"] = Field(
        default="auto",
        description="auto: conditional creates, and PUTs under our own ids where those are not supported",
    )


class Pacs(Record):
    """An image archive; ImagingStudy.endpoint is honoured only at these."""

    name: str
    wado_rs: Origin
    auth: Auth = Auth()
    private_network: PrivateNetwork = False
    ca_file: CaFile = None
    store_evidence: bool = Field(
        default=False, description="send it regions, values and a picture of each measurement (STOW-RS, at wado_rs)"
    )


AeTitle = Annotated[str, StringConstraints(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]


class DimseTls(Record):
    """DICOM over TLS (PS3.15 annex B), as the one who calls. The archive's certificate is always checked."""

    ca_file: CaFile = None
    certificate_file: Path | None = Field(default=None, description="our certificate and its chain (PEM), to show")
    key_file: Path | None = Field(default=None, description="its key (PEM); none: it is in certificate_file")
    server_name: str | None = Field(
        default=None, min_length=1, description="the name in the archive's certificate; none: `host`"
    )

    @model_validator(mode="after")
    def _key_of_something(self) -> Self:
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file needs certificate_file")
        return self


class ListenTls(Record):
    """DICOM over TLS, as the one who is called: nobody is let in in plain, or without a certificate of `ca_file`."""

    certificate_file: Path = Field(description="our certificate and its chain (PEM)")
    key_file: Path | None = Field(default=None, description="its key (PEM); none: it is in certificate_file")
    ca_file: Path = Field(description="PEM certificates of the authorities whose certificates let a peer in")


class MoveDestination(Record):
    """Where an archive sends what C-MOVE asks it for: a storage SCP that listens while a study is fetched."""

    ae_title: AeTitle = Field(default="VBQ", description="what the archive calls this destination")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=11113, ge=1, le=65535)
    sends_as: list[AeTitle] = Field(
        default_factory=list, description="AE titles from which the archive sends; none: its own"
    )
    addresses: list[IPvAnyAddress] = Field(
        default_factory=list, description="from which the archive sends; none: those of its `host`"
    )
    tls: ListenTls | None = Field(default=None, description="needed where the archive has `tls`")


class DimseArchive(Record):
    """An image archive that speaks DIMSE alone (C-FIND, and C-GET or C-MOVE). Where DICOMweb can be had, prefer it."""

    name: str
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    ae_title: AeTitle = Field(description="what the archive is called")
    calling_ae_title: AeTitle = Field(default="VBQ", description="what the archive calls us")
    move: MoveDestination | None = Field(default=None, description="fetch by C-MOVE; none: by C-GET")
    tls: DimseTls | None = Field(default=None, description="DICOM over TLS; none: in plain")

    @model_validator(mode="after")
    def _nothing_in_plain_beside_tls(self) -> Self:
        if self.move is not None and (self.move.tls is None) != (self.tls is None):
            raise ValueError("tls and move.tls go together: images must not come in plain beside a query over TLS")
        return self


class DimsePeer(Record):
    """Who may send to us: an AE title, from these addresses. AE titles alone prove nothing."""

    ae_title: AeTitle
    addresses: list[IPvAnyAddress] = Field(min_length=1)


class ReceivedPatients(Record):
    """Whose patients the PatientIDs of one issuer are. Without one that fits, a study waits for a person."""

    issuer: str = Field(default="", description="IssuerOfPatientID of the studies; empty: of those that name none")
    sender: str = Field(description="name of the sender whose Patient resources are meant")
    identifier_system: str | None = Field(
        default=None,
        description="`system` of that identifier at the sender's server, where the Patient is searched (sender.reads); "
        "none: the PatientID is the Patient's FHIR id",
    )


class Receive(Record):
    """`vbq receive`: a DICOM storage SCP, so that scanners and archives can send studies to us."""

    ae_title: AeTitle = "VBQ"
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=1, le=65535)
    tls: ListenTls | None = Field(default=None, description="DICOM over TLS alone; none: in plain")
    peers: list[DimsePeer] = Field(min_length=1)
    patients: list[ReceivedPatients] = Field(default_factory=list)
    associations: int = Field(default=4, ge=1, le=64, description="at the same time")
    quiet_seconds: float = Field(default=30, gt=0, le=3600, description="without a new image: the study is complete")
    most_bytes: int = Field(default=20 * 2**30, ge=2**20, description="of all studies that are kept")
    keep_days: float = Field(default=30, gt=0, description="after a study was last sent it is removed")


class MonitoringPolicy(Record):
    """When `vbq model monitor` raises an alert. Drift counts beyond what a sample of its size shows by chance."""

    psi_alert: float = Field(default=0.25, gt=0, description="population stability index of an input or of the risk")
    missing_alert: float = Field(default=0.3, ge=0, le=1, description="share of assessments that lack an input")
    group_difference_sd: float = Field(
        default=0.5, gt=0, description="VBQ of a scanner, field strength or method against the others, in their SD"
    )
    smallest_sample: int = Field(default=50, ge=2, description="fewer assessments raise no alert")
    smallest_group: int = Field(default=20, ge=2, description="fewer measurements of one scanner raise no alert")
    observed_to_expected_low: float = Field(default=0.8, gt=0, le=1, description="lower limit, once outcomes arrive")
    observed_to_expected_high: float = Field(default=1.25, ge=1, description="upper limit")
    slope_low: float = Field(default=0.8, gt=0, le=1, description="calibration slope, lower limit")
    slope_high: float = Field(default=1.25, ge=1, description="calibration slope, upper limit")


class PatientIdentity(Record):
    """Which records are of one person (docs/patients.md). Links of a merge count within a FHIR base in any case."""

    systems: list[str] = Field(
        default_factory=list,
        description="identifier systems that name one person at every sender, e.g. a national number",
    )


class MergePolicy(Record):
    """Which values count. Windows are days before the imaging study; later values count too, the latest one wins."""

    t_score_window_days: int = Field(default=730, ge=1)
    laboratory_window_days: int = Field(default=365, ge=1)
    weight_window_days: int = Field(default=365, ge=1)
    stale_after_days: int = Field(default=730, ge=1, description="older than this today: shown as stale")
    assumed_postmenopausal_age: int = Field(default=55, ge=40, le=80, description="years; used where no code says it")


class Cds(Record):
    """How the CDS Hooks services behave. What they say and when: the card policy (docs/cds-hooks.md)."""

    discovery: Literal["protected", "open"] = Field(
        default="protected", description="open: GET /cds-services needs no token"
    )
    policy_file: Path | None = Field(default=None, description="the site's reviewed card policy; none: the shipped one")
    budget_ms: int = Field(default=450, ge=50, le=10_000, description="time for one call, fetching included")
    fetch_ms: int = Field(default=300, ge=20, le=10_000, description="the part of it that fetching prefetch may take")
    keep_prefetch: bool = Field(
        default=True, description="prefetched facts that changed the answer enter the inbox as events"
    )


class Review(Record):
    """The page behind a card (docs/cds-hooks.md)."""

    keep_pictures: bool = Field(default=True, description="keep the measured slice of each study, for the page")
    session_minutes: int = Field(default=15, ge=1, le=240, description="how long a page opened from the EHR stays open")


class Config(Record):
    """The whole file. Every part has a default that is safe: nobody is let in, nothing is sent anywhere."""

    cds_clients: list[CdsClient] = Field(default_factory=list)
    senders: list[Sender] = Field(default_factory=list)
    ehr: Ehr | None = None
    pacs: list[Pacs] = Field(default_factory=list)
    dimse: list[DimseArchive] = Field(default_factory=list)
    receive: Receive | None = None
    study_roots: list[Path] = Field(default_factory=list, description="file: endpoints count only below these")
    merge: MergePolicy = MergePolicy()
    patient_identity: PatientIdentity = PatientIdentity()
    cds: Cds = Cds()
    review: Review = Review()
    model_keys: list[TrustedKey] = Field(
        default_factory=list, description="keys whose signed models count, beside the shipped model's own"
    )
    monitoring: MonitoringPolicy = MonitoringPolicy()
