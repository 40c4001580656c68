"""Pages for people and answers for probes."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from schemas.model import ModelArtefact, SourceAttribute
from services.outside import Outside
from vbq.risk.card.attributes import attributes_of
from vbq.risk.card.figures import curves, examples, forest, ratios

MODEL = "lin2025-vbq-t"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def model(outside: Outside) -> ModelArtefact:
    return outside.models.active().artefact


def test_the_models_page_shows_all_31_attributes_and_says_what_is_not_available(
    client: FlaskClient, model: ModelArtefact
) -> None:
    response = client.get(f"/models/{MODEL}")
    assert response.status_code == 200
    page = Tags(response.text)
    numbers = re.findall(r'<th scope="row">(\d\.[iv]+)</th>', response.text)
    assert len(numbers) == len(set(numbers)) == 31
    unknown = sum(1 for group in attributes_of(model) for row in group.rows if row.value is None)
    assert page.text.count("not available") >= unknown > 0
    for words in (
        "Research use",
        "not a cleared medical device",
        model.intended_use,
        model.caution,
        "1.87",
        "1.26",
        "2.78",
    ):
        assert words in page.text


def test_the_models_page_loads_nothing_from_elsewhere_and_runs_nothing(client: FlaskClient) -> None:
    response = client.get(f"/models/{MODEL}")
    page = Tags(response.text)
    assert not [tag for tag, _ in page.tags if tag in {"script", "iframe", "object", "img"}]
    assert not [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "link"]
    assert links == ["/static/page.css"]
    with client.get("/static/page.css") as style:
        assert style.status_code == 200
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_model_is_data_too(client: FlaskClient, outside: Outside) -> None:
    answer = client.get(f"/models/{MODEL}", headers={"Accept": "application/json"}).get_json()
    assert answer["id"] == MODEL
    assert answer["digest"] == outside.models.active().digest
    assert len(answer["source_attributes"]) == 31


@pytest.mark.parametrize("name", ["nothing", "..", "%2e%2e%2fsecrets", "UPPER", "x" * 200])
def test_a_model_that_is_not_there_is_404(client: FlaskClient, name: str) -> None:
    assert client.get(f"/models/{name}").status_code == 404


def test_text_in_a_model_is_never_markup(outside: Outside, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = outside.models.active()
    evil = "<script>alert(1)</script>"
    attributes = [SourceAttribute(number="1.i", name=evil, value=evil)]
    changed = loaded.artefact.but(title=evil, caution=evil, source_attributes=attributes, validation={evil: evil})
    monkeypatch.setattr(type(outside.models), "get", lambda self, name: loaded._replace(artefact=changed))
    page = app.test_client().get(f"/models/{MODEL}").text
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_a_model_that_states_no_attribute_still_shows_all_of_them(model: ModelArtefact) -> None:
    rows = [row for group in attributes_of(model.but(source_attributes=[])) for row in group.rows]
    assert len(rows) == 31
    assert all(row.name and row.value is None for row in rows)


def test_the_figures_lie_within_their_frames(model: ModelArtefact) -> None:
    picture = curves(model)
    assert picture is not None
    for line in picture["lines"]:
        points = [tuple(map(float, pair.split(","))) for pair in line["points"].split()]
        assert all(picture["left"] <= x <= picture["right"] for x, _ in points)
        assert all(picture["top"] - 1 <= y <= picture["bottom"] for _, y in points)
        assert points[-1][1] < points[0][1]  # risk grows with VBQ, upwards on the page
    plot = forest(ratios(model))
    assert all(250 <= row["low"] <= row["x"] <= row["high"] <= 800 for row in plot["rows"])


def test_the_examples_are_what_the_model_says_at_its_centre(model: ModelArtefact) -> None:
    table = examples(model)
    assert table is not None
    [central] = [row for row in table["rows"] if row["values"] == [4.26, -2.48]]
    assert round(central["risk"], 3) == 0.299
    assert (round(central["lower"], 3), round(central["upper"], 3)) == (0.229, 0.385)


def test_a_model_that_must_not_be_served_shows_no_risk(model: ModelArtefact) -> None:
    stopped = model.but(servable=False, servable_reason="visit times")
    assert curves(stopped) is None
    assert examples(stopped) is None


def test_the_overview_leads_to_the_model(client: FlaskClient) -> None:
    page = Tags(client.get("/").text)
    assert f"/models/{MODEL}" in [attributes.get("href") for tag, attributes in page.tags if tag == "a"]


def test_a_service_that_can_work_is_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "up"}
    response = client.get("/readyz")
    assert response.status_code == 200
    assert all(row["ok"] for row in response.get_json()["checks"])


def test_a_service_without_tables_is_up_but_not_ready_and_says_what_to_do(
    client: FlaskClient, outside: Outside
) -> None:
    with outside.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE alembic_version RENAME TO gone")
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "vbq migrate" in response.text


def test_metrics_count_requests_by_route_and_hold_nothing_of_a_patient(
    client: FlaskClient, sender: dict[str, str]
) -> None:
    client.put("/events/Patient/canary-7", json={"resourceType": "Patient", "id": "canary-7"}, headers=sender)
    client.get("/fhir/RiskAssessment/canary-8", headers=sender)
    text = client.get("/metrics").text
    assert 'vbq_http_requests_total{method="PUT",route="/events/<type_>/<id_>",status="200"} 1.0' in text
    assert "vbq_inbox_pending 1.0" in text
    assert 'vbq_events_total{outcome="new"} 1.0' in text
    assert "canary" not in text


def test_the_openapi_document_describes_exactly_the_addresses_that_there_are(app: Flask, client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    described = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if method in {"get", "post", "put", "delete"}
    }
    kinds = ("RiskAssessment", "Observation", "Device", "Provenance")
    there = set()
    for rule in app.url_map.iter_rules():
        for path in (
            [rule.rule] if "<any" not in rule.rule else [re.sub(r"<any[^>]*>", kind, rule.rule) for kind in kinds]
        ):
            plain = re.sub(r"<(?:path:)?(\w+)>", r"{\1}", path)
            there |= {(method, plain) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert described == {row for row in there if not row[1].startswith("/static/")}


def test_the_openapi_document_is_json_that_refers_only_to_itself(client: FlaskClient) -> None:
    text = json.dumps(client.get("/openapi.json").get_json())
    references = set(re.findall(r'"\$ref": "([^"]+)"', text))
    assert all(reference.startswith("#/components/") for reference in references)


def test_every_answer_carries_the_guarding_headers(client: FlaskClient) -> None:
    for path in ("/", "/healthz", "/fhir/metadata", "/nowhere", "/events"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path


def test_the_pages_are_files_of_the_package() -> None:
    import services

    folder = Path(services.__file__).parent
    assert (folder / "templates" / "model.html").is_file()
    assert (folder / "static" / "page.css").is_file()


def test_the_app_can_be_made_for_an_environment_alone(make_app: Callable[..., Flask]) -> None:
    assert make_app(dev_open=True).url_map
