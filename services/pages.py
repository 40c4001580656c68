"""Pages for people: what there is, and everything that is known of a model."""

import datetime as dt
import math
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from werkzeug.exceptions import NotFound

from gateways.models import Models
from schemas.errors import ModelRefused
from schemas.model import ModelArtefact
from services.attributes import attributes_of
from services.figures import curves, examples, forest, ratios, signed

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
        for name, filter_ in (("number", signed), ("fixed", fixed), ("percent", percent)):
            pages.add_app_template_filter(filter_, name)
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
        rows = ratios(model)
        return render_template(
            "model.html",
            model=with_survival(model),
            digest=loaded.digest,
            ratios=rows,
            forest=forest(rows),
            curves=curves(model),
            examples=examples(model),
            attributes=attributes_of(model),
            expired=model.expires is not None and model.expires < dt.datetime.now(dt.UTC).date(),
            software=self._software,
        )


def as_data(model: ModelArtefact, digest: str) -> dict[str, Any]:
    """The model as JSON, with its digest and all 31 attributes."""
    rows = [row._asdict() for group in attributes_of(model) for row in group.rows]
    return {**model.model_dump(mode="json"), "source_attributes": rows, "digest": digest}


def with_survival(model: ModelArtefact) -> dict[str, Any]:
    """The model as the template reads it: its fields, and the survival at each point of the baseline."""
    points = [{"time": row.time, "survival": math.exp(-row.cumulative_hazard)} for row in model.baseline.points]
    baseline = {"form": model.baseline.form, "support": model.baseline.support, "points": points}
    return {**dict(model), "baseline": baseline}


def fixed(value: float, digits: int) -> str:
    """With `digits` decimals."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float) -> str:
    """A probability as a percentage with one decimal."""
    return f"{100 * value:.1f} %"
