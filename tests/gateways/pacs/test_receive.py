"""Studies that are sent to us: who may send, what is taken, what becomes of it. Sent by pynetdicom's own SCU."""

import gc
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context
from sqlalchemy import select

from gateways.dicom.decoder import Decoder
from gateways.dicom.limits import DicomLimits
from gateways.fhir.servers import FhirServers
from gateways.pacs import dimse_server as dimse_scp
from gateways.pacs import received_studies
from gateways.pacs.announcing import Announcer
from gateways.pacs.received_studies import ReceivedStudies
from gateways.pacs.storage_scp import listening
from gateways.queue.inbox import Inbox
from gateways.store.tables import inbox as inbox_table
from schemas.config import Config, Receive
from schemas.errors import NotConfigured
from tests.databases import with_tables

TOKEN = "0" * 64


def wanted(**changes: Any) -> Receive:
    peers = [{"ae_title": "SCANNER", "addresses": ["127.0.0.1"]}]
    return Receive.model_validate({"peers": peers, "port": 1, "quiet_seconds": 1, **changes})


@pytest.fixture
def studies(tmp_path: Path) -> ReceivedStudies:
    return ReceivedStudies(tmp_path / "studies" / "received", most_bytes=50_000_000)


@contextmanager
def scp(studies: ReceivedStudies, **changes: Any) -> Iterator[int]:
    """The listener on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with listening(wanted(port=port, **changes), studies):
        yield port


def send(
    port: int, datasets: list[Any], *, calling: str = "SCANNER", called: str = "VBQ", tls: Any = None
) -> list[int] | None:
    """The status of each C-STORE; None where the association was refused."""
    entity = AE(ae_title=calling)
    entity.requested_contexts = [
        build_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]) for uid in (MRImageStorage, CTImageStorage)
    ]
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    tls_args = (tls, "127.0.0.1") if tls is not None else None
    association = entity.associate("127.0.0.1", port, ae_title=called, tls_args=tls_args)
    if not association.is_established:
        return None
    found = []
    try:
        for dataset in datasets:
            try:
                status = association.send_c_store(dataset)
            except (ValueError, RuntimeError):  # no context for it was accepted; or the association is gone
                return None
            found.append(int(status.Status) if "Status" in status else -1)
    finally:
        if association.is_established:
            association.release()
    return found


def test_a_study_of_a_listed_peer_is_kept_under_names_that_say_nothing(writer: Any, studies: ReceivedStudies) -> None:
    datasets = [dcmread(path) for path in writer.series()]
    with scp(studies) as port:
        assert send(port, datasets) == [0] * 9
        assert send(port, datasets[:2]) == [0, 0]  # again: replaced, not doubled
    (row,) = studies.all()
    assert row.instances == 9
    names = [path.name for path in studies.root.rglob("*")]
    assert not any("2.25" in name or "SYNTH" in name for name in names)
    assert {dcmread(path).SOPInstanceUID for path in row.place.iterdir()} == {one.SOPInstanceUID for one in datasets}
    assert studies.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "odd",
    [{"calling": "STRANGER"}, {"called": "OTHER"}],
)
def test_an_ae_title_that_is_not_configured_gets_no_association(
    odd: dict[str, str], writer: Any, studies: ReceivedStudies
) -> None:
    with scp(studies) as port:
        assert send(port, [writer.dataset(0)], **odd) is None
    assert list(studies.all()) == []


def test_an_ae_title_counts_only_from_its_own_address(writer: Any, studies: ReceivedStudies) -> None:
    peers = [
        {"ae_title": "SCANNER", "addresses": ["10.0.0.1", "fd00::1"]},
        {"ae_title": "OTHER", "addresses": ["127.0.0.1"]},
    ]
    with scp(studies, peers=peers) as port:
        assert not send(port, [writer.dataset(0)])
        assert send(port, [writer.dataset(0)], calling="OTHER") == [0]
    assert len(list(studies.all())) == 1


def test_only_mr_is_taken(writer: Any, studies: ReceivedStudies) -> None:
    picture = writer.dataset(0)
    picture.SOPClassUID = picture.file_meta.MediaStorageSOPClassUID = CTImageStorage
    with scp(studies) as port:
        assert send(port, [picture]) is None
    assert list(studies.all()) == []


def test_images_that_name_no_study_are_refused_and_leave_nothing(writer: Any, studies: ReceivedStudies) -> None:
    nameless = writer.dataset(0)
    del nameless.StudyInstanceUID
    with scp(studies) as port:
        assert send(port, [nameless, writer.dataset(1)]) == [0xC000, 0]
    assert [row.instances for row in studies.all()] == [1]
    assert not list(studies.root.glob("*.part"))


def test_beyond_our_share_of_the_disk_the_sender_hears_that_it_is_full(writer: Any, tmp_path: Path) -> None:
    small = ReceivedStudies(tmp_path / "small", most_bytes=20_000)
    with scp(small) as port:
        assert send(port, [writer.dataset(index) for index in range(4)]) == [0, 0, 0xA700, 0xA700]
    again = ReceivedStudies(tmp_path / "small", most_bytes=20_000)  # a restart counts what is there
    with scp(again) as port:
        assert send(port, [writer.dataset(3)]) == [0xA700]
        again.remove(next(again.all()).name)
        assert send(port, [writer.dataset(3)]) == [0]


def test_what_is_sent_again_takes_no_more_room(writer: Any, tmp_path: Path) -> None:
    small = ReceivedStudies(tmp_path / "small", most_bytes=20_000)
    content = writer.series()[0].read_bytes()
    for _ in range(10):
        small.keep(content)
    assert [row.instances for row in small.all()] == [1]


def test_a_full_disk_is_said(writer: Any, studies: ReceivedStudies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received_studies, "ROOM_BYTES", 2**62)
    with scp(studies) as port:
        assert send(port, [writer.dataset(0)]) == [0xA700]


def test_an_endless_image_ends_its_association(
    writer: Any, studies: ReceivedStudies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimse_scp, "MAX_IMAGE_BYTES", 50_000)
    large = writer.dataset(0, PixelData=bytes(2 * 400 * 400), Rows=400, Columns=400)
    with scp(studies) as port:
        assert send(port, [large]) in (None, [-1])
        assert send(port, [writer.dataset(1)]) == [0]  # and others go on
    assert [row.instances for row in studies.all()] == [1]


def test_half_a_message_and_a_lying_length_stop_nobody(writer: Any, studies: ReceivedStudies) -> None:
    with scp(studies) as port, socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"\x01\x00\x00\x00")  # the beginning of an A-ASSOCIATE-RQ
        with socket.create_connection(("127.0.0.1", port), timeout=20) as lying:
            lying.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(1000))  # 4 GiB are to come
            assert send(port, [writer.dataset(0)]) == [0]
            assert lying.recv(1) == b"", "it is closed before they are waited for"


# pynetdicom leaves the socket of a connection that nobody took for the garbage collector to close, which warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_at_its_end_who_is_sending_may_finish_and_nobody_new_is_let_in(writer: Any, studies: ReceivedStudies) -> None:
    entity = AE(ae_title="SCANNER")
    entity.requested_contexts = [build_context(MRImageStorage, [ExplicitVRLittleEndian])]
    with ExitStack() as stack:
        port = stack.enter_context(scp(studies))
        association = entity.associate("127.0.0.1", port, ae_title="VBQ")
        assert association.send_c_store(writer.dataset(0)).Status == 0
        ending = threading.Thread(target=stack.close)
        ending.start()
        until = time.monotonic() + 20
        while send(port, []) is not None and time.monotonic() < until:
            time.sleep(0.05)
        assert association.send_c_store(writer.dataset(1)).Status == 0
        association.release()
        ending.join(30)
        assert not ending.is_alive()
    gc.collect()
    assert [row.instances for row in studies.all()] == [2]


def test_a_port_that_is_taken_is_said(studies: ReceivedStudies) -> None:
    with scp(studies) as port, pytest.raises(NotConfigured), listening(wanted(port=port), studies):
        pass


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed (Debian: dcmtk)")
def test_dcmtk_sends_to_us(writer: Any, studies: ReceivedStudies) -> None:
    paths = [str(path) for path in writer.series()]
    with scp(studies) as port:
        echo = ["echoscu", "-aet", "SCANNER", "-aec", "VBQ", "127.0.0.1", str(port)]
        assert subprocess.run(echo, capture_output=True, check=False).returncode == 0
        command = ["storescu", "-aet", "SCANNER", "-aec", "VBQ", "127.0.0.1", str(port), *paths]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert [row.instances for row in studies.all()] == [9]


# --- what becomes of a study -----------------------------------------------------------------------------------------

Look = Callable[..., tuple[Announcer, list[float]]]


@pytest.fixture
def look(tmp_path: Path, studies: ReceivedStudies) -> Iterator[Look]:
    """look(patients=[...]) -> an announcer over a real inbox, and its clock."""
    database = with_tables(f"sqlite:///{tmp_path / 'test.sqlite3'}")
    inbox = Inbox(database)
    decoder = Decoder()
    opened: list[FhirServers] = []

    def make(patients: list[dict[str, Any]], **sender: Any) -> tuple[Announcer, list[float]]:
        senders = [{"name": "ehr", "bearer_sha256": TOKEN, **sender}]
        config = Config.model_validate({"senders": senders})
        clock = [time.time() + 5]
        opened.append(FhirServers(config))
        announcer = Announcer(
            config,
            wanted(patients=patients),
            studies,
            inbox,
            opened[-1],
            reader=decoder,
            limits=DicomLimits(),
            clock=lambda: clock[0],
        )
        announcer.database = database  # type: ignore[attr-defined]  # for events()
        return announcer, clock

    yield make
    for servers in opened:
        servers.close()
    decoder.close()
    inbox.close()
    database.close()


def events(announcer: Any) -> list[tuple[str, str, str | None]]:
    with announcer.database.read() as connection:
        rows = connection.execute(select(inbox_table).order_by(inbox_table.c.id))
        return [(row.source, row.resource_type, row.patient) for row in rows]


def keep(studies: ReceivedStudies, paths: list[Path]) -> None:
    for path in paths:
        studies.keep(path.read_bytes())


def status(studies: ReceivedStudies) -> list[tuple[str, str]]:
    return [(row.note.status, row.note.code) for row in studies.all()]


def test_a_quiet_study_becomes_one_event_and_another_when_images_follow(
    writer: Any, studies: ReceivedStudies, look: Look
) -> None:
    paths = writer.series()
    keep(studies, paths[:8])
    announcer, clock = look([{"sender": "ehr"}])
    clock[0] -= 5
    assert announcer.look() == 0  # still arriving
    clock[0] += 5
    assert [announcer.look() for _ in range(3)] == [1, 0, 0]
    assert events(announcer) == [("ehr", "ImagingStudy", "Patient/SYNTH-0007")]
    keep(studies, paths[8:])
    clock[0] = time.time() + 5
    assert announcer.look() == 1
    assert len(events(announcer)) == 2
    assert status(studies) == [("announced", "")]


@pytest.mark.parametrize(
    ("changes", "patients", "code"),
    [
        ({"PatientID": ""}, [{"sender": "ehr"}], "no-patient-id"),
        ({"PatientID": "a b/c"}, [{"sender": "ehr"}], "patient-id-form"),
        ({"IssuerOfPatientID": "ELSEWHERE"}, [{"sender": "ehr"}], "issuer-unknown"),
        ({}, [], "issuer-unknown"),
        ({}, [{"sender": "ehr", "issuer": "HOSPITAL"}], "issuer-unknown"),
    ],
)
def test_a_study_whose_patient_cannot_be_told_waits_and_is_never_guessed(
    changes: dict[str, str],
    patients: list[dict[str, str]],
    code: str,
    writer: Any,
    studies: ReceivedStudies,
    look: Look,
) -> None:
    keep(studies, writer.series(**changes))
    announcer, _ = look(patients)
    assert announcer.look() == 0
    assert status(studies) == [("waiting", code)]
    assert events(announcer) == []


def test_two_patients_in_one_study_wait_for_a_person(writer: Any, studies: ReceivedStudies, look: Look) -> None:
    keep(studies, writer.series())
    keep(studies, writer.series("more", PatientID="SYNTH-0008", SeriesInstanceUID="2.25.9.7"))
    announcer, _ = look([{"sender": "ehr"}])
    announcer.look()
    assert status(studies) == [("waiting", "two-patients")]


def test_a_patient_is_searched_by_identifier_and_exactly_one_counts(
    writer: Any, studies: ReceivedStudies, look: Look, fhir: Any
) -> None:
    keep(studies, writer.series(IssuerOfPatientID="HOSPITAL"))
    patients = [{"sender": "ehr", "issuer": "HOSPITAL", "identifier_system": "urn:oid:1.2.3"}]
    announcer, clock = look(patients, fhir_base_url=fhir.url, reads={"kind": "none"})
    mine = {"system": "urn:oid:1.2.3", "value": "SYNTH-0007"}
    fhir.patients = [{"resourceType": "Patient", "id": "stranger", "identifier": [{**mine, "value": "SYNTH-9"}]}]
    announcer.look()
    assert status(studies) == [("waiting", "patient-not-found")]
    fhir.patients = [{"resourceType": "Patient", "id": name, "identifier": [mine]} for name in ("a", "b")]
    assert announcer.look() == 0  # not asked again at once
    clock[0] += 61
    announcer.look()
    assert status(studies) == [("waiting", "patient-ambiguous")]
    fhir.patients = fhir.patients[:1]
    clock[0] += 61
    assert announcer.look() == 1
    assert [row[1:] for row in events(announcer)] == [("Patient", "Patient/a"), ("ImagingStudy", "Patient/a")]
    assert set(fhir.asked) == {"/Patient?identifier=urn%3Aoid%3A1.2.3%7CSYNTH-0007"}


def test_old_studies_are_removed(writer: Any, studies: ReceivedStudies) -> None:
    keep(studies, writer.series())
    assert studies.tidy(keep_seconds=3600) == 0
    later = ReceivedStudies(studies.root, most_bytes=1, clock=lambda: time.time() + 7200)
    assert later.tidy(keep_seconds=3600) == 1
    assert list(studies.root.iterdir()) == []


@pytest.fixture
def fhir() -> Iterator[Any]:
    """A FHIR server that answers a search of Patients with `patients`, whatever was asked."""
    import json
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server: Any = self.server
            server.asked.append(self.path)
            entries = [{"resource": one} for one in server.patients]
            body = json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Quiet."""

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.asked, server.patients = [], []
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
