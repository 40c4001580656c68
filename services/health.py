"""Is it up, can it work: for probes and load balancers. Open to everybody; holds nothing of a patient."""

from flask import Blueprint, Response

from gateways.registry.models import Models
from gateways.store.database import Database
from schemas.errors import VbqError
from services.answers import plain_json


class Health:
    """/healthz says that the process answers; /readyz that it can take events and answer hooks.

    The broker is not asked: without it events are still accepted and stored results still answered.
    """

    def __init__(self, database: Database, models: Models) -> None:
        self._checks = {"database": database.check, "model": models.deployed}

    def blueprint(self) -> Blueprint:
        health = Blueprint("health", __name__)
        health.add_url_rule("/healthz", "up", self.up)
        health.add_url_rule("/readyz", "ready", self.ready)
        return health

    def up(self) -> Response:
        return plain_json({"status": "up"})

    def ready(self) -> Response:
        """200 where every check passes, 503 with the reason where one does not."""
        rows = []
        for name, check in self._checks.items():
            try:
                check()
            except VbqError as error:
                rows.append({"name": name, "ok": False, "detail": error.detail})
            else:
                rows.append({"name": name, "ok": True, "detail": ""})
        ok = all(row["ok"] for row in rows)
        answer = plain_json({"status": "ready" if ok else "not ready", "checks": rows}, 200 if ok else 503)
        if not ok:
            answer.headers["Retry-After"] = "5"
        return answer
