"""Subscriptions that notify us: how far each has counted, what is missing, and what a search has to bring."""

import json
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, select, update

from gateways.fhir.event_numbers import Numbers, Spans, count
from gateways.queue.inbox import Clock
from gateways.records.facts import instant
from gateways.store.database import Database
from gateways.store.subscription_tables import subscriptions
from schemas.notice import Notice

OVERLAP_SECONDS = 300.0  # two clocks, and writes that become visible late
UNKNOWN_PAST_SECONDS = 86_400.0  # how far a search goes back where nothing is known of the time before


@dataclass(frozen=True)
class Subscription:
    """A subscription as it stands. Times are seconds since 1970; those of `sent_at` by the sender's clock."""

    source: str
    id: str
    reference: str
    topic: str
    status: str
    handshake_at: float | None
    heard_at: float
    sent_at: float | None
    event: int
    numbers: Numbers
    complete_at: float | None
    search_from: float | None
    progress: dict[str, str]
    gaps: int
    resets: int

    @property
    def known_until(self) -> float:
        """From when on something may be missing."""
        known = self.complete_at if self.complete_at is not None else (self.sent_at or 0.0) - UNKNOWN_PAST_SECONDS
        return known - OVERLAP_SECONDS

    @property
    def missing(self) -> int:
        """How many events are missing."""
        return count(self.numbers.missing)


class Noted(NamedTuple):
    """How a subscription stands after a notification. `search`: it did not say what changed; `gap`: numbers miss."""

    subscription: Subscription
    search: bool
    gap: bool


class Subscriptions:
    """The subscriptions table."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def note(self, connection: Connection, source: str, key: str, notice: Notice, event: int) -> Noted:
        """Take down `notice`, which is inbox row `event`; returns how the subscription stands after it.

        Notices come late, twice and in any order. Where a newer notification states a lower count the sender counts
        anew: numbers of before can no longer be asked for, so a search has to bring what got lost around it.
        """
        now = self._clock()
        old = self._locked(connection, source, key)
        sent = min(instant(notice.sent) or now, now)  # a clock that runs ahead must not hide what is to come
        later = old is not None and event > old.event and sent > (old.sent_at or 0.0)
        stated = notice.announced if notice.announced is not None else max(notice.numbers, default=None)
        reset = later and old is not None and stated is not None and stated < old.numbers.top
        before = Numbers() if old is None or reset else old.numbers
        numbers = before.after(notice.numbers, notice.announced)
        grew = count(numbers.missing) > count(before.missing)
        search = notice.search or reset
        base = old or _first(source, key, notice, sent)
        found = _but(
            base,
            heard_at=now,
            handshake_at=now if notice.kind == "handshake" else base.handshake_at,
            sent_at=max(sent, base.sent_at or 0.0),
            event=max(event, base.event),
            numbers=numbers,
            gaps=base.gaps + int(grew),
            resets=base.resets + int(reset),
        )
        if old is None or later:
            found = _but(found, reference=notice.subscription, topic=notice.topic, status=notice.status[:32])
        if search:
            start = min(base.known_until, base.search_from if base.search_from is not None else base.known_until)
            found = _but(found, search_from=start)
        if search or grew:
            found = _but(found, progress={})
        if not numbers.missing and found.search_from is None:
            found = _but(found, complete_at=max(found.complete_at or 0.0, found.sent_at or 0.0))
        self._write(connection, found, new=old is None)
        return Noted(found, search=search, gap=bool(numbers.missing))

    def one(self, connection: Connection, source: str, key: str) -> Subscription | None:
        """The subscription, if it was ever heard of."""
        row = connection.execute(select(subscriptions).where(_is(source, key))).one_or_none()
        return _read(row) if row is not None else None

    def list(self) -> "list[Subscription]":
        """Every subscription, by source and id."""
        with self._database.read() as connection:
            rows = connection.execute(select(subscriptions).order_by(subscriptions.c.source, subscriptions.c.id))
            return [_read(row) for row in rows]

    def progress(self, connection: Connection, then: Subscription, reached: dict[str, str]) -> None:
        """Keep how far a search came that began at `then`, unless a notification came meanwhile: it may want more."""
        same = and_(_is(then.source, then.id), subscriptions.c.event == then.event)
        connection.execute(update(subscriptions).where(same).values(progress=json.dumps(reached)))

    def caught_up(self, connection: Connection, then: Subscription, *, closed: Spans) -> bool:
        """What was wanted when `then` was read is here; returns whether something else is wanted meanwhile."""
        now = self._locked(connection, then.source, then.id)
        if now is None:
            return False
        again = now.resets != then.resets
        numbers = now.numbers if again else now.numbers.closed(closed)
        search = now.search_from if now.search_from != then.search_from or now.event != then.event else None
        complete = now.complete_at
        if not numbers.missing and search is None:
            complete = max(complete or 0.0, then.sent_at or 0.0)
        self._write(
            connection, _but(now, numbers=numbers, search_from=search, complete_at=complete, progress={}), new=False
        )
        return bool(numbers.missing) or search is not None

    def _locked(self, connection: Connection, source: str, key: str) -> Subscription | None:
        row = connection.execute(select(subscriptions).where(_is(source, key)).with_for_update()).one_or_none()
        return _read(row) if row is not None else None

    def _write(self, connection: Connection, found: Subscription, *, new: bool) -> None:
        values = {
            **{name: getattr(found, name) for name in _PLAIN},
            "top": found.numbers.top,
            "missing": json.dumps(found.numbers.missing),
            "progress": json.dumps(found.progress),
        }
        if new:
            connection.execute(self._database.insert(subscriptions).values(values))
        else:
            connection.execute(update(subscriptions).where(_is(found.source, found.id)).values(values))


_PLAIN = (
    "source",
    "id",
    "reference",
    "topic",
    "status",
    "handshake_at",
    "heard_at",
    "sent_at",
    "event",
    "complete_at",
    "search_from",
    "gaps",
    "resets",
)


def _is(source: str, key: str) -> Any:
    return and_(subscriptions.c.source == source, subscriptions.c.id == key)


def _first(source: str, key: str, notice: Notice, sent: float) -> Subscription:
    """A subscription before its first notification."""
    return Subscription(
        source=source,
        id=key,
        reference=notice.subscription,
        topic=notice.topic,
        status=notice.status[:32],
        handshake_at=None,
        heard_at=sent,
        sent_at=sent,
        event=0,
        numbers=Numbers(),
        complete_at=None,
        search_from=None,
        progress={},
        gaps=0,
        resets=0,
    )


def _but(found: Subscription, **changes: Any) -> Subscription:
    return Subscription(**{**vars(found), **changes})


def _read(row: Row[Any]) -> Subscription:
    spans = tuple((int(first), int(last)) for first, last in json.loads(row.missing))
    plain = {name: getattr(row, name) for name in _PLAIN}
    return Subscription(**plain, numbers=Numbers(row.top, spans), progress=json.loads(row.progress))
