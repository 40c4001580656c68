"""Which tokens were used: a `jti` counts once at all replicas together, for as long as its token lives.

Redis is the shared memory (SET NX with an expiry); it holds a hash of issuer and jti, nothing else. While Redis is
away each process goes by its own memory, which still refuses a second use at the same replica, and says so loudly.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gateways.queue.redis_server import broker_url
from gateways.settings import Settings

if TYPE_CHECKING:
    import redis

ANSWER_SECONDS = 0.2
AGAIN_SECONDS = 5.0
PREFIX = "vbq:jti:"

log = logging.getLogger(__name__)


class SeenTokens:
    """The `jti`s of tokens that have not expired yet, of this process."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._until: dict[bytes, float] = {}
        self._sweep_at = 0.0

    def first_time(self, issuer: str, jti: str, until: float) -> bool:
        """Remember (issuer, jti) until the time `until` (seconds since the epoch); False where it is known already."""
        name = digest(issuer, jti)
        now = self._now()
        with self._lock:
            if now >= self._sweep_at:
                self._until = {key: end for key, end in self._until.items() if end > now}
                self._sweep_at = now + 60
            if self._until.get(name, 0.0) > now:
                return False
            self._until[name] = until
            return True


class SharedSeenTokens:
    """The same for all replicas that share a Redis."""

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._url = broker_url(settings.redis_url, settings.data_dir).replace("redis+socket://", "unix://")
        self._own = SeenTokens(now)
        self._now = now
        self._pool: redis.ConnectionPool | None = None
        self._threads = threading.local()
        self._away_until = 0.0
        self.away = False
        """Whether Redis did not answer when it was last asked."""

    def first_time(self, issuer: str, jti: str, until: float) -> bool:
        """As SeenTokens.first_time, at all replicas. Never raises: without Redis its own memory decides."""
        if not self._own.first_time(issuer, jti, until):
            return False
        if time.monotonic() < self._away_until:
            return True
        return self._first_in_redis(PREFIX + digest(issuer, jti).hex(), max(1, round(until - self._now())))

    def _first_in_redis(self, name: str, seconds: int) -> bool:
        import redis

        try:
            first = self._set(name.encode(), seconds)
        except (redis.RedisError, OSError) as error:
            self._away_until = time.monotonic() + AGAIN_SECONDS
            log.error(  # noqa: TRY400 - the trace says nothing; the type of the failure does
                "REDIS IS AWAY (%s): a token that was used at another replica would be taken here again; asking again "
                "in %.0f s",
                type(error).__name__,
                AGAIN_SECONDS,
                extra={"code": "replay-cache-away"},
            )
            self.away = True
            return True
        if self.away:
            log.warning("Redis answers again: used tokens are shared between replicas", extra={"code": "replay-cache"})
            self.away = False
        return first

    def _set(self, name: bytes, seconds: int) -> bool:
        """SET NX EX on a connection that the calling thread keeps: a seventh of the CPU of redis.Redis.set.

        A connection that Redis has closed meanwhile (a restart, an idle limit) is made anew once. After any failure it
        is let go of: an answer that comes late must not be taken for that of the next token.
        """
        import redis

        command = b"*6\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$1\r\n1\r\n$2\r\nNX\r\n$2\r\nEX\r\n$%d\r\n%d\r\n"
        packed = command % (len(name), name, len(str(seconds)), seconds)
        kept = getattr(self._threads, "connection", None)
        if kept is not None:
            self._threads.connection = None
            try:
                first = _ask(kept, packed)
            except (redis.ConnectionError, ConnectionError):
                kept.disconnect()
            except (redis.RedisError, OSError):
                kept.disconnect()
                raise
            else:
                self._threads.connection = kept
                return first
        fresh = self._connect()
        try:
            first = _ask(fresh, packed)
        except (redis.RedisError, OSError):
            fresh.disconnect()
            raise
        self._threads.connection = fresh
        return first

    def _connect(self) -> Any:
        import redis

        if self._pool is None:
            self._pool = redis.ConnectionPool.from_url(
                self._url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
            )
        fresh: Any = self._pool.make_connection()
        fresh.connect()
        return fresh


def _ask(connection: Any, packed: bytes) -> bool:
    """Send a packed SET NX and read its answer: OK, or nil where the key was there."""
    connection.send_packed_command([packed], check_health=False)
    return connection.read_response() is not None


def digest(issuer: str, jti: str) -> bytes:
    """16 bytes that stand for a token."""
    return hashlib.sha256(f"{issuer}\0{jti}".encode()).digest()[:16]
