"""A notice becomes work: what it names is fetched, what it leaves open is searched, gaps in its numbers are closed."""

import logging
from collections.abc import Sequence

from pydantic import ValidationError

from gateways.fhir.subscriptions import Subscriptions
from gateways.queue.inbox import ClaimedEvent
from gateways.store.database import Transaction
from schemas.errors import StoreUnavailable, Superseded
from schemas.fhir.notice_events import NOTICE_TYPE
from schemas.notice import Notice
from workers.bench import Bench

GAP_SECONDS = 5.0  # notifications overtake one another: a number that is late is not missing yet
GAP_LONGEST_SECONDS = 30.0

log = logging.getLogger(__name__)


def take_notices(bench: Bench, rows: Sequence[ClaimedEvent]) -> None:
    """Take down the notices in `rows` and ask for the work that follows; a transaction for each."""
    for row in rows:
        try:
            wakes = _take(bench, row)
        except Superseded:
            continue  # another worker has it
        except StoreUnavailable as error:
            log.warning("%s", error.detail, extra={"code": error.reason_code})  # the lease runs out
            return
        for job in wakes:
            bench.wake("fetch", job)


def _take(bench: Bench, row: ClaimedEvent) -> list[int]:
    """Returns the fetch jobs that are due at once."""
    with bench.database.write() as connection:
        bench.database.hold(connection, [row.event.source])
        if row.claim.attempts > bench.settings.max_attempts:
            bench.inbox.bury(connection, row.claim, code="attempts-exhausted", text="its worker died every time")
            return []
        try:
            notice = Notice.model_validate_json(row.event.body)
        except ValidationError:
            text = "this is not a notice as this version writes it; `vbq events show` has the body"
            bench.inbox.bury(connection, row.claim, code="not-a-notice", text=text)
            return []
        wakes = _follow(bench, connection, row, notice)
        bench.inbox.finish(connection, row.claim)
    return wakes


def _follow(bench: Bench, connection: Transaction, row: ClaimedEvent, notice: Notice) -> list[int]:
    source, key = row.event.source, row.event.resource_id
    noted = Subscriptions(bench.database).note(connection, source, key, notice, row.claim.id)
    wakes = [bench.jobs.bump(connection, "fetch", f"{source}/{wanted}", "") for wanted in notice.fetch]
    subject = catch_up_subject(source, key)
    said = {"sender": source, "subscription": row.claim.id}
    if noted.search:
        wakes.append(bench.jobs.bump(connection, "fetch", subject, ""))
    elif noted.gap:
        bench.jobs.bump(
            connection, "fetch", subject, "", quiet_seconds=GAP_SECONDS, longest_seconds=GAP_LONGEST_SECONDS
        )
        log.warning("a subscription skipped event numbers", extra={**said, "code": "subscription-gap"})
    if noted.subscription.status in ("error", "off"):
        log.warning("a sender says that its subscription does not run", extra={**said, "code": "subscription-off"})
    return wakes


def catch_up_subject(source: str, key: str) -> str:
    """The subject of the fetch job that searches, for the subscription `key` of `source`."""
    return f"{source}/{NOTICE_TYPE}/{key}"
