"""Hook calls against other CDS Hooks servers on the same machine, in the same run, as ratios.

    python3 -m venv PEER && PEER/bin/pip install healthchain        # somewhere outside this repository
    ./run python -m benchmarks.hook_peers --healthchain PEER/bin/python [--node node] [--seconds 4] [--rounds 3]

(a) ours open, one stored card, against their trivial services; (b) ours with an ES384 token per call, over 1,000
patients with a prefetched Patient and five Observations, against the same trivial services. Rounds are interleaved and
the median is shown, since the machine is never quiet; every server is one process. The load generator shares the cores.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.hooks import EHR, PATIENTS, body_of, fill, requests
from benchmarks.http_load import Outcome, closed, cpu_seconds, family, paced, request_of
from benchmarks.redis_child import redis_child
from benchmarks.served import free_port, served, wait_for
from gateways.stand_ins import Credentials

HERE = Path(__file__).parent
MOST_PER_SECOND = 4000


class Server(NamedTuple):
    """Somebody to ask. `make` gives a source of so many requests."""

    name: str
    port: int
    pid: int
    make: Callable[[int], Callable[[], bytes]]


class Figures(NamedTuple):
    rate: float
    p99_ms: float
    cpu_us: float
    paced: dict[float, tuple[float, float]]


@contextlib.contextmanager
def peer(name: str, program: list[str], path: str, ready: str) -> Iterator[Server]:
    """A peer's process until the block ends."""
    port = free_port()
    process = subprocess.Popen([*program, str(port)], start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}{ready}", process)
        call = request_of("POST", path, f"127.0.0.1:{port}", body_of("p1"), {"Content-Type": "application/json"})
        yield Server(name, port, process.pid, lambda _: lambda: call)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def measure(server: Server, seconds: float, rates: list[float]) -> Figures:
    """One round: saturation at 16 connections, then each fixed rate."""
    source = server.make(int(seconds * MOST_PER_SECOND))
    before = cpu_seconds(family(server.pid))
    full: Outcome = asyncio.run(closed(server.port, 16, seconds, source))
    used = cpu_seconds(family(server.pid)) - before
    assert set(full.statuses) == {200}, f"{server.name}: {full.statuses}"
    at = {}
    for rate in rates:
        found = asyncio.run(paced(server.port, 64, seconds, rate, server.make(int(rate * seconds) + 1)))
        at[rate] = (found.quantile(0.5), found.quantile(0.99))
    return Figures(full.rate, full.quantile(0.99), 1e6 * used / len(full.took), at)


def middle(rounds: list[Figures]) -> Figures:
    """The median of each figure."""
    at = {
        rate: (
            statistics.median(row.paced[rate][0] for row in rounds),
            statistics.median(row.paced[rate][1] for row in rounds),
        )
        for rate in rounds[0].paced
    }
    return Figures(*(statistics.median(row[n] for row in rounds) for n in range(3)), at)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthchain", metavar="PYTHON", help="the Python of a venv with healthchain in it")
    parser.add_argument("--node", default="", help="the node program; empty: without that peer")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", default="100,300")
    options = parser.parse_args()
    rates = [float(rate) for rate in options.rates.split(",")]
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        credentials = Credentials("https://ehr.example")
        config = credentials.write_config(place, fhir_base=EHR, study_roots=[])
        servers = []
        for name, signed in (("ours (a): open, 1 patient", None), ("ours (b): ES384, 1,000 patients", credentials)):
            directory = place / ("signed" if signed else "open")
            stack.enter_context(redis_child(directory))
            here = stack.enter_context(served(config if signed else None, open_=signed is None, directory=directory))
            fill(here)
            make = partial(requests, here, signed, PATIENTS if signed else 1)
            servers.append(Server(name, here.port, here.pid, make))
        if options.healthchain:
            program = [options.healthchain, str(HERE / "peers" / "healthchain_service.py")]
            path = "/cds/cds-services/trivial"
            servers.append(stack.enter_context(peer("HealthChain, trivial", program, path, "/cds/cds-discovery")))
        if options.node:
            program = [options.node, str(HERE / "peers" / "service.mjs")]
            path = "/cds-services/trivial"
            servers.append(stack.enter_context(peer("Node http, trivial", program, path, "/cds-services")))
        rounds: dict[str, list[Figures]] = {server.name: [] for server in servers}
        for server in servers:
            measure(server, 1.0, [])  # warm
        for _ in range(options.rounds):
            for server in servers:
                rounds[server.name].append(measure(server, options.seconds, rates))
                time.sleep(0.2)
    show({name: middle(found) for name, found in rounds.items()}, rates)


def show(found: dict[str, Figures], rates: list[float]) -> None:
    """The table, with each figure as a ratio to HealthChain's where that is there."""
    against = found.get("HealthChain, trivial")
    table = Table(title="Hook calls: medians of the rounds")
    table.add_column("server", no_wrap=True)
    for heading in ("requests/s", "x", "p99 ms", "x", "CPU us", *(f"p50/p99 at {rate:.0f}/s" for rate in rates)):
        table.add_column(heading, justify="right")
    for name, row in found.items():
        ratios = (f"{row.rate / against.rate:.2f}", f"{row.p99_ms / against.p99_ms:.2f}") if against else ("", "")
        latencies = (f"{row.paced[rate][0]:.1f}/{row.paced[rate][1]:.1f}" for rate in rates)
        cells = (f"{row.rate:,.0f}", ratios[0], f"{row.p99_ms:.1f}", ratios[1], f"{row.cpu_us:.0f}", *latencies)
        table.add_row(name, *cells)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
