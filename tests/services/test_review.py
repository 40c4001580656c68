"""The review page behind a card, and the SMART launch that leads to it."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from gateways.access.review_sessions import ReviewSessions
from gateways.records.pictures import KeptPicture, Pictures
from gateways.settings import Settings
from schemas.assessment import Assessment
from schemas.errors import NotConfigured
from schemas.measurement import Ellipse, Measurement, Region, SliceRef
from services.launch import Launch
from services.outside import Outside
from services.review_page import drawn
from tests.services.smart_ehr import SmartEhr, query_of, smart_ehr
from tests.services.test_hooks import VIEW, body_for
from tests.services.test_pages import Tags

BASE = "http://127.0.0.1:8080"
Put = Callable[..., Assessment]
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


NOBODYS = "8f40c482-b744-4b69-bd01-2a5a72ab7862"


@pytest.fixture
def ehr() -> Iterator[SmartEhr]:
    with smart_ehr() as here:
        yield here


@pytest.fixture
def registered(ehr: SmartEhr, config: dict[str, Any], make_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """Makes the app for the EHR `ehr`, at which it is registered with `given`."""

    def make(**given: Any) -> Flask:
        sender = {**config["senders"][0], "fhir_base_url": ehr.base}
        client = {
            **config["cds_clients"][0],
            "fhir_base_urls": [ehr.base],
            "smart": {"client_id": "vbq-review", **given},
        }
        return make_app({"senders": [sender], "cds_clients": [client]})

    return make


@pytest.fixture
def open_app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(dev_open=True)


def launch(browser: FlaskClient, ehr: SmartEhr, launch: str, **more: str) -> TestResponse:
    """From the card's link up to the callback's answer, as a browser goes."""
    began = browser.get("/launch", query_string={"iss": ehr.base, "launch": launch, **more})
    assert began.status_code == 302, began.text
    assert began.headers["Location"].startswith(f"{ehr.base}/authorize?")
    back = ehr.authorize(query_of(began.headers["Location"]))
    return browser.get(back.removeprefix(BASE))


def test_36_a_smart_link_leads_to_the_page_of_its_assessment(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put, signer: Any
) -> None:
    app = registered()
    older = put_into(app, t_score=None)
    newer = put_into(app, previous=older.id)
    browser = app.test_client()
    headers = {"Authorization": f"Bearer {signer.token(f'{BASE}/cds-services/{VIEW}')}"}
    card = browser.post(f"/cds-services/{VIEW}", json=body_for(VIEW, fhirServer=ehr.base), headers=headers)
    link = next(row for row in card.get_json()["cards"][0]["links"] if row["type"] == "smart")
    assert (link["url"], link["appContext"]) == (f"{BASE}/launch", newer.id)
    answer = launch(browser, ehr, ehr.open_chart("p1", link["appContext"]))
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/review/{newer.id}")
    page = browser.get(answer.headers["Location"])
    assert page.status_code == 200
    assert "4.10" in page.text
    assert browser.get(f"/review/{older.id}").status_code == 200, "the same patient's history may be read"


def test_a_launch_without_a_context_opens_the_assessment_that_counts(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put
) -> None:
    app = registered()
    put_into(app, t_score=None)
    current = put_into(app)
    answer = launch(app.test_client(), ehr, ehr.open_chart("p1", "not an id"))
    assert answer.headers["Location"] == f"/review/{current.id}"


def test_another_patients_assessment_is_403_at_the_launch_and_on_the_page(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put
) -> None:
    app = registered()
    hers = put_into(app)
    other = put_into(app, "Patient/p2", vbq=3.9)
    browser = app.test_client()
    assert launch(browser, ehr, ehr.open_chart("p2", hers.id)).status_code == 403
    assert browser.get(f"/review/{other.id}").status_code == 401, "a launch that was refused opens nothing"
    assert launch(browser, ehr, ehr.open_chart("p2", other.id)).status_code == 303
    assert browser.get(f"/review/{other.id}").status_code == 200
    for path in (f"/review/{hers.id}", f"/review/{hers.id}/slice.png"):
        assert browser.get(path).status_code == 403


def test_nobody_without_a_session_sees_a_page_and_a_session_ends(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put
) -> None:
    app = registered()
    hers = put_into(app)
    browser = app.test_client()
    assert browser.get(f"/review/{hers.id}").status_code == 401
    outside: Outside = app.extensions["outside"]
    early = ReviewSessions(outside.database, clock=lambda: 1000.0)
    browser.set_cookie("vbq-review", early.open("sandbox", "Patient/p1", 900))
    assert browser.get(f"/review/{hers.id}").status_code == 401
    for made_up in ("", "x" * 43, "x" * 4000, "\u0100"):
        browser.set_cookie("vbq-review", made_up)
        assert browser.get(f"/review/{hers.id}").status_code == 401
    browser.set_cookie("vbq-review", ReviewSessions(outside.database).open("sandbox", "Patient/p1", 900))
    assert browser.get(f"/review/{hers.id}").status_code == 200


def test_a_code_for_another_browser_or_without_a_launch_of_ours_is_refused(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put
) -> None:
    app = registered()
    hers = put_into(app)
    mine, theirs = app.test_client(), app.test_client()
    began = theirs.get("/launch", query_string={"iss": ehr.base, "launch": ehr.open_chart("p1", hers.id)})
    back = ehr.authorize(query_of(began.headers["Location"])).removeprefix(BASE)
    assert mine.get(back).status_code == 403, "login CSRF"
    assert mine.get("/callback?code=x&state=made-up").status_code == 403
    assert mine.get("/callback").status_code == 403
    assert theirs.get(back).status_code == 303
    assert theirs.get(back).status_code == 403, "once only"


def test_what_the_authorization_server_refuses_or_cannot_say_opens_nothing(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put
) -> None:
    app = registered()
    put_into(app)
    browser = app.test_client()
    assert launch(browser, ehr, ehr.open_chart(None)).status_code == 403
    for odd in (7, "", "a b", "../p1", ["p1"]):
        ehr.token_extra = {"patient": odd}
        assert launch(browser, ehr, ehr.open_chart("p1")).status_code == 403
    ehr.token_extra = {}
    assert launch(browser, ehr, ehr.open_chart("nobody")).status_code == 404
    ehr.token_status = 500
    assert launch(browser, ehr, ehr.open_chart("p1")).status_code == 503
    began = browser.get("/launch", query_string={"iss": ehr.base, "launch": ehr.open_chart("p1")})
    state = query_of(began.headers["Location"])["state"]
    assert browser.get(f"/callback?error=access_denied&state={state}").status_code == 403


@pytest.mark.parametrize("iss", ["", "https://evil.example/fhir", "http://127.0.0.1:1/fhir", "//", "\u0000"])
def test_a_launch_from_an_unknown_server_is_refused_and_asks_nobody(
    registered: Callable[..., Flask], ehr: SmartEhr, iss: str
) -> None:
    answer = registered().test_client().get("/launch", query_string={"iss": iss, "launch": "x"})
    assert answer.status_code == 403
    assert ehr.asked == []


def test_a_launch_needs_its_parameter_and_an_honest_configuration(
    registered: Callable[..., Flask], ehr: SmartEhr
) -> None:
    browser = registered().test_client()
    for bad in ("", " ", "a\nb", "x" * 5000):
        assert browser.get("/launch", query_string={"iss": ehr.base, "launch": bad}).status_code == 400
    for configuration in (
        {},
        {"authorization_endpoint": "http://evil.example/a", "token_endpoint": f"{ehr.base}/token"},
    ):
        ehr.configuration = configuration
        assert browser.get("/launch", query_string={"iss": ehr.base, "launch": "x"}).status_code == 503


@pytest.mark.parametrize("kind", ["secret", "ec", "rsa"])
def test_a_confidential_client_proves_who_it_is(
    registered: Callable[..., Flask], ehr: SmartEhr, put_into: Put, kind: str, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"client_secret_env": "MEDPLUM_SECRET"}  # the fixture's one secret
    ehr.secret = "s3cr3t"
    if kind != "secret":
        key = ec.generate_private_key(ec.SECP384R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        path = tmp_path / "app.pem"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        ehr.public_key = key.public_key()
        given = {"key_file": str(path), "key_id": "k1"}
    app = registered(**given)
    put_into(app)
    assert launch(app.test_client(), ehr, ehr.open_chart("p1")).status_code == 303


def test_cookies_are_for_this_host_alone_and_out_of_reach_of_scripts(
    config: dict[str, Any], make_app: Callable[..., Flask], put_into: Put, ehr: SmartEhr
) -> None:
    client = {**config["cds_clients"][0], "fhir_base_urls": [ehr.base], "smart": {"client_id": "vbq-review"}}
    app = make_app({"cds_clients": [client], "senders": []}, public_url="https://vbq.example")
    put_into(app)
    ehr.redirect_uri = "https://vbq.example/callback"
    browser = app.test_client()
    began = browser.get(
        "/launch", query_string={"iss": ehr.base, "launch": ehr.open_chart("p1")}, base_url="https://vbq.example"
    )
    back = ehr.authorize(query_of(began.headers["Location"]))
    ended = browser.get(back.removeprefix("https://vbq.example"), base_url="https://vbq.example")
    for answer, name in ((began, "__Host-vbq-launch-"), (ended, "__Host-vbq-review=")):
        cookie = next(row for row in answer.headers.getlist("Set-Cookie") if row.startswith(name))
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie


def test_the_table_of_sessions_holds_nothing_that_opens_a_page(app: Flask) -> None:
    outside: Outside = app.extensions["outside"]
    token = ReviewSessions(outside.database).open("sandbox", "Patient/p1", 60)
    raw = json.dumps([list(map(str, row)) for row in rows_of(outside)])
    assert token not in raw
    late = ReviewSessions(outside.database, clock=lambda: 1e11)
    assert late.get(token) is None
    late.open("sandbox", "Patient/p2", 60)
    assert len(rows_of(outside)) == 1, "what is over goes"


def rows_of(outside: Outside) -> list[Any]:
    with outside.database.read() as connection:
        return list(connection.exec_driver_sql("SELECT * FROM review_sessions"))


def test_sessions_in_the_clear_are_refused_at_the_start(config: dict[str, Any], make_app: Callable[..., Flask]) -> None:
    client = {**config["cds_clients"][0], "smart": {"client_id": "x"}}
    with pytest.raises(NotConfigured, match="VBQ_PUBLIC_URL"):
        make_app({"cds_clients": [client]}, public_url="http://vbq.example")
    with pytest.raises(NotConfigured, match="client_secret_env"):
        make_app({"cds_clients": [{**client, "smart": {"client_id": "x", "client_secret_env": "NOT_THERE"}}]})
    with pytest.raises(NotConfigured, match="key_file"):
        make_app({"cds_clients": [{**client, "smart": {"client_id": "x", "key_file": "/nowhere.pem"}}]})


def test_two_servers_patients_that_nobody_tells_apart_are_refused_at_the_start(
    config: dict[str, Any], make_app: Callable[..., Flask]
) -> None:
    [one], sender = config["cds_clients"], config["senders"][0]
    other = {
        **one,
        "name": "other",
        "issuer": "https://other.example",
        "fhir_base_urls": ["https://other.example/fhir"],
    }
    clients = [{**one, "smart": {"client_id": "x"}}, other]
    with pytest.raises(NotConfigured, match="fhir_base_url"):
        make_app({"cds_clients": clients})
    second = {**sender, "name": "second", "bearer_sha256": "1" * 64, "fhir_base_url": "https://other.example/fhir"}
    assert make_app({"cds_clients": clients, "senders": [sender, second]}).url_map


def test_a_person_gets_a_page_and_a_program_an_outcome(registered: Callable[..., Flask], put_into: Put) -> None:
    app = registered()
    hers = put_into(app)
    browser = app.test_client()
    for path, status in ((f"/review/{hers.id}", 401), ("/launch?iss=x", 403), ("/callback", 403)):
        page = browser.get(path, headers=BROWSER)
        assert (page.status_code, page.mimetype) == (status, "text/html")
        assert "This page cannot be shown" in page.text
        assert browser.get(path).get_json()["resourceType"] == "OperationOutcome"


def region(row: float, column: float, *, used: bool = True, uid: str = "1.2.3") -> Region:
    ellipse = Ellipse(center=(row, column), semi_axes_mm=(8.0, 6.0), angle_deg=10.0)
    return Region(mean=400.0, sd=30.0, area_mm2=150.0, pixels=600, ellipse=ellipse, sop_instance_uid=uid, used=used)


def measured(**changes: Any) -> Measurement:
    found: dict[str, Any] = {
        "status": "measured",
        "vbq": 4.0,
        "interval": (3.9, 4.1),
        "method": "automatic",
        "algorithm": "a",
        "study_uid": "2.25.1",
        "series_uid": "2.25.2",
        "slice": SliceRef(sop_instance_uid="1.2.3", index=4),
        "levels": {"L1": region(100, 100), "L2": region(150, 100, used=False), "L3": region(200, 100, uid="1.2.4")},
        "csf": {"L1": region(100, 140).model_copy(update={"mean": 100.0})},
    }
    return Measurement(**{**found, **changes})


def png(rows: int, columns: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.zeros((rows, columns), np.uint8)).save(out, format="PNG")
    return out.getvalue()


def test_regions_are_drawn_in_mm_where_they_were_measured() -> None:
    found = drawn(measured(), KeptPicture(png(8, 8), 400, 300, (0.5, 0.8)))
    first = found.shapes[0]
    assert (first.x, first.y, first.rx, first.ry, first.angle) == (80.4, 50.25, 8.0, 6.0, 10.0)
    assert (found.width, found.height) == (240.0, 200.0)
    left, top, width, height = map(float, found.view.split())
    assert (left, top) == (40.4, 10.25)
    assert (left + width, top + height) == (152.4, 140.25)
    assert [row.kind for row in found.shapes] == ["body", "body unused", "body elsewhere", "fluid"]


def test_the_page_shows_picture_inputs_reasons_and_history(open_app: Flask, put_into: Put) -> None:
    older = put_into(open_app, t_score=None)
    newer = put_into(open_app, previous=older.id)
    outside: Outside = open_app.extensions["outside"]
    seen = newer.but(measurement=measured())
    with outside.database.write() as connection:
        outside.results.store(connection, seen, [])
        Pictures(outside.database).store(
            connection, "Patient/p1", "1.2.3", KeptPicture(png(40, 30), 400, 300, (0.5, 0.8))
        )
    browser = open_app.test_client()
    answer = browser.get(f"/review/{newer.id}")
    page = Tags(answer.text)
    assert answer.status_code == 200
    values = ("lin2025-vbq-t 1.0.0", "DXA T-score, lumbar spine", "2023-12-01", "Observation/o1", "400 / 100 = 4.00")
    for words in (*values, "95 % interval", "Research use", "superseded", "is new", "counts now"):
        assert words in page.text, words
    images = [attributes for tag, attributes in page.tags if tag == "image"]
    assert [row["href"] for row in images] == [f"/review/{newer.id}/slice.png"]
    picture = browser.get(f"/review/{newer.id}/slice.png")
    assert (picture.mimetype, Image.open(io.BytesIO(picture.data)).size) == ("image/png", (30, 40))
    assert f"/review/{older.id}" in [attributes.get("href") for tag, attributes in page.tags if tag == "a"]
    old = browser.get(f"/review/{older.id}")
    assert "A newer assessment counts now" in old.text
    assert browser.get(f"/review/{older.id}/slice.png").status_code == 404
    assert "No picture was kept" in old.text


def test_the_page_loads_nothing_from_elsewhere_and_hostile_text_stays_text(open_app: Flask, put_into: Put) -> None:
    made = put_into(open_app)
    hostile = "<script>alert(1)</script>\"'{{7*7}}"
    outside: Outside = open_app.extensions["outside"]
    inputs = [row.but(source=hostile, note=hostile, label=hostile) for row in made.inputs]
    acquisition = made.measurement.acquisition.but(manufacturer=hostile, series_description=hostile)  # type: ignore[union-attr] # it has one
    measurement = measured(acquisition=acquisition, algorithm=hostile)
    with outside.database.write() as connection:
        outside.results.store(connection, made.but(inputs=inputs, measurement=measurement, software=hostile), [])
    answer = open_app.test_client().get(f"/review/{made.id}")
    page = Tags(answer.text)
    assert page.text.count("<script>alert(1)</script>\"'{{7*7}}") > 5
    assert not [tag for tag, _ in page.tags if tag in {"script", "iframe", "object", "img", "form"}]
    assert not [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self'")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["x", "..", NOBODYS, NOBODYS.upper(), "%00", "1" * 400])
def test_a_page_that_is_not_there_is_404(open_app: Flask, name: str) -> None:
    assert open_app.test_client().get(f"/review/{name}").status_code == 404


def test_in_development_another_host_name_is_refused(open_app: Flask, put_into: Put) -> None:
    made = put_into(open_app)
    assert open_app.test_client().get(f"/review/{made.id}", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("state", ["needs_regions", "not_measurable", "outside_population", "withdrawn", "incomplete"])
def test_every_state_has_a_page(open_app: Flask, put_into: Put, state: str) -> None:
    made = put_into(open_app, t_score=None)
    outside: Outside = open_app.extensions["outside"]
    with outside.database.write() as connection:
        outside.results.store(connection, made.but(state=state, risk=None, measurement=None, inputs=[]), [])
    answer = open_app.test_client().get(f"/review/{made.id}")
    assert answer.status_code == 200
    assert "No risk" in answer.text


def test_a_base_url_of_loopback_needs_no_https(tmp_path: Path, outside: Outside) -> None:
    settings = Settings(data_dir=tmp_path)
    made = Launch(
        settings, ReviewSessions(outside.database), outside.results, {}, several=False, chart=lambda one, _: one
    )
    assert made.blueprint().name == "launch"
