"""Studies that are sent to us by C-STORE: what is kept, and the status that the sender hears."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

from gateways.pacs.dimse_server import Doors, serving
from gateways.pacs.dimse_tls import server_context
from gateways.pacs.received_studies import ReceivedStudies
from schemas.config import Receive
from schemas.errors import NotAcceptable, NotConfigured, StoreUnavailable

DRAIN_SECONDS = 10.0
SUCCESS, OUT_OF_RESOURCES, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000

log = logging.getLogger(__name__)


@contextmanager
def listening(receive: Receive, studies: ReceivedStudies) -> Iterator[int]:
    """Take what `receive.peers` send, into `studies`, until the block ends; the port. Raises NotConfigured."""
    doors = Doors([(peer.ae_title, str(one)) for peer in receive.peers for one in peer.addresses])
    tls = server_context(receive.tls) if receive.tls is not None else None
    lock = Lock()

    def store(event: Any) -> int:
        with lock:  # the bound on the disk counts for all associations together
            return _keep(studies, event)

    where = (receive.host, receive.port)
    served = serving(
        where,
        receive.ae_title,
        doors,
        store,
        tls=tls,
        associations=receive.associations,
        drain_seconds=DRAIN_SECONDS,
    )
    with ExitStack() as stack:
        try:
            port = stack.enter_context(served)
        except OSError as error:
            raise NotConfigured(
                f"receive.host and receive.port cannot be listened on ({error.strerror}); choose others"
            ) from error
        yield port


def _keep(studies: ReceivedStudies, event: Any) -> int:
    try:
        studies.keep(event.encoded_dataset())
    except NotAcceptable as error:
        log.warning("an image was refused", extra={"code": error.reason_code})
        return NOT_UNDERSTOOD
    except StoreUnavailable as error:
        log.warning("an image was refused: %s", error.detail, extra={"code": error.reason_code})
        return OUT_OF_RESOURCES
    return SUCCESS
