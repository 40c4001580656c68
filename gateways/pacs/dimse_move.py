"""Where an archive sends what C-MOVE asks it for: a storage SCP for as long as one study is fetched."""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateways.pacs.dimse_server import Doors, serving
from gateways.pacs.dimse_taking import Arrivals
from gateways.pacs.dimse_tls import server_context
from schemas.config import DimseArchive, MoveDestination
from schemas.errors import NotConfigured, PacsUnavailable

BUSY_SECONDS = 10.0
BUSY_AGAIN_S = 15.0


@contextmanager
def awaiting(archive: DimseArchive, move: MoveDestination, arrivals: Arrivals) -> Iterator[None]:
    """Listen for the archive. Raises NotConfigured, and PacsUnavailable while another fetch has the port."""
    addresses = [str(one) for one in move.addresses] or _addresses_of(archive)
    titles = move.sends_as or [archive.ae_title]
    doors = Doors([(title, address) for title in titles for address in addresses], heard=arrivals.heard)
    tls = server_context(move.tls) if move.tls is not None else None
    until = time.monotonic() + BUSY_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(serving((move.host, move.port), move.ae_title, doors, arrivals.store, tls=tls))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise NotConfigured(
                        f"dimse.move.host and port cannot be listened on ({error.strerror}); choose others"
                    ) from error
                if time.monotonic() > until:
                    raise PacsUnavailable(
                        "the port of dimse.move is taken, by another fetch or another program; it will be tried again",
                        code="pacs-move-busy",
                        retry_after_s=BUSY_AGAIN_S,
                    ) from error
                time.sleep(0.2)
        yield


def _addresses_of(archive: DimseArchive) -> list[str]:
    try:
        rows = socket.getaddrinfo(archive.host, archive.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PacsUnavailable(
            "the archive's name leads nowhere; check host of dimse in VBQ_CONFIG", code="pacs-dimse"
        ) from error
    return sorted({str(row[4][0]) for row in rows})
