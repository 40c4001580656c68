"""Fetching over DIMSE: against an archive made of pynetdicom, and against Orthanc where it is installed."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, build_context, evt

from gateways.dicom.limits import DicomLimits
from gateways.dicom.study import open_study
from gateways.pacs.dimse_association import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE
from gateways.pacs.dimse_server import MR_STORAGE, SYNTAXES
from gateways.pacs.location import locate
from schemas.config import Config
from schemas.errors import NotMeasurable, PacsUnavailable, TooLarge
from tests.gateways.pacs.test_dicomweb import STUDY, vbq_of


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Peer:
    """A C-FIND, C-GET and C-MOVE archive over the files of a directory; `fault` is a status, or a word."""

    def __init__(self, root: Path) -> None:
        self.datasets = [dcmread(path) for path in sorted(root.rglob("*")) if path.is_file()]
        self.fault: int | str | None = None
        self.sent: list[tuple[str, str]] = []
        self.port = free_port()
        self.destinations: dict[str, tuple[Any, ...]] = {}
        self.strays: list[Any] = []
        self.cancelled = False
        self.refusal: int | None = None  # of a C-MOVE of a whole series
        self.unsent: set[str] = set()  # series of which a C-MOVE brings nothing

    def matching(self, query: Dataset) -> list[Any]:
        keys = [key for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID") if query.get(key)]
        return [row for row in self.datasets if all(row.get(key) == query.get(key) for key in keys)]

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        if isinstance(self.fault, int):
            yield self.fault, None
            return
        seen = set()
        level = event.identifier.QueryRetrieveLevel
        for row in self.matching(event.identifier):
            answer = Dataset()
            answer.SeriesInstanceUID, answer.Modality = row.SeriesInstanceUID, row.Modality
            if level == "IMAGE":
                answer.SOPInstanceUID = row.SOPInstanceUID
            if str(answer) not in seen:
                seen.add(str(answer))
                yield 0xFF00, answer

    def get(self, event: Any) -> Iterator[Any]:
        rows = self.matching(event.identifier)
        if self.fault == "short" and len(rows) > 1:
            rows = rows[:-1]
        yield len(rows)
        for row in rows:
            self.sent.append((event.identifier.QueryRetrieveLevel, row.SeriesInstanceUID))
            yield 0xFF00, row

    def move(self, event: Any) -> Iterator[Any]:
        if event.move_destination not in self.destinations:
            yield None, None
            return
        yield self.destinations[event.move_destination]
        rows = self.matching(event.identifier)
        whole = event.identifier.QueryRetrieveLevel == "SERIES"
        if whole and self.fault == "short":
            rows = rows[:-1]
        if whole and self.fault == "twice":
            rows = [*rows[:-1], rows[0]]
        yield len(rows) + len(self.strays)
        if whole and self.refusal is not None:
            yield self.refusal, None
            return
        if event.identifier.SeriesInstanceUID in self.unsent:
            yield 0xA702, None
            return
        for row in [*self.strays, *rows]:
            self.sent.append((event.identifier.QueryRetrieveLevel, row.SeriesInstanceUID))
            yield 0xFF00, row
            if whole and self.fault == "hangs":
                until = time.monotonic() + 10
                while not self.cancelled and time.monotonic() < until:
                    time.sleep(0.05)
                    self.cancelled = bool(event.is_cancelled)
                yield 0xFE00, None
                return


@contextmanager
def listening(peer: Peer, *, tls: Any = None) -> Iterator[Peer]:
    entity = AE(ae_title="ARCHIVE")
    entity.require_called_aet = True
    entity.require_calling_aet = ["VBQ"]
    entity.requested_contexts = [build_context(sop_class, list(SYNTAXES)) for sop_class in MR_STORAGE]
    for model in (STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE):
        entity.add_supported_context(model)
    for sop_class in MR_STORAGE:
        entity.add_supported_context(sop_class, list(SYNTAXES), scu_role=True, scp_role=True)
    handlers: Any = [(evt.EVT_C_FIND, peer.find), (evt.EVT_C_GET, peer.get), (evt.EVT_C_MOVE, peer.move)]
    where = ("127.0.0.1", peer.port)
    server: Any = entity.start_server(where, block=False, evt_handlers=handlers, ssl_context=tls)
    try:
        yield peer
    finally:
        server.shutdown()


@pytest.fixture
def peer(study: Path) -> Iterator[Peer]:
    with listening(Peer(study)) as found:
        yield found


def config(port: int, **changes: Any) -> Config:
    archive = {"name": "old", "host": "127.0.0.1", "port": port, "ae_title": "ARCHIVE", **changes}
    return Config.model_validate({"dimse": [archive]})


def test_the_series_that_can_be_measured_is_fetched_and_one_image_of_the_others(
    peer: Peer, tmp_path: Path, rois: dict[str, Any]
) -> None:
    place = locate(STUDY, [], config(peer.port), scratch=tmp_path / "scratch")
    assert vbq_of(place, rois) == pytest.approx(4.0)
    assert {header.uid for header in open_study(place).study.series} == {"2.25.9.1"}
    whole = [uid for level, uid in peer.sent if level == "SERIES"]
    assert whole == ["2.25.9.1"] * 9
    assert sorted(uid for level, uid in peer.sent if level == "IMAGE") == ["2.25.9.1", "2.25.9.2", "2.25.9.3"]


def test_a_study_that_is_not_there_is_asked_for_again(peer: Peer, tmp_path: Path) -> None:
    peer.datasets = []
    with pytest.raises(PacsUnavailable) as caught:
        locate(STUDY, [], config(peer.port), scratch=tmp_path)
    assert caught.value.reason_code == "pacs-study-absent"


def test_a_study_without_t1_is_not_measurable(peer: Peer, tmp_path: Path) -> None:
    peer.datasets = [row for row in peer.datasets if row.SeriesInstanceUID != "2.25.9.1"]
    with pytest.raises(NotMeasurable):
        locate(STUDY, [], config(peer.port), scratch=tmp_path)


@pytest.mark.parametrize(("fault", "code"), [(0xA700, "pacs-find"), ("short", "pacs-cut")])
def test_an_archive_that_fails_is_asked_again(peer: Peer, tmp_path: Path, fault: int | str, code: str) -> None:
    peer.fault = fault
    with pytest.raises(PacsUnavailable) as caught:
        locate(STUDY, [], config(peer.port), scratch=tmp_path)
    assert caught.value.reason_code == code
    assert "2.25" not in caught.value.detail


# pynetdicom leaves the socket of a connection that nobody took for the garbage collector to close, which warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_archive_that_does_not_know_us_or_is_away_is_unavailable(peer: Peer, tmp_path: Path) -> None:
    for odd in (
        config(peer.port, calling_ae_title="STRANGER"),
        config(peer.port, ae_title="OTHER"),
        config(free_port()),
    ):
        with pytest.raises(PacsUnavailable) as caught:
            locate(STUDY, [], odd, scratch=tmp_path)
        assert caught.value.reason_code == "pacs-dimse"


def test_more_than_the_limit_is_refused(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_BYTES"):
        locate(STUDY, [], config(peer.port), scratch=tmp_path, limits=DicomLimits(study_bytes=20_000))
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_INSTANCES"):
        locate(STUDY, [], config(peer.port), scratch=tmp_path, limits=DicomLimits(instances=5))
