"""One association with an archive (PS3.4 annex C): C-FIND, and C-GET or C-MOVE. Raises our errors alone."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

from pydicom import Dataset

from gateways.dicom.pixels import quiet_pydicom
from gateways.pacs.dimse_move import awaiting
from gateways.pacs.dimse_server import MR_STORAGE, SECONDS, SYNTAXES, bounded
from gateways.pacs.dimse_taking import Arrivals, Taking
from gateways.pacs.dimse_tls import client_context, why_not
from schemas.config import DimseArchive
from schemas.errors import PacsUnavailable, Rejected

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PENDING = (0xFF00, 0xFF01)
SUCCESS, SOME_FAILED, DESTINATION_UNKNOWN = 0x0000, 0xB000, 0xA801
ENDED = -1
EXCHANGE_S = 90.0  # one retrieval, however slowly it trickles; a worker's task ends after VBQ_TASK_SECONDS
LATE_S = 2.0  # some archives report the end of a C-MOVE before the last image is through
CANCEL_S = 3.0
CONNECT_S = 5.0
LOOK_S = 0.25


class How(NamedTuple):
    """A way to retrieve: its name, its query model, the code of its failure."""

    name: str
    model: str
    code: str


GET, MOVE = How("C-GET", STUDY_ROOT_GET, "pacs-get"), How("C-MOVE", STUDY_ROOT_MOVE, "pacs-move")


@contextmanager
def associated(archive: DimseArchive, *, retrieving: bool = True) -> Iterator["Association"]:
    """An association; with C-MOVE, and where something is to be retrieved, we listen for the images meanwhile.

    Raises PacsUnavailable where nobody is there, we are refused, or the association ends early; NotConfigured.
    """
    arrivals = Arrivals()
    with ExitStack() as stack:
        if archive.move is not None and retrieving:
            stack.enter_context(awaiting(archive, archive.move, arrivals))
        association = _associate(archive, arrivals)
        try:
            with quiet_pydicom():
                yield Association(association, archive, arrivals)
        except (ValueError, RuntimeError) as error:  # pynetdicom's: no context was accepted; the association is gone
            raise PacsUnavailable(
                f"the archive ended the association or does not offer C-FIND and {_how(archive).name}; it will be "
                "asked again",
                code="pacs-dimse",
            ) from error
        finally:
            if association.is_established:
                association.release()


class Association:
    """Questions and images. For one thread."""

    def __init__(self, association: Any, archive: DimseArchive, arrivals: Arrivals) -> None:
        self._association = association
        self._archive = archive
        self._arrivals = arrivals

    def find(self, level: str, **keys: str) -> Iterator[Dataset]:
        """The rows of a C-FIND at `level`."""
        for answer, row in self._association.send_c_find(_query(level, keys), STUDY_ROOT_FIND):
            status = _status(answer)
            if status in PENDING and row is not None:
                yield row
            elif status != SUCCESS:
                raise PacsUnavailable(
                    "the archive's answer to a query failed; it will be asked again", code="pacs-find"
                )

    def retrieve(
        self, level: str, keys: Mapping[str, str], taking: Taking, *, images: int, needed: bool = True
    ) -> bool:
        """Have `images` images sent to `taking`; whether they came, which is no error unless they are `needed`.

        Raises PacsUnavailable where they do not come or the archive stands still, TooLarge.
        """
        how = _how(self._archive)
        self._arrivals.taking = taking
        try:
            with _patience(self._association, how, taking) as lost:
                status = self._ask(_query(level, keys), how, taking)
                _wait_for_the_last(taking, images, status)
        finally:
            self._arrivals.taking = None
        if isinstance(taking.failed, Rejected):
            raise taking.failed
        if taking.failed is not None:
            raise PacsUnavailable("an image cannot be written to the disk; make room", code="store") from taking.failed
        if lost.is_set():
            raise PacsUnavailable(
                "the archive stood still while it sent, and was cancelled; it will be asked again", code="pacs-slow"
            )
        if status == DESTINATION_UNKNOWN:
            raise PacsUnavailable(
                "the archive does not know where to send to, or cannot reach us: enter dimse.move.ae_title there, with "
                "our address and port; it will be asked again",
                code="pacs-move-destination",
            )
        came = status in (SUCCESS, SOME_FAILED) and taking.images >= images
        if status == ENDED or (needed and status not in (SUCCESS, SOME_FAILED)):
            raise unsent(self._archive)
        if needed and not came:
            raise PacsUnavailable("the archive sent a part of a series; it will be asked again", code="pacs-cut")
        return came

    def check(self) -> None:
        """Raises PacsUnavailable unless the archive takes queries and our way to retrieve."""
        how = _how(self._archive)
        taken = {str(context.abstract_syntax) for context in self._association.accepted_contexts}
        if not {STUDY_ROOT_FIND, how.model} <= taken:
            raise PacsUnavailable(
                f"the archive does not offer us C-FIND and {how.name} (study root); check its settings, and dimse.move "
                "in VBQ_CONFIG",
                code="pacs-dimse",
            )

    def _ask(self, query: Dataset, how: How, taking: Taking) -> int:
        """The last status; ENDED where the association did before one came."""
        status, move = ENDED, self._archive.move
        if move is None:
            answers = self._association.send_c_get(query, how.model)
        else:
            answers = self._association.send_c_move(query, move.ae_title, how.model)
        for answer, _ in answers:
            taking.heard()
            status = _status(answer)
        return status


@contextmanager
def _patience(association: Any, how: How, taking: Taking) -> Iterator[threading.Event]:
    """End a retrieval that stands still, takes too long or brings too much: pynetdicom waits for one answer at a time.

    It is cancelled first, as the standard wants, then aborted. The event tells whether that was for lack of time.
    """
    done, lost = threading.Event(), threading.Event()
    begun = time.monotonic()

    def watch() -> None:
        while not done.wait(LOOK_S):
            now = time.monotonic()
            if now - taking.touched > SECONDS or now - begun > EXCHANGE_S:
                lost.set()
            if lost.is_set() or taking.failed is not None:
                with suppress(RuntimeError, ValueError):  # it has ended meanwhile
                    association.send_c_cancel(1, query_model=how.model)
                if not done.wait(CANCEL_S):
                    association.abort()
                return

    association.dimse_timeout = association.network_timeout = EXCHANGE_S + CANCEL_S  # `watch` is stricter
    thread = threading.Thread(target=watch, name="dimse-patience", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join()
        association.dimse_timeout = association.network_timeout = SECONDS


def _wait_for_the_last(taking: Taking, images: int, status: int) -> None:
    while status == SUCCESS and taking.images < images and taking.failed is None:
        if time.monotonic() - taking.touched > LATE_S:
            return
        time.sleep(0.05)


def _associate(archive: DimseArchive, arrivals: Arrivals) -> Any:
    from pynetdicom import AE, build_role, evt

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines repeat what archives send
    how = _how(archive)
    entity = AE(ae_title=archive.calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
    entity.connection_timeout = CONNECT_S
    for model in (STUDY_ROOT_FIND, how.model):
        entity.add_requested_context(model)
    roles: list[Any] = []
    if how is GET:
        for sop_class in MR_STORAGE:
            entity.add_requested_context(sop_class, list(SYNTAXES))
            roles.append(build_role(sop_class, scp_role=True))
    handlers: Any = [(evt.EVT_CONN_OPEN, bounded), (evt.EVT_C_STORE, arrivals.store)]
    handlers.append((evt.EVT_DATA_RECV, arrivals.heard))
    tls: Any = None
    if archive.tls is not None:
        tls = (client_context(archive.tls), archive.tls.server_name or archive.host)
    association = entity.associate(
        archive.host, archive.port, ae_title=archive.ae_title, ext_neg=roles, evt_handlers=handlers, tls_args=tls
    )
    if not association.is_established:
        if reason := why_not(archive):
            raise PacsUnavailable(
                f"no TLS with the archive: {reason}; check dimse.tls and the archive", code="pacs-tls"
            )
        raise PacsUnavailable(
            "the archive takes no association; check dimse in VBQ_CONFIG and there", code="pacs-dimse"
        )
    return association


def unsent(archive: DimseArchive) -> PacsUnavailable:
    """The archive says that it failed."""
    return PacsUnavailable(
        "the archive did not send what it was asked for; it will be asked again", code=_how(archive).code
    )


def _how(archive: DimseArchive) -> How:
    return GET if archive.move is None else MOVE


def _status(answer: Dataset) -> int:
    return int(answer.Status) if "Status" in answer else ENDED


def _query(level: str, keys: Mapping[str, str]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
