"""Pages for people: what there is, and everything that is known of a model."""

import datetime as dt
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from gateways.registry.models import Models
from schemas.errors import ModelRefused
from schemas.model import ModelArtefact
from vbq.risk.card import page as card
from vbq.risk.card.attributes import attributes_of

DOORS = (
    ("/cds-services", "CDS Hooks discovery and services"),
    ("/events", "FHIR events"),
    ("/fhir/metadata", "results as FHIR resources"),
    ("/openapi.json", "every address, described"),
    ("/healthz, /readyz, /metrics", "operations"),
)


class Pages:
    """The index and the models' pages; open to everybody, they hold nothing of a patient."""

    def __init__(self, models: Models, software: str) -> None:
        self._models = models
        self._software = software

    def blueprint(self) -> Blueprint:
        pages = Blueprint("pages", __name__)
        pages.add_url_rule("/", "index", self.index)
        pages.add_url_rule("/models/<name>", "model", self.model)
        return pages

    def index(self) -> str:
        opened, _ = self._models.all()
        models = [row for row in opened if row.stage != "shadow"]
        return render_template("index.html", models=models, doors=DOORS, software=self._software)

    def model(self, name: str) -> str | Response:
        """The page of one model, or its data where the caller prefers JSON. 404 where there is none."""
        try:
            loaded = self._models.get(name)
        except ModelRefused as error:
            if error.reason_code == "model-unknown":
                raise NotFound("there is no such model; the overview at / lists those there are") from error
            raise
        model = loaded.artefact
        if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
            return jsonify(as_data(model, loaded.digest))
        today = dt.datetime.now(dt.UTC).date()
        stage = self._models.stage(loaded.digest)
        inside = card.body(model, digest=loaded.digest, today=today, software=self._software, stage=stage)
        return render_template("model.html", title=model.title, body=Markup(inside))  # noqa: S704 - it escapes itself


def as_data(model: ModelArtefact, digest: str) -> dict[str, Any]:
    """The model as JSON, with its digest and all 31 attributes."""
    rows = [row._asdict() for group in attributes_of(model) for row in group.rows]
    return {**model.model_dump(mode="json"), "source_attributes": rows, "digest": digest}
