"""A small HTTP/1.1 load generator: closed loop (saturation) and open loop (fixed arrival rate), over keep-alive.

In the open loop a request's time runs from the moment at which it was due, not from the moment at which a connection
was free: otherwise a slow server would hide its queue.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CLOCK_TICKS = 100  # per second, of /proc/PID/stat on every Linux that matters


@dataclass
class Outcome:
    """What came back, and how long each took (seconds)."""

    took: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed: float = 0.0

    def quantile(self, share: float) -> float:
        """The latency in ms that `share` of the requests did not exceed."""
        rows = sorted(self.took)
        return 1000 * rows[min(len(rows) - 1, int(share * len(rows)))] if rows else float("nan")

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.took) / self.elapsed


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = bytearray()
        self.waiting: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 : head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else end]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        status = int(self.buffer[9:12])
        del self.buffer[: end + 4 + length]
        if self.waiting is not None:
            self.waiting.set_result(status)

    async def ask(self, request: bytes) -> int:
        """Send `request`; the status of its answer."""
        assert self.transport is not None
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiting


def request_of(method: str, path: str, host: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def connect(port: int, count: int) -> list[Connection]:
    """`count` connections to 127.0.0.1:`port`."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(count)]
    return [connection for _, connection in made]


async def closed(port: int, connections: int, seconds: float, make: Callable[[], bytes]) -> Outcome:
    """Every connection asks again as soon as it has its answer."""
    outcome = Outcome()
    opened = await connect(port, connections)
    began = time.perf_counter()

    async def run(connection: Connection) -> None:
        while time.perf_counter() - began < seconds:
            request = make()
            sent = time.perf_counter()
            outcome.statuses[await connection.ask(request)] += 1
            outcome.took.append(time.perf_counter() - sent)

    await asyncio.gather(*(run(connection) for connection in opened))
    outcome.elapsed = time.perf_counter() - began
    close(opened)
    return outcome


async def paced(port: int, connections: int, seconds: float, rate: float, make: Callable[[], bytes]) -> Outcome:
    """Requests become due at `rate` per second, whatever the server does."""
    outcome = Outcome()
    opened = await connect(port, connections)
    free: deque[Connection] = deque(opened)
    tasks: set[asyncio.Task[None]] = set()
    ready = asyncio.Event()
    began = time.perf_counter()

    async def run(due: float) -> None:
        while not free:
            ready.clear()
            await ready.wait()
        connection = free.popleft()
        outcome.statuses[await connection.ask(make())] += 1
        outcome.took.append(time.perf_counter() - due)
        free.append(connection)
        ready.set()

    for number in range(int(rate * seconds)):
        due = began + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(run(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    outcome.elapsed = time.perf_counter() - began
    close(opened)
    return outcome


def close(connections: list[Connection]) -> None:
    for connection in connections:
        if connection.transport is not None:
            connection.transport.close()


def cpu_seconds(pids: list[int]) -> float:
    """User and system CPU that the processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK_TICKS


def resident_mb(pids: list[int]) -> float:
    """The largest resident set among the processes, in MB."""
    sizes = [int(line.split()[1]) for pid in pids for line in status_lines(pid) if line.startswith("VmRSS")]
    return max(sizes) / 1024


def status_lines(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def family(pid: int) -> list[int]:
    """`pid` and its descendants."""
    found = [pid]
    with contextlib.suppress(FileNotFoundError):
        for child in children(pid):
            found += family(child)
    return found


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())
