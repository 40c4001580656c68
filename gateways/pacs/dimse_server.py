"""A storage SCP for MR (PS3.4 annex B) that strangers cannot wear out, as archives and scanners call it.

pynetdicom's own server does a TLS handshake where it accepts connections, reads without a time limit and believes any
length: one silent or lying connection would stop it. Here strangers' addresses are dropped first, each handshake has a
thread of its own, and reads are bounded in time and size.
"""

import ipaddress
import logging
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

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
HANDSHAKE_SECONDS = 10.0
MAX_PDU = 1 << 17
LONGEST_PDU = 1 << 24  # what is read at all; peers are told MAX_PDU
MAX_IMAGE_BYTES = 512 * 2**20  # an enhanced MR of 2,000 frames of 512 x 512 is twice that; such a study comes in parts

log = logging.getLogger(__name__)


class Doors:
    """Who may send, by AE title and address together, and how much at once. Called from threads of pynetdicom's."""

    def __init__(self, peers: Collection[tuple[str, str]], *, heard: Callable[[], object] = lambda: None) -> None:
        """`peers`: (AE title, address); `heard` is called whenever a peer sent something."""
        self.peers = {(title, plain_address(address)) for title, address in peers}
        self._addresses = {address for _, address in self.peers}
        self._heard = heard
        self._sizes: dict[int, int] = {}

    def knows(self, address: str) -> bool:
        return plain_address(address) in self._addresses

    def requested(self, event: Any) -> None:
        """An AE title is a word that anybody can say, so it counts only from the address that goes with it."""
        title = str(event.assoc.requestor.primitive.calling_ae_title).strip()
        if (title, plain_address(str(event.assoc.requestor.address))) not in self.peers:
            log.warning("an association was refused: this AE title is not configured for that address")
            event.assoc.abort()

    def received(self, event: Any) -> None:
        """An image is held in memory until it is whole, so it must not be endless."""
        self._heard()
        size = self._sizes[id(event.assoc)] = self._sizes.get(id(event.assoc), 0) + len(event.data)
        if size > MAX_IMAGE_BYTES:
            log.warning("an association was ended: an image is larger than %d MiB", MAX_IMAGE_BYTES >> 20)
            event.assoc.abort()

    def whole(self, event: Any) -> None:
        """An image is complete, or its connection has gone."""
        self._sizes.pop(id(event.assoc), None)


@contextmanager
def serving(
    where: tuple[str, int],
    ae_title: str,
    doors: Doors,
    store: Callable[[Any], int],
    *,
    tls: ssl.SSLContext | None = None,
    associations: int = 4,
    drain_seconds: float = 0.0,
) -> Iterator[int]:
    """Listen on (host, port) until the block ends; yields the port. Raises OSError where that cannot be had.

    `store` gets pynetdicom's C-STORE event and returns a status. At the end nobody new is let in; who is sending has
    `drain_seconds` to come to an end.
    """
    from pynetdicom import AE, evt

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines repeat what peers send
    entity = AE(ae_title=ae_title)
    for sop_class in MR_STORAGE:
        entity.add_supported_context(sop_class, list(SYNTAXES))
    entity.add_supported_context(VERIFICATION)
    entity.require_called_aet = True
    entity.require_calling_aet = sorted({title for title, _ in doors.peers})
    entity.maximum_associations = associations
    entity.maximum_pdu_size = MAX_PDU
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS

    def stored(event: Any) -> int:
        doors.whole(event)
        return store(event)

    handlers: Any = [
        (evt.EVT_CONN_OPEN, bounded),
        (evt.EVT_REQUESTED, doors.requested),
        (evt.EVT_DATA_RECV, doors.received),
        (evt.EVT_C_STORE, stored),
        (evt.EVT_CONN_CLOSE, doors.whole),
    ]
    server: Any = entity.make_server(where, evt_handlers=handlers, server_class=_server_class(doors, tls))
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="storage-scp", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        socketserver.BaseServer.shutdown(server)
        server.server_close()
        thread.join()
        _see_out(server, drain_seconds)


def _see_out(server: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while server.active_associations and time.monotonic() < until:
        time.sleep(0.05)
    for association in server.active_associations:
        association.abort()


def _server_class(doors: Doors, tls: ssl.SSLContext | None) -> Any:
    """The server of pynetdicom with its doors shut; made here since pynetdicom is imported only where it is used."""
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        daemon_threads = True

        def verify_request(self, _request: Any, client_address: Any) -> bool:
            if doors.knows(str(client_address[0])):
                return True
            log.warning("a connection was refused: its address is no peer's")
            return False

        def finish_request(self, request: Any, client_address: Any) -> None:
            """In a thread of the connection's own."""
            if tls is not None:
                request.settimeout(HANDSHAKE_SECONDS)
                try:
                    request = tls.wrap_socket(request, server_side=True)
                except OSError as error:  # also every failure of TLS
                    reason = getattr(error, "reason", None) or type(error).__name__
                    log.warning("a connection was refused: no TLS with it", extra={"reason": reason})
                    self.shutdown_request(request)
                    return
            super().finish_request(request, client_address)

        def handle_error(self, _request: Any, _client_address: Any) -> None:
            """Instead of a traceback with the peer's address."""
            log.warning("a connection ended before it was an association")

        def shutdown_request(self, request: Any) -> None:
            with suppress(OSError):
                super().shutdown_request(request)

    return Server


def bounded(event: Any) -> None:
    """For EVT_CONN_OPEN, on either side: reads end after a while, and a PDU's length is not believed."""
    held = event.assoc.dul.socket
    held.socket.settimeout(SECONDS)
    read = held.recv

    def recv(nr_bytes: int) -> bytearray:
        if nr_bytes > LONGEST_PDU:
            raise OSError("a PDU is longer than any that we agreed to")
        return bytearray(read(nr_bytes))

    held.recv = recv


def plain_address(address: str) -> str:
    """An IPv4 address that came in over IPv6 is the same machine's."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
