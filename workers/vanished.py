"""A DELETE that a sender dropped: what assessments stand on and the sender's server has no more.

A search by _lastUpdated shows nothing of what was deleted. So every VBQ_RECONCILE_DELETED_SECONDS each sender's server
is asked, fifty ids at a time, which of the resources it still has. One that it does not name is read by itself (a fetch
job): only its 410, or its 404 four times over, counts as a deletion.
"""

import logging
import time
from collections.abc import Callable

from gateways.fhir.watermarks import Watermarks
from gateways.records.standing import standing
from schemas.errors import Rejected
from schemas.events import RELEVANT_TYPES
from workers.bench import Bench
from workers.fetching import Place

IDS_AT_ONCE = 50
PAGES_AT_ONCE = 5
ALWAYS_BELIEVED = 20
BELIEVED_SHARE = 0.2
TYPES = tuple(kind for kind in RELEVANT_TYPES if kind != "Endpoint")  # an Endpoint is about nobody

log = logging.getLogger(__name__)


def mark_of(kind: str) -> str:
    """The name under which `vbq ehr status` shows these looks beside the polls of a type."""
    return f"{kind} (deleted)"


def look(bench: Bench, marks: Watermarks, place: Place, kind: str, goes_on: Callable[[], bool]) -> bool:
    """Ask for everything of one type; False where `goes_on` said no. Raises EhrUnavailable, Rejected."""
    begun, source, mark = time.time(), place.sender.name, mark_of(kind)
    marks.seen_until(source, mark)  # it is there from the first look on
    asked, after = 0, ""
    missing: list[str] = []
    while True:
        with bench.database.read() as connection:
            ids = standing(connection, source, kind, after=after, count=IDS_AT_ONCE)
        if not ids:
            break
        missing += sorted(set(ids) - _there(place, kind, ids))
        asked, after = asked + len(ids), ids[-1]
        if not goes_on():
            return False
    if len(missing) > max(ALWAYS_BELIEVED, asked * BELIEVED_SHARE):
        raise Rejected(
            f"the server does not find {len(missing)} of {asked} resources that were there: that looks like a login "
            "that sees less than before, or another server; nothing was taken for deleted",
            code="too-many-gone",
        )
    with bench.database.write() as connection:
        wakes = [bench.jobs.bump(connection, "fetch", f"{source}/{kind}/{one}", "") for one in missing]
    for wake in wakes:
        bench.wake("fetch", wake)
    if missing:
        log.info("a server may have lost what we stand on", extra={"sender": source, "type": kind, "count": len(wakes)})
    marks.move(source, mark, begun, through=True)
    return True


def _there(place: Place, kind: str, ids: list[str]) -> set[str]:
    """Which of `ids` the server says that it has. Raises Rejected where it cannot be asked so."""
    params = {"_id": ",".join(ids), "_elements": "id", "_count": str(len(ids))}
    found: set[str] = set()
    for resource in place.client.search(kind, params, pages=PAGES_AT_ONCE):
        if resource.get("resourceType") == kind and isinstance(resource.get("id"), str):
            found.add(resource["id"])
    if not found <= set(ids):
        raise Rejected(
            "the server gives resources that were not asked for: it does not search by _id, so a DELETE that gets lost "
            "is not noticed; set VBQ_RECONCILE_DELETED_SECONDS=0",
            code="poll-not-possible",
        )
    return found
