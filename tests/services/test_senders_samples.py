"""One request of every sender that we know, as it was on the wire, and the answer that it expects."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateways.fhir.subscriptions import Subscriptions
from schemas.fhir.full import validate
from schemas.notice import Notice
from services.outside import Outside

Json = dict[str, Any]
EHR = "https://ehr.example/fhir"
SEKMET = "http://127.0.0.1:18090/fhir"
TOKEN = "tok123"
RAW = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SKIPPED = {"Content-Length", "Host", "Connection", "Accept-Encoding"}


def senders(**changes: Any) -> Json:
    """Four ways to prove who one is."""
    read = {"fhir_base_url": EHR, "base_aliases": [SEKMET], "reads": {"kind": "none"}}
    return {
        "senders": [
            {"name": "ehr", "bearer_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), **read, **changes},
            {"name": "medplum", "hmac_secret_env": "MEDPLUM_SECRET", "fhir_base_url": EHR},
        ]
    }


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(senders())


@pytest.fixture
def wire(client: FlaskClient, shared: Path) -> Callable[..., TestResponse]:
    """Sends what was recorded, to /events in place of the recorder's endpoint."""

    def send(name: str, *, path: str | None = None, **headers: str) -> TestResponse:
        sample = json.loads((shared / "fhir" / "samples" / f"{name}.json").read_text())
        kept = {key: value for key, value in sample["headers"] if key not in SKIPPED}
        kept.update({key.replace("_", "-"): value for key, value in headers.items()})
        tail = sample["path"].split("/", 2)[2] if sample["method"] == "PUT" else ""
        where = path or ("/events/" + tail if tail else "/events")
        return client.open(where, method=sample["method"], data=sample["body"].encode(), headers=kept)

    return send


def receipts(response: TestResponse) -> list[Json]:
    rows: list[Json] = json.loads(response.get_json()["issue"][0]["diagnostics"])["receipt"]
    return rows


def notice(outside: Outside, event: int) -> Notice:
    return Notice.model_validate_json(outside.inbox.show(event)[1])


def test_medplum_posts_the_resource_and_signs_it(wire: Callable[..., TestResponse], outside: Outside) -> None:
    """Its Authorization header is of no sender here: the signature alone proves who it is."""
    for name in ("create", "update"):
        response = wire(f"medplum_resthook_{name}", Authorization="Bearer something-else")
        assert response.status_code == 202, response.text
        validate(response.get_json())
        row, _ = outside.inbox.show(receipts(response)[0]["event"])
        assert (row.source, row.interaction) == ("medplum", "upsert")
    assert wire("medplum_resthook_update").status_code == 401, "its bearer token is that of another sender"


def test_medplum_tells_of_a_delete_by_a_header(wire: Callable[..., TestResponse], outside: Outside) -> None:
    sent = {"Authorization": "Bearer something-else"}
    made = receipts(wire("medplum_resthook_create", **sent))[0]["resource"]
    response = wire("medplum_resthook_delete", **sent)
    assert response.status_code == 202
    [row] = receipts(response)
    assert row["resource"] == made
    assert outside.inbox.show(row["event"])[0].interaction == "delete"
    assert wire("medplum_resthook_delete", **sent).status_code == 200, "told twice, deleted once"


@pytest.mark.parametrize(
    ("header", "body", "path"),
    [
        ("", b"{}", "/events"),
        ("ImagingStudy", b"{}", "/events"),
        ("ImagingStudy/../Patient/p1", b"{}", "/events"),
        ("https://evil.example/fhir/Patient/p1", b"{}", "/events"),
        ("Grommet/g1", b"{}", "/events"),
        ("Observation/o1", b'{"resourceType":"Patient","id":"p1"}', "/events"),
        ("Observation/o1", b"{}", "/events/Patient"),
        ("Observation/o1", b"{}", "/events/Observation/o2"),
    ],
)
def test_a_delete_that_does_not_say_of_what_is_refused(
    client: FlaskClient, outside: Outside, header: str, body: bytes, path: str
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}
    headers |= {"X-Medplum-Interaction": "delete", "X-Medplum-Deleted-Resource": header}
    response = client.post(path, data=body, headers=headers)
    assert response.status_code == 422
    validate(response.get_json())
    assert outside.inbox.stats()["accepted"] == 0


def test_hapi_puts_the_resource_and_reads_it_back(wire: Callable[..., TestResponse], outside: Outside) -> None:
    response = wire("hapi_style_put")
    assert response.status_code == 200
    assert response.mimetype == "application/fhir+json"
    assert response.get_json()["resourceType"] == "ImagingStudy"
    validate(response.get_json())
    assert outside.inbox.stats()["accepted"] == 1


@pytest.mark.parametrize("kind", ["", "application/x-www-form-urlencoded", "application/fhir+json"])
def test_a_rest_hook_without_payload_is_taken_down_where_one_may_ask_what_changed(
    wire: Callable[..., TestResponse], outside: Outside, kind: str
) -> None:
    response = wire("empty_payload_post", **({"Content_Type": kind} if kind else {}))
    assert response.status_code == 202
    validate(response.get_json())
    assert notice(outside, receipts(response)[0]["event"]).search


def test_a_rest_hook_without_payload_is_refused_where_nothing_may_be_read(make_app: Callable[..., Flask]) -> None:
    client = make_app(senders(reads=None)).test_client()
    response = client.post("/events", headers={"Authorization": f"Bearer {TOKEN}"})
    assert response.status_code == 400
    assert "reads" in response.get_json()["issue"][0]["diagnostics"]


BACKPORT = ["handshake-empty", "handshake-id-only", "handshake-full-resource", "heartbeat-empty"]


@pytest.mark.parametrize("name", BACKPORT)
def test_handshakes_and_heartbeats_get_200_and_are_taken_down(
    wire: Callable[..., TestResponse], outside: Outside, name: str
) -> None:
    for repeat in (False, True):
        response = wire(f"backport_r4_{name}", Authorization=f"Bearer {TOKEN}")
        assert response.status_code == 200
        validate(response.get_json())
        [row] = receipts(response)
        assert row["repeat"] is repeat
    assert notice(outside, row["event"]).kind == name.partition("-")[0]


@pytest.mark.parametrize("name", ["empty", "id-only", "full-resource"])
def test_a_backport_notification_is_durable_before_202(
    wire: Callable[..., TestResponse], outside: Outside, name: str
) -> None:
    response = wire(f"backport_r4_event-notification-{name}", Authorization=f"Bearer {TOKEN}")
    assert response.status_code == 202
    validate(response.get_json())
    *_, told = receipts(response)
    assert notice(outside, told["event"]).numbers == [1]
    assert wire(f"backport_r4_event-notification-{name}", Authorization=f"Bearer {TOKEN}").status_code == 200


@pytest.mark.parametrize("name", ["empty", "idonly", "full"])
@pytest.mark.parametrize("release", ["R4", "R4B", "R5"])
def test_every_release_of_topic_subscriptions_gets_an_outcome(
    client: FlaskClient, shared: Path, release: str, name: str
) -> None:
    body = (shared / "fhir" / "samples" / f"own_{release}_event_{name}.json").read_bytes()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}
    answers = [client.post("/events", data=body, headers=headers) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 200]
    validate(answers[0].get_json())
    assert receipts(answers[0])[-1]["resource"] == "Subscription/s1"


@pytest.mark.parametrize(
    ("name", "kind"),
    [("own_collection", "OperationOutcome"), ("own_transaction", "transaction-response"), ("own_message", "message")],
)
def test_engines_get_the_reply_that_their_bundle_asks_for(
    client: FlaskClient, shared: Path, name: str, kind: str
) -> None:
    body = (shared / "fhir" / "samples" / f"{name}.json").read_bytes()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}
    response = client.post("/events", data=body, headers=headers)
    assert response.status_code == 202
    found = response.get_json()
    validate(found)
    assert kind in (found["resourceType"], found.get("type"))
    if kind == "message":
        header = found["entry"][0]["resource"]
        assert header["response"] == {
            "identifier": json.loads(body)["entry"][0]["resource"]["id"],
            "code": "ok",
            "details": {"reference": "OperationOutcome/receipt"},
        }
        assert header["destination"] == [{"endpoint": "urn:mirth:ris"}]


def test_what_is_fetched_from_elsewhere_is_refused_with_the_place(client: FlaskClient, shared: Path) -> None:
    document = json.loads((shared / "fhir" / "samples" / "own_R4B_event_idonly.json").read_text())
    document["entry"][0]["resource"]["notificationEvent"][0]["focus"]["reference"] = "https://evil.example/Patient/p1"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    response = client.post("/events", json=document, headers=headers)
    assert response.status_code == 422
    [issue] = response.get_json()["issue"]
    assert issue["expression"] == ["Bundle.entry[0].resource.notificationEvent[0].focus"]
    assert "evil.example" in issue["diagnostics"]


# Standard Webhooks


def signed(body: bytes, *, delivery: str = "msg_1", ago: int = 0, secret: str = RAW, **changes: str) -> dict[str, str]:
    stamp = str(int(time.time()) - ago)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    headers = {"webhook-id": delivery, "webhook-timestamp": stamp, "Content-Type": "application/fhir+json"}
    headers["webhook-signature"] = f"v1a,AAAA v1,{base64.b64encode(made).decode()}"
    return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}


PATIENT = b'{"resourceType":"Patient","id":"p1"}'


@pytest.fixture
def webhooks(make_app: Callable[..., Flask]) -> FlaskClient:
    read = {"fhir_base_url": EHR, "reads": {"kind": "none"}}
    return make_app(
        {"senders": [{"name": "hooks", "hmac_secret_env": ["OLD_SECRET", "NEW_SECRET"], **read}]},
        environ={"OLD_SECRET": "whsec_" + base64.b64encode(b"old" * 10).decode(), "NEW_SECRET": RAW},
    ).test_client()


def test_standard_webhooks_prove_their_sender_while_secrets_rotate(webhooks: FlaskClient) -> None:
    assert webhooks.post("/events", data=PATIENT, headers=signed(PATIENT)).status_code == 202
    old = "whsec_" + base64.b64encode(b"old" * 10).decode()
    assert webhooks.post("/events", data=PATIENT, headers=signed(PATIENT, secret=old)).status_code == 200
    spec = json.loads(webhooks.get("/openapi.json").data)["components"]["securitySchemes"]
    assert "webhook" in spec


def test_a_delivery_that_is_tried_again_has_one_effect(webhooks: FlaskClient) -> None:
    headers = {name: value for name, value in signed(b"").items() if name != "Content-Type"}
    assert [webhooks.post("/events", headers=headers).status_code for _ in range(2)] == [202, 200]
    other = {name: value for name, value in signed(b"", delivery="msg_2").items() if name != "Content-Type"}
    assert webhooks.post("/events", headers=other).status_code == 202


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ago": 301}, "clock"),
        ({"ago": -310}, "clock"),
        ({"webhook_timestamp": "soon"}, "webhook-timestamp"),
        ({"webhook_timestamp": "١٢٣"}, "webhook-timestamp"),
        ({"webhook_timestamp": ""}, "webhook-timestamp"),
        ({"webhook_id": ""}, "webhook-id"),
        ({"webhook_id": "msg_other"}, "no v1 signature"),
        ({"webhook_id": "x" * 300}, "webhook-id"),
        ({"webhook_signature": "v1,"}, "no v1 signature"),
        ({"webhook_signature": "v2,AAAA"}, "no v1 signature"),
        ({"webhook_signature": ""}, "no v1 signature"),
        ({"secret": "whsec_" + base64.b64encode(b"other" * 6).decode()}, "no v1 signature"),
    ],
)
def test_a_webhook_that_proves_nothing_hears_what_is_wrong(
    webhooks: FlaskClient, changes: dict[str, Any], words: str
) -> None:
    headers = {name: value.encode().decode("latin-1") for name, value in signed(PATIENT, **changes).items()}
    response = webhooks.post("/events", data=PATIENT, headers=headers)
    assert response.status_code == 401
    assert words in response.get_json()["issue"][0]["diagnostics"]
    assert webhooks.post("/events", data=PATIENT + b" ", headers=signed(PATIENT)).status_code == 401


def test_a_token_does_not_outweigh_a_signature_that_is_wrong(make_app: Callable[..., Flask]) -> None:
    both = {"name": "both", "bearer_sha256": hashlib.sha256(b"tok").hexdigest(), "hmac_secret_env": "MEDPLUM_SECRET"}
    client = make_app({"senders": [both]}).test_client()
    headers = {"Authorization": "Bearer tok", "Content-Type": "application/json"}
    assert client.post("/events", data=PATIENT, headers=headers).status_code == 202
    assert client.post("/events", data=PATIENT, headers={**headers, "X-Signature": "00"}).status_code == 401
    assert client.post("/events", data=PATIENT, headers={**headers, **signed(PATIENT)}).status_code == 401
    right = hmac.new(b"s3cr3t", PATIENT, hashlib.sha256).hexdigest()
    assert client.post("/events", data=PATIENT, headers={**headers, "X-Signature": right}).status_code == 200


def test_the_metrics_say_what_is_missing_and_nothing_of_anybody(
    wire: Callable[..., TestResponse], client: FlaskClient, outside: Outside
) -> None:
    wire("backport_r4_event-notification-id-only", Authorization=f"Bearer {TOKEN}")
    with outside.database.write() as connection:
        told = Notice(kind="heartbeat", subscription="Subscription/s1", announced=7)
        Subscriptions(outside.database).note(connection, "ehr", "s1", told, 1)
    page = client.get("/metrics").text
    assert 'vbq_subscription_missing{sender="ehr"} 7.0' in page
    assert 'vbq_subscription_heard_seconds{sender="ehr"}' in page


def test_an_endpoint_may_end_with_a_slash(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}
    assert client.post("/events/", data=PATIENT, headers=headers).status_code == 202
