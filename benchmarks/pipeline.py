"""From an event over HTTP to the stored RiskAssessment, with given regions: `./run python -m benchmarks.pipeline [N]`.

The stack is the real one (`vbq up`); each patient has a study of some 60 slices (T1, T2 and axial series). Prints p50
and p95 one by one, what CPU each process took for a patient (other programs on the machine hardly change that) and what
it holds in memory, then how many RiskAssessments a minute come of N patients that are sent at once, with one worker
child and with two: with a study, and with values alone.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Json = dict[str, Any]
LIMIT_SECONDS = 60.0
ALL_SECONDS = 900.0


def vbq(*arguments: str) -> None:
    """Run a `vbq` command."""
    subprocess.run([sys.executable, "-m", "commands", *arguments], check=True, capture_output=True)


def call(url: str, document: Json | None = None) -> Json:
    """POST (or GET) JSON."""
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/fhir+json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        found: Json = json.loads(reply.read())
    return found


def for_patient(template: str, name: str) -> Json:
    """The Bundle with other ids."""
    found: Json = json.loads(re.sub(r"\bbench-0\b", name, template))
    found["type"] = "collection"
    for entry in found["entry"]:
        entry.pop("request", None)
        resource = entry["resource"]
        if resource["resourceType"] != "Patient":
            resource["id"] = f"{resource['id']}-{name}"[:64]
    return found


def one(base: str, document: Json, name: str) -> float:
    """Milliseconds from the POST to a final RiskAssessment that can be read."""
    begun = time.perf_counter()
    call(f"{base}/events", document)
    while time.perf_counter() - begun < LIMIT_SECONDS:
        page = call(f"{base}/fhir/RiskAssessment?patient=Patient/{name}")
        if any(row["resource"]["status"] == "final" for row in page.get("entry", [])):
            return 1000 * (time.perf_counter() - begun)
        time.sleep(0.005)
    raise SystemExit(f"no RiskAssessment within {LIMIT_SECONDS:.0f} s")


def family(root: int) -> list[tuple[int, str, float]]:
    """(process id, command, MB resident) of every process below `root`."""
    lines = subprocess.run(["ps", "-eo", "pid,ppid,rss,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in lines.splitlines()[1:]]
    mine = {root}
    for _ in range(4):
        mine |= {int(row[0]) for row in rows if int(row[1]) in mine}
    named = [(int(row[0]), " ".join(row[3].split()[1:4])[:40], int(row[2]) / 1024) for row in rows]
    return [row for row in named if row[0] in mine]


def cpu_seconds(pids: list[int]) -> dict[int, float]:
    """User and system time of each process, with that of its children that ended."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = {pid: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids}
    return {pid: sum(map(int, row[11:15])) / ticks for pid, row in fields.items()}


def main() -> None:
    """Start the stack, send patients one after the other and then at once, print the tables."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    flows = Table(
        "worker children", "with a study, /min", "values alone, /min", title="RiskAssessments of what is sent at once"
    )
    for children in (1, 2):
        with running(children) as (base, template, root):
            if children == 1:
                report(base, template, patients, root)
            else:
                one(base, for_patient(template, "bench-warm"), "bench-warm")
            whole = flow(base, partial(for_patient, template), "study", patients)
            values = flow(base, partial(plain_patient, template), "plain", 5 * patients)
            flows.add_row(str(children), f"{whole:,.0f}", f"{values:,.0f}")
    Console().print(flows)


@contextlib.contextmanager
def running(children: int) -> Iterator[tuple[str, str, int]]:
    """`vbq up` with so many worker children: its base URL, the patient's record, its process id."""
    with tempfile.TemporaryDirectory(prefix="vbqb") as place, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        home = Path(place)
        study, record = home / "data" / "studies" / "phantom", home / "patient.json"
        vbq("simulate", "study", "--vbq", "4.1", "--seed", "7", "--out", str(study))
        vbq("simulate", "patient", "--study", str(study), "--patient-id", "bench-0", "--out", str(record))
        clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
        mine = {"VBQ_DATA_DIR": str(home / "data"), "VBQ_PORT": str(port), "VBQ_DEV_OPEN": "1"}
        mine["VBQ_WORKER_CONCURRENCY"] = str(children)
        with (home / "stack.log").open("wb") as sink:
            command = [sys.executable, "-m", "commands", "up"]
            stack = subprocess.Popen(command, env={**clean, **mine}, stdout=sink, stderr=sink, start_new_session=True)
        try:
            while b"vbq: ready" not in (home / "stack.log").read_bytes():
                if stack.poll() is not None:
                    raise SystemExit((home / "stack.log").read_text())
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", record.read_text(), stack.pid
        finally:
            stack.send_signal(signal.SIGINT)
            stack.wait(60)


def flow(base: str, make: Callable[[str], Json], kind: str, patients: int) -> float:
    """RiskAssessments a minute, from the first POST to the last patient's."""
    names = [f"bench-{kind}-{number}" for number in range(patients)]
    begun = time.perf_counter()
    for name in names:
        call(f"{base}/events", make(name))
    wanted = {"final"} if kind == "study" else {"final", "preliminary", "registered"}
    for name in names:
        while not wanted & statuses(base, name):
            if time.perf_counter() - begun > ALL_SECONDS:
                raise SystemExit(f"not all had a RiskAssessment within {ALL_SECONDS:.0f} s")
            time.sleep(0.02)
    return 60 * len(names) / (time.perf_counter() - begun)


def statuses(base: str, name: str) -> set[str]:
    """The states of a patient's RiskAssessments."""
    page = call(f"{base}/fhir/RiskAssessment?patient=Patient/{name}")
    return {row["resource"]["status"] for row in page.get("entry", [])}


def plain_patient(template: str, name: str) -> Json:
    """The record under another name, without images."""
    document = for_patient(template, name)
    entries = [row for row in document["entry"] if row["resource"]["resourceType"] not in ("ImagingStudy", "Endpoint")]
    return {**document, "entry": entries}


def report(base: str, template: str, patients: int, root: int) -> None:
    """Measure and print."""
    names = [f"bench-{number}" for number in range(1, patients + 2)]
    took = [one(base, for_patient(template, names[0]), names[0])]
    processes = family(root)
    before = cpu_seconds([pid for pid, _, _ in processes])
    took += [one(base, for_patient(template, name), name) for name in names[1:]]
    after = cpu_seconds([pid for pid, _, _ in processes])
    steady = sorted(took[1:])
    p50, p95 = steady[len(steady) // 2], steady[int(len(steady) * 0.95)]
    table = Table("first, ms", "p50, ms", "p95, ms", title=f"Event to RiskAssessment, {patients} patients one by one")
    table.add_row(f"{took[0]:,.0f}", f"{p50:,.0f}", f"{p95:,.0f}")
    Console().print(table)
    held = Table("process", "CPU per patient, ms", "MB resident", title="What each process takes")
    megabytes = {pid: mb for pid, _, mb in family(root)}
    for pid, command, _ in processes:
        held.add_row(command, f"{1000 * (after[pid] - before[pid]) / patients:,.0f}", f"{megabytes.get(pid, 0):.0f}")
    held.add_row("all", f"{1000 * (sum(after.values()) - sum(before.values())) / patients:,.0f}", "")
    Console().print(held)


if __name__ == "__main__":
    main()
