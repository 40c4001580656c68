"""vbq doctor asks each archive whether it answers and lets us in, and shows nothing of what it answers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from commands.doctor import doctor
from gateways.settings import Settings
from tests.dicom_writer import StudyWriter
from tests.gateways.pacs.archive import running
from tests.gateways.pacs.test_dimse import Peer, free_port, listening


def archive_check(
    monkeypatch: pytest.MonkeyPatch, place: Path, name: str = "PACS main", **config: Any
) -> dict[str, Any]:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"VBQ_{field.upper()}", raising=False)
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("VBQ_DATA_DIR", str(place / "data"))
    monkeypatch.setenv("VBQ_CONFIG", str(place / "config.yaml"))
    done = CliRunner().invoke(doctor, ["--json"], standalone_mode=False)
    assert "SYNTH" not in done.output
    (row,) = (row for row in json.loads(done.stdout)["checks"] if row["name"] == name)
    return dict(row)


def test_an_archive_that_lets_us_in_is_well_and_others_say_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path / "study")
    writer.series()
    with running(writer.root) as server:
        server.answer = b"[]"
        pacs = {"name": "main", "wado_rs": server.url}
        assert archive_check(monkeypatch, tmp_path, pacs=[pacs])["ok"]
        for fault, words in ((401, "pacs.auth"), (404, "path of pacs.wado_rs"), (503, "answered 503")):
            server.fault = fault
            row = archive_check(monkeypatch, tmp_path, pacs=[pacs])
            assert not row["ok"]
            assert words in row["detail"]
    row = archive_check(monkeypatch, tmp_path, pacs=[{**pacs, "wado_rs": "http://169.254.169.254/dicom-web"}])
    assert "link-local or metadata" in row["detail"]


def test_an_archive_that_speaks_dimse_is_asked_for_an_association(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = {"name": "main", "host": "127.0.0.1", "port": free_port(), "ae_title": "ARCHIVE"}
    (tmp_path / "empty").mkdir()
    peer = Peer(tmp_path / "empty")
    peer.port = place["port"]  # type: ignore[assignment]  # of a dictionary of both kinds
    with listening(peer):
        assert archive_check(monkeypatch, tmp_path, dimse=[place])["ok"]
        row = archive_check(monkeypatch, tmp_path, dimse=[{**place, "calling_ae_title": "STRANGER"}])
        assert "takes no association" in row["detail"]


def test_a_receiver_that_does_not_run_or_could_not_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def check(**changes: Any) -> dict[str, Any]:
        peers = [{"ae_title": "SCANNER", "addresses": ["10.1.2.20"]}]
        receive = {"peers": peers, "patients": [{"sender": "ehr"}], **changes}
        senders = [{"name": "ehr", "bearer_sha256": "0" * 64}]
        return archive_check(monkeypatch, tmp_path, "receive VBQ", receive=receive, senders=senders)

    assert not check()["needed"]  # it may run elsewhere
    assert "vbq up" in check()["detail"]
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "receive.heartbeat").touch()
    assert check()["ok"]
    for wrong, words in (
        ({"patients": [{"sender": "nobody"}]}, "nobody"),
        ({"patients": []}, "every study waits"),
        ({"tls": {"certificate_file": "none.pem", "ca_file": "none.pem"}}, "tls.ca_file"),
    ):
        row = check(**wrong)
        assert (row["ok"], row["needed"]) == (False, True)
        assert words in row["detail"]
