"""A real server's topic-based subscriptions (sekmet-fhir): handshake, heartbeats, events that only name what changed.

Our intake answers it over HTTP, our workers' steps are called in turn.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import select, update
from werkzeug.serving import make_server

from commands.subscribe import subscribe, subscriptions
from gateways.settings import Settings
from gateways.store.tables import jobs, resources
from services.app import create_app
from services.outside import connect
from tests import records
from tests.ehr_server import sekmet
from tests.topics import TOPIC, observations_topic
from workers.bench import Bench
from workers.events import take_events
from workers.fetching import fetch
from workers.outcomes import run_job

TOKEN = "made-up-token-of-the-server"
Json = dict[str, Any]


class Site:
    """Intake on a port, workers by hand, and the server beside them."""

    def __init__(self, settings: Settings, server: httpx.Client, endpoint: str) -> None:
        self.bench, self.server, self.endpoint = Bench.open(settings), server, endpoint

    def work_until(self, probe: Any, what: str) -> Any:
        """Do what is due, and hurry what waits, until `probe` finds something."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            take_events(self.bench, 0)
            with self.bench.database.write() as connection:
                connection.execute(update(jobs).where(jobs.c.kind == "fetch").values(due_at=0.0))
                due = list(connection.scalars(select(jobs.c.id).where(jobs.c.kind == "fetch", jobs.c.state == "due")))
            for row in due:
                run_job(self.bench, row, fetch)
            if found := probe():
                return found
            time.sleep(0.05)
        pytest.fail(f"{what} did not happen")

    def kept(self) -> set[str]:
        with self.bench.database.read() as connection:
            rows = connection.execute(select(resources)).all()
        return {f"{row.resource_type}/{row.resource_id}" for row in rows}

    def put(self, resource: Json) -> None:
        reply = self.server.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert reply.status_code in (200, 201), reply.text

    def vbq(self, command: Any, *arguments: str) -> Any:
        done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def subscribe(self, content: str) -> Json:
        base = str(self.server.base_url).rstrip("/")
        asked = ["--fhir", base, "--kind", "backport", "--topic", TOPIC, "--content", content, "--heartbeat", "1"]
        done: Json = self.vbq(subscribe, *asked, "--token-env", "SERVER_TOKEN", "--endpoint", self.endpoint)
        return done

    def active(self) -> bool:
        found = self.server.get("Subscription", params={"status": "active"}).json()
        return bool(found["total"] == 1)

    def heard(self) -> Json:
        [row] = [row for row in self.vbq(subscriptions) if row["topic"] == TOPIC]
        found: Json = row
        return found


@pytest.fixture
def site(tmp_path: Path, short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with sekmet(short_dir, monkeypatch) as server:
        server.base_url = server.base_url.join("/fhir")
        server.timeout = httpx.Timeout(30)
        sender = {"name": "sekmet", "bearer_sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}
        sender |= {"fhir_base_url": str(server.base_url).rstrip("/"), "reads": {"kind": "none"}}
        config = tmp_path / "vbq.yaml"
        config.write_text(yaml.safe_dump({"senders": [sender]}))
        for name, value in {"VBQ_DATA_DIR": tmp_path / "data", "VBQ_CONFIG": config, "SERVER_TOKEN": TOKEN}.items():
            monkeypatch.setenv(name, str(value))
        settings = Settings()
        outside = connect(settings)
        outside.database.migrate()
        web = make_server("127.0.0.1", 0, create_app(settings, outside), threaded=True)
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        made = Site(settings, server, f"http://127.0.0.1:{web.server_port}/events")
        yield made
        server.delete("Subscription", params={"status": "active"})
        web.shutdown()
        web.server_close()
        outside.close()
        made.bench.close()


def test_what_changed_there_is_here_whatever_its_notifications_carry(site: Site) -> None:
    """One after the other, under one Subscription that is changed: its server goes on counting."""
    site.put(observations_topic())
    for round_, content in enumerate(("id-only", "empty", "full-resource")):
        name = f"p{round_}"
        site.put(records.patient(name))
        assert [row["step"] for row in site.subscribe(content)["subscriptions"]] == ["updated" if round_ else "created"]
        site.work_until(site.active, "the handshake")
        assert [row["step"] for row in site.subscribe(content)["subscriptions"]] == ["kept"]
        site.put(records.t_score(name))
        site.put(records.observation(f"w-{name}", name, records.WEIGHT, 61.5, "kg"))
        wanted = {f"Observation/t-{name}", f"Observation/w-{name}"}
        wanted |= {f"Patient/{name}"} if content != "full-resource" else set()
        site.work_until(lambda wanted=wanted: wanted <= site.kept(), "the arrival of what changed")
        total = 2 * round_ + 2
        heard = site.work_until(
            lambda total=total: (row := site.heard())["missing"] == 0 and row["events"] == total and row, "the count"
        )
        assert (heard["resets"], heard["search_wanted"]) == (0, False)
        assert heard["handshake"] is not None
