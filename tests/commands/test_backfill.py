"""`vbq backfill` against a server with $export, one without, and one that misbehaves."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from commands.backfill import backfill
from gateways.fhir import backfill as gateway
from gateways.fhir import http as fhir_http
from gateways.fhir.bulk import split
from gateways.queue.inbox import EventRow, Inbox
from gateways.store.database import Database
from schemas.errors import EhrUnavailable, Forbidden, NotConfigured, Rejected
from tests import records
from tests.ehr_server import sekmet
from tests.gateways.bulk_server import BulkServer, ndjson
from tests.hostile_server import Answer, Asked, hostile

PEOPLE = [records.patient(f"p{number}") for number in range(3)]
SCORES = [records.t_score(f"p{number}") for number in range(3)]
GONE = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [{"request": {"method": "DELETE", "url": "Observation/t-p2"}}],
}


@pytest.fixture
def server() -> Iterator[BulkServer]:
    with hostile(lambda asked: Answer(500)) as hosted:
        made = BulkServer(hosted, rows=[*PEOPLE, *SCORES])
        made.files = {
            "p.ndjson": ("output", "Patient", ndjson(*PEOPLE)),
            "o.ndjson": ("output", "Observation", ndjson(*SCORES)),
        }
        hosted.script = made
        yield made


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: BulkServer) -> Callable[..., Result]:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(fhir_http.time, "sleep", lambda seconds: None)

    def invoke(*args: str, **sender: Any) -> Result:
        if sender:
            made = {"name": "hapi", "bearer_sha256": "0" * 64, "fhir_base_url": server.hosted.base, **sender}
            (tmp_path / "c.yaml").write_text(json.dumps({"senders": [made]}))
            monkeypatch.setenv("VBQ_CONFIG", str(tmp_path / "c.yaml"))
            return CliRunner().invoke(backfill, ["--sender", "hapi", "--json", *args])
        return CliRunner().invoke(backfill, ["--fhir", server.hosted.base, "--json", *args])

    return invoke


def told(done: Result) -> Any:
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def rows(place: Path) -> list[EventRow]:
    database = Database(f"sqlite:///{place / 'vbq.sqlite3'}")
    try:
        return Inbox(database).list(count=100_000)
    finally:
        database.close()


def names(place: Path) -> list[str]:
    return sorted(row.resource for row in rows(place))


EVERYBODY = sorted([f"Patient/p{n}" for n in range(3)] + [f"Observation/t-p{n}" for n in range(3)])


def test_an_export_comes_in_once_and_its_job_is_deleted(run: Any, server: BulkServer, tmp_path: Path) -> None:
    found = told(run("--since", "2026-01-01", "--types", "Patient,Observation"))
    assert (found["mode"], found["new"], found["known"], found["state"]) == ("export", 6, 0, "done")
    assert names(tmp_path) == EVERYBODY
    assert {row.source for row in rows(tmp_path)} == {"default"}
    (kick,) = server.kicked
    assert "_since=2026-01-01T00%3A00%3A00.000Z" in kick.path
    assert "_type=Patient%2CObservation" in kick.path
    assert server.deleted == 1
    again = told(run("--since", "2026-01-01", "--types", "Patient,Observation"))
    assert (again["new"], again["known"]) == (0, 6)
    assert len(server.kicked) == 2


def test_a_server_without_export_is_searched_page_by_page(run: Any, server: BulkServer, tmp_path: Path) -> None:
    server.offers = ()
    found = told(run("--page-size", "2"))
    assert (found["mode"], found["new"]) == ("search", 6)
    assert names(tmp_path) == EVERYBODY
    said = CliRunner().invoke(backfill, ["--fhir", server.hosted.base])
    assert "offers no $export: searching" in said.stderr
    assert "0 new events, 6 known already" in said.stdout


def test_patients_export_is_the_second_choice(run: Any, server: BulkServer) -> None:
    server.offers = ("Patient/$export",)
    assert told(run())["mode"] == "export"


def test_deleted_and_error_files_and_odd_lines_are_accounted_for(run: Any, server: BulkServer, tmp_path: Path) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "incomplete", "diagnostics": "Jane Canary"}]}
    odd = [
        b"not json",
        b"",
        b"  ",
        b'{"resourceType":"Observation","id":"odd"}',
        b'{"resourceType":"Observation","id":"big","x":"' + b"x" * 20_000 + b'"}',
        b'{"resourceType":"Encounter","id":"e"}',
        b'{"a":1,"a":2}',
        b'{"resourceType":7}',
        b"[" * 5000,
    ]
    server.files["odd.ndjson"] = ("output", "Observation", b"\r\n".join(odd))
    server.files["gone.ndjson"] = ("deleted", "Bundle", ndjson(GONE))
    server.files["errors.ndjson"] = ("error", "OperationOutcome", ndjson(outcome, outcome) + b"{")
    os.environ["VBQ_MAX_BODY_BYTES"] = "10000"
    try:
        found = told(run())
    finally:
        del os.environ["VBQ_MAX_BODY_BYTES"]
    assert found["new"] == 8, "six, a dead letter for what cannot be taken, and the deletion"
    assert found["reasons"] == {
        "duplicate-key": 1,
        "not-fhir": 1,
        "not-json": 1,
        "not-used": 1,
        "server-incomplete": 2,
        "server-unreadable": 1,
        "too-deep": 1,
        "too-large": 1,
    }
    assert "Canary" not in json.dumps(found)
    assert [row.resource for row in rows(tmp_path) if row.interaction == "delete"] == ["Observation/t-p2"]


def test_the_token_goes_to_the_files_only_where_they_need_it(
    run: Any, server: BulkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    server.token = "t0ken"
    reads = {"kind": "bearer", "token_env": "TOKEN"}
    for needs, sent in ((False, None), (True, "Bearer t0ken"), (None, "Bearer t0ken")):
        server.needs_token, server.waits = needs, 1
        server.hosted.asked.clear()
        told(run(reads=reads))
        assert {one.token for one in server.hosted.asked if one.path.startswith("files/")} == {sent}
        assert {one.token for one in server.hosted.asked if not one.path.startswith("files/")} == {"Bearer t0ken"}


def test_files_at_another_server_must_be_configured_and_get_no_token(
    run: Any, server: BulkServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    reads = {"kind": "bearer", "token_env": "TOKEN"}
    with hostile(lambda asked: Answer(200, server.files[asked.path.rpartition("/")[2]][2])) as store:
        server.at, server.token = f"{store.root}/bucket", "t0ken"
        refused = run(reads=reads).exception
        assert isinstance(refused, Forbidden)
        assert "export_files_at" in refused.detail
        assert store.asked == []
        found = told(run("--restart", reads=reads, export_files_at=[store.root]))
        assert (found["new"], {one.token for one in store.asked}) == (6, {None})
        server.needs_token = True
        refused = run("--restart", reads=reads, export_files_at=[store.root]).exception
        assert isinstance(refused, Forbidden)
        assert "goes to no other server" in refused.detail


@pytest.mark.parametrize(
    ("place", "kind"), [("http://127.0.0.1:1/state", Forbidden), ("", Forbidden), ("file:///etc/passwd", Forbidden)]
)
def test_the_state_of_an_export_is_asked_at_the_server_alone(
    run: Any, server: BulkServer, place: str, kind: type[Exception]
) -> None:
    server.fault = lambda asked: Answer(202, b"", {"Content-Location": place}) if "$export" in asked.path else None
    assert isinstance(run().exception, kind)


@pytest.mark.parametrize(
    "manifest",
    [{}, {"output": {}}, {"output": [7]}, {"output": [{"type": "Patient"}]}, {"output": [{"url": "x", "type": 7}]}],
)
def test_a_manifest_that_is_none_is_refused(run: Any, server: BulkServer, manifest: Any) -> None:
    server.fault = lambda asked: Answer(200, manifest) if asked.path.startswith("state") else None
    assert isinstance(run().exception, Rejected)


def test_a_file_that_breaks_off_is_read_on_behind_what_is_in(
    run: Any, server: BulkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "BATCH_LINES", 8)
    many = [records.t_score(f"q{number}") for number in range(40)]
    body = ndjson(*many)
    server.files = {"o.ndjson": ("output", "Observation", body)}
    cuts = [1000, 4000, 9000]

    def broken(asked: Asked) -> Answer | None:
        if not (asked.path.startswith("files/") and cuts):
            return None
        upto = cuts.pop(0)
        return Answer(200, body[:upto], {"Content-Length": str(len(body)), "Connection": "close"})

    server.fault = broken
    found = told(run())
    assert (found["new"], found["known"]) == (40, 0)
    assert len(rows(tmp_path)) == 40


def test_an_export_that_ran_out_is_asked_for_again(run: Any, server: BulkServer, tmp_path: Path) -> None:
    lost = [True]

    def gone(asked: Asked) -> Answer | None:
        return Answer(404, {}) if asked.path == "files/o.ndjson" and len(server.kicked) == 1 and lost else None

    server.fault = gone
    found = told(run())
    assert len(server.kicked) == 2
    assert found["new"] == 6
    assert names(tmp_path) == EVERYBODY


def test_a_server_that_goes_away_leaves_a_backfill_to_go_on_with(run: Any, server: BulkServer, tmp_path: Path) -> None:
    server.fault = lambda asked: Answer(503, {}, {"Retry-After": "900"}) if asked.path == "files/o.ndjson" else None
    assert isinstance(run().exception, EhrUnavailable)
    assert names(tmp_path) == [f"Patient/p{n}" for n in range(3)]
    server.fault = lambda asked: None
    server.hosted.asked.clear()
    found = told(run())
    assert (found["new"], found["known"]) == (6, 0)
    assert [path for path in server.hosted.paths() if path.startswith("files/")] == ["files/o.ndjson"]


def test_a_type_that_a_server_does_not_have_is_said(run: Any, server: BulkServer) -> None:
    server.offers = ()
    server.fault = lambda asked: Answer(404, {}) if asked.path.startswith(("Endpoint", "ImagingStudy")) else None
    assert told(run())["reasons"] == {"type-not-offered": 2}


def test_pages_in_circles_hold_up_no_other_type(run: Any, server: BulkServer, tmp_path: Path) -> None:
    server.offers = ()
    circle = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": PEOPLE[0]}],
        "link": [{"relation": "next", "url": f"{server.hosted.base}/Patient?again"}],
    }
    server.fault = lambda asked: Answer(200, circle) if asked.path.startswith("Patient") else None
    refused = run().exception
    assert isinstance(refused, Rejected)
    assert refused.reason_code == "ehr-paging"
    assert [name for name in names(tmp_path) if name.startswith("Obs")] == [f"Observation/t-p{n}" for n in range(3)]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--fhir", "http://127.0.0.1:1/x", "--sender", "y"],
        ["--fhir", "http://127.0.0.1:1/x", "--since", "yesterday"],
        ["--fhir", "http://127.0.0.1:1/x", "--types", "Encounter"],
        ["--fhir", "http://127.0.0.1:1/x", "--types", ","],
        ["--fhir", "http://127.0.0.1:1/x", "--page-size", "0"],
    ],
)
def test_wrong_usage_is_told(args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path))
    assert CliRunner().invoke(backfill, args).exit_code == 2


def test_an_unknown_server_beside_configured_ones_is_refused(run: Any, server: BulkServer) -> None:
    assert told(run(reads={"kind": "none"}))["source"] == "hapi"
    with hostile(server) as other:
        refused = CliRunner().invoke(backfill, ["--fhir", other.base]).exception
    assert isinstance(refused, NotConfigured)
    unread = run().exception if run(fhir_base_url=server.hosted.base).exit_code == 0 else None
    assert unread is None


def test_lines_are_split_wherever_the_parts_are(server: BulkServer) -> None:
    text = b"one\n\ntwo\r\n" + b"x" * 50 + b"\nthree\nfour"
    for size in (1, 2, 7, 64, 1000):
        parts = (text[start : start + size] for start in range(0, len(text), size))
        assert list(split(parts, 40)) == [b"one", b"two", None, b"three", b"four"]


def test_a_backfill_that_is_killed_goes_on(server: BulkServer, tmp_path: Path) -> None:
    """kill -9 in the middle of a file; the second run reads the rest, and nothing twice but a batch at most."""
    many = [records.t_score(f"q{number}") for number in range(3000)]
    body = ndjson(*many)
    slow = [True]

    def trickle(sink: Any) -> None:
        sink.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        half = len(body) // 2
        sink.write(body[:half])
        sink.flush()
        time.sleep(60 if slow else 0)

    server.files = {"o.ndjson": ("output", "Observation", body)}
    server.fault = lambda asked: Answer(raw=trickle) if asked.path.startswith("files/") and slow else None
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
    command = [sys.executable, "-m", "commands", "backfill", "--fhir", server.hosted.base, "--json"]
    environment = {**clean, "VBQ_DATA_DIR": str(tmp_path)}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and (not (tmp_path / "vbq.sqlite3").exists() or len(seen(tmp_path)) < 1000):
            time.sleep(0.1)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = len(seen(tmp_path))
    assert 1000 <= before < 3000
    slow.clear()
    end_lease(tmp_path)
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert len(rows(tmp_path)) == 3000
    assert found["new"] + found["known"] == 3000
    assert found["known"] <= gateway.BATCH_LINES
    assert len(server.kicked) == 1


def seen(place: Path) -> list[EventRow]:
    try:
        return rows(place)
    except Exception:  # noqa: BLE001 - the child is still making the tables
        return []


def end_lease(place: Path) -> None:
    """The killed process's right runs out after 20 s; the test does not wait for it."""
    from sqlalchemy import update

    from gateways.store.tables import leases

    database = Database(f"sqlite:///{place / 'vbq.sqlite3'}")
    with database.write() as connection:
        connection.execute(update(leases).values(until=0.0))
    database.close()


def test_a_long_file_is_read_in_little_memory(tmp_path: Path, run: Any, server: BulkServer) -> None:
    """40 MB in 2,000 lines of which most are passed over: what is held does not grow with the file."""
    line = json.dumps({"resourceType": "Encounter", "id": "e", "text": "x" * 20_000}).encode() + b"\n"

    def raw(sink: Any) -> None:
        sink.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(line) * 2000))
        for _ in range(2000):
            sink.write(line)

    server.files = {"o.ndjson": ("output", "Encounter", b"")}
    server.fault = lambda asked: Answer(raw=raw) if asked.path.startswith("files/") else None
    told(run("--search", "--types", "Endpoint"))  # everything is loaded now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert told(run())["reasons"] == {"not-used": 2000}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30 * 1024


def test_a_server_that_we_did_not_write_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VBQ_DATA_DIR", str(tmp_path / "ours"))
    with sekmet(tmp_path, monkeypatch, simulator={"enabled": False, "delay_seconds": 0.1}) as theirs:
        for row in (*PEOPLE, *SCORES):
            assert theirs.put(f"/fhir/{row['resourceType']}/{row['id']}", json=row).status_code == 201
        base = f"{str(theirs.base_url).rstrip('/')}/fhir"
        found = told(CliRunner().invoke(backfill, ["--fhir", base, "--json"]))
        assert (found["mode"], found["new"]) == ("export", 6)
        again = told(CliRunner().invoke(backfill, ["--fhir", base, "--json", "--search", "--page-size", "2"]))
        assert (again["mode"], again["new"], again["known"]) == ("search", 0, 6)
    assert names(tmp_path / "ours") == EVERYBODY
