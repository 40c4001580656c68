"""What `vbq doctor` says of `vbq receive`: its settings, its certificates, whether it runs."""

import time
from collections.abc import Iterator

from commands.receive import HEARTBEAT
from gateways.pacs.dimse_tls import server_context
from gateways.settings import Settings
from schemas.config import Config
from schemas.errors import NotConfigured

SILENT_SECONDS = 300.0  # as the chart's probe

Row = tuple[str, bool, str, bool]


def receiver(settings: Settings, config: Config) -> Iterator[Row]:
    """(name, well, detail, needed); nothing where it is not configured."""
    wanted = config.receive
    if wanted is None:
        return
    name = f"receive {wanted.ae_title}"
    unknown = {row.sender for row in wanted.patients} - {sender.name for sender in config.senders}
    if unknown:
        yield name, False, f"receive.patients names {', '.join(sorted(unknown))}, which senders does not have", True
        return
    if not wanted.patients:
        yield name, False, "receive.patients is empty: every study waits; say whose PatientIDs they are", True
        return
    try:
        secured = server_context(wanted.tls) is not None if wanted.tls else False
    except NotConfigured as error:
        yield name, False, error.detail, True
        return
    where = f"{len(wanted.peers)} peers, {wanted.host}:{wanted.port}{', TLS' if secured else ''}"
    beat = settings.data_dir / HEARTBEAT
    if beat.exists() and time.time() - beat.stat().st_mtime < SILENT_SECONDS:
        yield name, True, f"{where}, runs", False
    else:
        yield name, False, f"{where}, does not run here; `vbq up` or `vbq receive` starts it", False
