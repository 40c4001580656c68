"""A FHIR server that we did not write, in the loop: its Subscriptions push to us, the result arrives there once.

Workers and Redis are killed in between. All payloads by topic, without the faults: tests/workers/test_topic_server.py.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests import records
from tests.conftest import Stack, wait_until
from tests.ehr_server import sekmet
from tests.topics import TOPIC, observations_topic

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
TOKEN = "made-up-token-of-the-server"
Json = dict[str, Any]


def vbq(stack: Stack, *arguments: str) -> Any:
    """A command beside the stack, its JSON parsed."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
    mine = {"VBQ_DATA_DIR": str(stack.data_dir), "VBQ_PORT": str(stack.port), "SERVER_TOKEN": TOKEN}
    command = [sys.executable, "-m", "commands", *arguments, "--json"]
    done = subprocess.run(
        command,
        check=False,
        env={**clean, **stack.environment, **mine},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def put(server: httpx.Client, resource: Json) -> None:
    reply = server.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
    assert reply.status_code in (200, 201), reply.text


def results(server: httpx.Client) -> list[Json]:
    found = server.get("RiskAssessment", params={"_count": "100"}).json()
    return [entry["resource"] for entry in found.get("entry", [])]


def finals(server: httpx.Client) -> list[Json]:
    return [row for row in results(server) if row["status"] == "final"]


def active(server: httpx.Client) -> int:
    return int(server.get("Subscription", params={"status": "active"}).json()["total"])


def kill(stack: Stack, words: str) -> None:
    for pid in stack.children(words):
        os.kill(pid, signal.SIGKILL)


def test_its_subscriptions_push_to_us_and_the_result_arrives_there_once_whatever_is_killed(
    own_stack: Stack, small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sekmet(tmp_path, monkeypatch) as server:
        server.base_url = server.base_url.join("/fhir")
        server.timeout = httpx.Timeout(30)
        base = str(server.base_url).rstrip("/")
        sender = {"name": "sekmet", "bearer_sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}
        sender |= {"fhir_base_url": base, "reads": {"kind": "none"}}
        config = own_stack.data_dir.parent / "vbq.yaml"
        config.write_text(yaml.safe_dump({"senders": [sender], "ehr": {"base_url": base}}))
        own_stack.environment |= {"VBQ_CONFIG": str(config), "VBQ_DEV_OPEN": "0"}
        own_stack.environment["VBQ_STUDY_ROOTS"] = json.dumps([str(small_study.parent)])
        own_stack.start()

        # Patients and studies whole, by rest-hook; of Observations only the names, by topic
        asked = ["subscribe", "--fhir", base, "--token-env", "SERVER_TOKEN"]
        made = vbq(own_stack, *asked, "--type", "Patient", "--type", "ImagingStudy")
        put(server, observations_topic())
        by_topic = ["--kind", "backport", "--topic", TOPIC, "--content", "id-only"]
        assert [row["step"] for row in vbq(own_stack, *asked, *by_topic)["subscriptions"]] == ["created"]
        assert [row["step"] for row in made["subscriptions"]] == ["created"] * 2
        assert TOKEN not in json.dumps(made)
        wait_until(lambda: active(server) == 3, 30, "activation")

        # resources come in at that server; workers and Redis die in between
        put(server, records.patient("p1"))
        put(server, records.t_score("p1"))
        kill(own_stack, "workers work")
        put(server, records.imaging_study("p1", address=records.file_url(small_study)))
        kill(own_stack, "redis-server")
        wait_until(lambda: finals(server), 90, "the result's arrival")
        kill(own_stack, "workers work")
        time.sleep(1)
        [first] = finals(server)
        assert first["prediction"][0]["probabilityDecimal"] > 0

        left = vbq(own_stack, "events", "stats")
        assert (left["dead"], left["jobs_dead"]) == (0, 0)
        assert TOKEN not in own_stack.log
