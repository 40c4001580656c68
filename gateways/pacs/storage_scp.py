"""A DICOM storage SCP (PS3.4 annex B) for MR: who may send is listed by AE title and address, everything is bounded."""

import ipaddress
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from gateways.pacs.received_studies import ReceivedStudies
from schemas.config import DimsePeer, Receive
from schemas.errors import NotAcceptable, NotConfigured, StoreUnavailable

MR_STORAGE = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")  # MR, enhanced MR
VERIFICATION = "1.2.840.10008.1.1"
SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)
SECONDS = 30.0
MAX_PDU = 1 << 17
MAX_IMAGE_BYTES = 512 * 2**20  # an enhanced MR of 2,000 frames of 512 x 512 is twice that; such a study comes in parts
SUCCESS, OUT_OF_RESOURCES, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000

log = logging.getLogger(__name__)


@contextmanager
def listening(receive: Receive, studies: ReceivedStudies) -> Iterator[int]:
    """Take what `receive.peers` send, into `studies`, until the block ends; the port. Raises NotConfigured."""
    from pynetdicom import AE, evt

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines repeat what peers send
    entity = AE(ae_title=receive.ae_title)
    for sop_class in MR_STORAGE:
        entity.add_supported_context(sop_class, list(SYNTAXES))
    entity.add_supported_context(VERIFICATION)
    entity.require_called_aet = True
    entity.require_calling_aet = sorted({peer.ae_title for peer in receive.peers})
    entity.maximum_associations = receive.associations
    entity.maximum_pdu_size = MAX_PDU
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
    taker = _Taker(receive.peers, studies)
    handlers: Any = [
        (evt.EVT_REQUESTED, taker.requested),
        (evt.EVT_DATA_RECV, taker.received),
        (evt.EVT_C_STORE, taker.store),
        (evt.EVT_CONN_CLOSE, taker.closed),
    ]
    try:
        server: Any = entity.start_server((receive.host, receive.port), block=False, evt_handlers=handlers)
    except OSError as error:
        raise NotConfigured(
            f"receive.host and receive.port cannot be listened on ({error.strerror}); choose others"
        ) from error
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


class _Taker:
    """What is done with each association and each image. Called from threads of pynetdicom's."""

    def __init__(self, peers: Sequence[DimsePeer], studies: ReceivedStudies) -> None:
        self._peers = {(peer.ae_title, _plain(str(one))) for peer in peers for one in peer.addresses}
        self._studies = studies
        self._lock = Lock()
        self._sizes: dict[int, int] = {}

    def requested(self, event: Any) -> None:
        """An AE title is a word that anybody can say, so it counts only from the address that goes with it."""
        title = str(event.assoc.requestor.primitive.calling_ae_title).strip()
        if (title, _plain(str(event.assoc.requestor.address))) not in self._peers:
            log.warning("an association was refused: this AE title is not configured for that address")
            event.assoc.abort()

    def received(self, event: Any) -> None:
        """An image is held in memory until it is whole, so it must not be endless."""
        size = self._sizes[id(event.assoc)] = self._sizes.get(id(event.assoc), 0) + len(event.data)
        if size > MAX_IMAGE_BYTES:
            log.warning("an association was ended: an image is larger than %d MiB", MAX_IMAGE_BYTES >> 20)
            event.assoc.abort()

    def closed(self, event: Any) -> None:
        self._sizes.pop(id(event.assoc), None)

    def store(self, event: Any) -> int:
        """C-STORE: the status that the sender hears."""
        self._sizes.pop(id(event.assoc), None)
        try:
            with self._lock:  # the bound on the disk counts for all associations together
                self._studies.keep(event.encoded_dataset())
        except NotAcceptable as error:
            log.warning("an image was refused", extra={"code": error.reason_code})
            return NOT_UNDERSTOOD
        except StoreUnavailable as error:
            log.warning("an image was refused: %s", error.detail, extra={"code": error.reason_code})
            return OUT_OF_RESOURCES
        return SUCCESS


def _plain(address: str) -> str:
    """An IPv4 address that came in over IPv6 is the same machine's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
