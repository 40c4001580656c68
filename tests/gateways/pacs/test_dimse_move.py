"""C-MOVE, and DIMSE over TLS: against an archive made of pynetdicom."""

import contextlib
import gc
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from gateways.dicom.limits import DicomLimits
from gateways.dicom.study import open_study
from gateways.pacs import dimse_association, dimse_move
from gateways.pacs.dimse import lets_us_in
from gateways.pacs.location import locate
from gateways.pacs.received_studies import ReceivedStudies
from schemas.config import Config
from schemas.errors import NotConfigured, PacsUnavailable, TooLarge
from tests.dicom_writer import StudyWriter
from tests.gateways.pacs.certificates import Authority
from tests.gateways.pacs.test_dicomweb import STUDY, vbq_of
from tests.gateways.pacs.test_dimse import Peer, config, free_port, listening
from tests.gateways.pacs.test_receive import scp, send

# pynetdicom leaves the socket of a connection that failed for the garbage collector to close, which warns
ABANDONED = "ignore::pytest.PytestUnraisableExceptionWarning"


@pytest.fixture
def abandoned_sockets() -> Iterator[None]:
    """Have them collected within the test that made them."""
    yield
    gc.collect()


@pytest.fixture
def peer(study: Path) -> Iterator[Peer]:
    found = Peer(study)
    found.destinations = {"VBQ": ("127.0.0.1", free_port())}
    with listening(found):
        yield found


def moving(peer: Peer, **changes: Any) -> Config:
    return config(peer.port, move={"port": peer.destinations["VBQ"][1], **changes})


def test_a_series_is_fetched_by_c_move(peer: Peer, tmp_path: Path, rois: dict[str, Any]) -> None:
    place = locate(STUDY, [], moving(peer), scratch=tmp_path / "scratch")
    assert vbq_of(place, rois) == pytest.approx(4.0)
    assert {header.uid for header in open_study(place).study.series} == {"2.25.9.1"}
    assert [uid for level, uid in peer.sent if level == "SERIES"] == ["2.25.9.1"] * 9
    with socket.socket() as free:  # the port is given back
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(peer.destinations["VBQ"])


def test_what_was_not_asked_for_is_not_taken(peer: Peer, study: Path, tmp_path: Path, rois: dict[str, Any]) -> None:
    writer = StudyWriter(tmp_path / "other")
    other = writer.dataset(3, StudyInstanceUID="2.25.77", SOPInstanceUID="2.25.77.1.1")
    sibling = writer.dataset(3, SeriesInstanceUID="2.25.9.55")
    peer.strays = [other, sibling]
    place = locate(STUDY, [], moving(peer), scratch=tmp_path / "scratch")
    assert vbq_of(place, rois) == pytest.approx(4.0)
    found = open_study(place).study
    assert (found.study_uid, {header.uid for header in found.series}) == ("2.25.9", {"2.25.9.1"})
    assert len(list(place.rglob("*.dcm"))) == 9


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (0xA702, "pacs-move"),
        (0xFE00, "pacs-move"),  # cancelled, by somebody there
        ("short", "pacs-cut"),
        ("twice", "pacs-cut"),  # nine images, one of them doubled
    ],
)
def test_a_move_that_fails_is_asked_for_again(
    peer: Peer, tmp_path: Path, fault: int | str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimse_association, "LATE_S", 0.1)
    peer.refusal, peer.fault = (fault, None) if isinstance(fault, int) else (None, fault)
    with pytest.raises(PacsUnavailable) as caught:
        locate(STUDY, [], moving(peer), scratch=tmp_path)
    assert caught.value.reason_code == code
    assert "2.25" not in caught.value.detail


def test_a_series_that_cannot_be_sent_stands_in_nobodys_way(peer: Peer, tmp_path: Path, rois: dict[str, Any]) -> None:
    """It may be one that is no picture; but if it could be the only T1, nothing is said before it came."""
    peer.unsent = {"2.25.9.2"}
    assert vbq_of(locate(STUDY, [], moving(peer), scratch=tmp_path / "scratch"), rois) == pytest.approx(4.0)
    peer.unsent = {"2.25.9.1"}
    with pytest.raises(PacsUnavailable) as caught:
        locate(STUDY, [], moving(peer), scratch=tmp_path / "other")
    assert caught.value.reason_code == "pacs-move"


def test_a_move_that_stands_still_is_cancelled(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer.fault = "hangs"
    monkeypatch.setattr(dimse_association, "SECONDS", 1.0)
    begun = time.monotonic()
    with pytest.raises(PacsUnavailable) as caught:
        locate(STUDY, [], moving(peer), scratch=tmp_path)
    assert (caught.value.reason_code, peer.cancelled) == ("pacs-slow", True)
    assert time.monotonic() - begun < 20


def test_more_than_the_limit_ends_a_move(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_BYTES"):
        locate(STUDY, [], moving(peer), scratch=tmp_path, limits=DicomLimits(study_bytes=20_000))


@pytest.mark.usefixtures("abandoned_sockets")
@pytest.mark.filterwarnings(ABANDONED)
def test_images_count_only_from_the_archive_and_only_where_it_knows_us(peer: Peer, tmp_path: Path) -> None:
    for odd in ({"ae_title": "OTHER"}, {"sends_as": ["SOMEBODY"]}, {"addresses": ["10.0.0.9"]}):
        with pytest.raises(PacsUnavailable, match=r"dimse\.move\.ae_title") as caught:
            locate(STUDY, [], moving(peer, **odd), scratch=tmp_path)
        assert caught.value.reason_code == "pacs-move-destination"


def test_one_fetch_at_a_time_has_the_port(peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimse_move, "BUSY_SECONDS", 0.3)
    with socket.socket() as other:
        other.bind(peer.destinations["VBQ"])
        other.listen()
        with pytest.raises(PacsUnavailable) as caught:
            locate(STUDY, [], moving(peer), scratch=tmp_path)
    assert (caught.value.reason_code, caught.value.retry_after_s) == ("pacs-move-busy", 15.0)


class Tls:
    """Both sides' certificates, and the archive's context."""

    def __init__(self, root: Path) -> None:
        self.authority = Authority(root)
        self.stranger = Authority(root, "stranger")
        self.archive, self.ours = self.authority.signs("archive"), self.authority.signs("ours")

    def files(self, pair: tuple[Path, Path]) -> dict[str, str]:
        return {"certificate_file": str(pair[0]), "key_file": str(pair[1]), "ca_file": str(self.authority.file)}

    def server(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority.file))
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*(pair or self.archive))
        return context

    def client(self, pair: tuple[Path, Path] | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.file))
        if pair is not None:
            context.load_cert_chain(*pair)
        return context


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    (tmp_path / "keys").mkdir()
    return Tls(tmp_path / "keys")


def test_queries_and_images_go_over_tls(study: Path, tmp_path: Path, rois: dict[str, Any], tls: Tls) -> None:
    archive = Peer(study)
    port = free_port()
    archive.destinations = {"VBQ": ("127.0.0.1", port, {"tls_args": (tls.client(tls.archive), "127.0.0.1")})}
    ours = tls.files(tls.ours)
    with listening(archive, tls=tls.server()):
        for way in ({}, {"move": {"port": port, "tls": ours}}):
            place = locate(STUDY, [], config(archive.port, tls=ours, **way), scratch=tmp_path / f"scratch{len(way)}")
            assert vbq_of(place, rois) == pytest.approx(4.0)
        (wanted,) = config(archive.port, tls=ours, move={"port": port, "tls": ours}).dimse
        assert lets_us_in(wanted) == f"takes our association over TLS; C-MOVE to VBQ, port {port}"


@pytest.mark.usefixtures("abandoned_sockets")
@pytest.mark.filterwarnings(ABANDONED)
def test_an_archive_whose_certificate_is_not_right_gets_nothing(study: Path, tmp_path: Path, tls: Tls) -> None:
    elsewhere = tls.authority.signs("elsewhere", "10.9.9.9")
    expired = tls.authority.signs("expired", days=-1)
    foreign = tls.stranger.signs("foreign")
    for pair, words in ((elsewhere, "address mismatch"), (expired, "expired"), (foreign, "unable to get local issuer")):
        archive = Peer(study)
        with listening(archive, tls=tls.server(pair)), pytest.raises(PacsUnavailable) as caught:
            locate(STUDY, [], config(archive.port, tls=tls.files(tls.ours)), scratch=tmp_path)
        assert caught.value.reason_code == "pacs-tls"
        assert words in caught.value.detail
    with listening(plain := Peer(study)), pytest.raises(PacsUnavailable, match="TLS with it failed"):
        locate(STUDY, [], config(plain.port, tls=tls.files(tls.ours)), scratch=tmp_path)


def test_tls_of_a_query_without_tls_of_its_images_is_refused(tls: Tls) -> None:
    with pytest.raises(ValueError, match="go together"):
        config(104, tls=tls.files(tls.ours), move={"port": 11113})
    with pytest.raises(ValueError, match="go together"):
        config(104, move={"port": 11113, "tls": tls.files(tls.ours)})


def test_files_that_are_not_there_are_said(peer: Peer, tmp_path: Path, tls: Tls) -> None:
    files = tls.files(tls.ours)
    for name in ("ca_file", "certificate_file"):
        with pytest.raises(NotConfigured, match=name):
            locate(STUDY, [], config(peer.port, tls={**files, name: str(tmp_path / "none.pem")}), scratch=tmp_path)


@pytest.mark.usefixtures("abandoned_sockets")
@pytest.mark.filterwarnings(ABANDONED)
def test_what_is_sent_to_us_comes_over_tls_alone(tmp_path: Path, tls: Tls) -> None:
    writer = StudyWriter(tmp_path / "study")
    image: Dataset = writer.dataset(0)
    studies = ReceivedStudies(tmp_path / "received", most_bytes=50_000_000)
    with scp(studies, tls=tls.files(tls.ours)) as port:
        assert send(port, [image]) is None  # in plain
        assert send(port, [image], tls=tls.client(None)) is None  # without a certificate
        assert send(port, [image], tls=tls.client(tls.stranger.signs("foreign"))) is None
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))):  # says nothing, and stops nobody
            assert send(port, [image], tls=tls.client(tls.archive)) == [0]
    assert [row.instances for row in studies.all()] == [1]
