"""How errors leave a worker: try again later, or a dead letter with its reason. The one place that decides.

Rejected      never again: dead, with the code
Unavailable   again with growing delays (or when the other system says), PATIENCE times as often as other errors
CircuitOpen   the system is known to be away: again when it is asked next; waiting for it spends no attempt
Superseded    another worker has it: nothing to do
SoftTimeLimit it took longer than its kind may (workers/limits.py): as a defect, with a reason of its own
anything else a defect of ours: again, at most VBQ_MAX_ATTEMPTS times in all
"""

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from billiard.exceptions import SoftTimeLimitExceeded

from gateways.queue.jobs import Job, Kind
from schemas.errors import CircuitOpen, Rejected, StoreUnavailable, Superseded, Unavailable, VbqError
from workers.bench import Bench
from workers.limits import renewed_seconds

PATIENCE = 4
LONGEST_DELAY_SECONDS = 300.0
SHORTEST_WAIT_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What is to become of work that failed. `delay_seconds` None: dead. `spared`: the attempt does not count."""

    code: str
    text: str
    delay_seconds: float | None
    spared: bool = False


def verdict(error: Exception, attempts: int, max_attempts: int) -> Verdict:
    """What `error`, in the `attempts`-th attempt, means for the work. Pure."""
    if isinstance(error, Rejected):
        return Verdict(error.reason_code, error.detail, None)
    if isinstance(error, CircuitOpen):
        wait = max(error.retry_after_s or 0.0, SHORTEST_WAIT_SECONDS)
        return Verdict(error.reason_code, error.detail, min(wait, LONGEST_DELAY_SECONDS), spared=True)
    if isinstance(error, Unavailable):
        wait = max(backoff_seconds(attempts), error.retry_after_s or 0.0)
        gone = attempts >= PATIENCE * max_attempts
        return Verdict(error.reason_code, error.detail, None if gone else min(wait, LONGEST_DELAY_SECONDS))
    if isinstance(error, SoftTimeLimitExceeded):
        text, code = "it took longer than its kind may; the dead letter says which study or patient", "took-too-long"
    elif isinstance(error, VbqError):
        text, code = error.detail, error.reason_code
    else:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else "an unknown place"
        text, code = f"{type(error).__name__} at {place}: a defect; please report it with this line", "defect"
    return Verdict(code, text, None if attempts >= max_attempts else backoff_seconds(attempts))


def backoff_seconds(attempts: int) -> float:
    """1, 2, 4, ... seconds, at most five minutes."""
    return min(float(2 ** min(attempts - 1, 16)), LONGEST_DELAY_SECONDS)


def run_job(bench: Bench, row: int, step: Callable[[Bench, Job], None], *, else_kind: Kind | None = None) -> None:
    """Claim job `row` and take `step`; what goes wrong ends in the row, not in the broker. `else_kind`: Jobs.claim."""
    job = bench.jobs.claim(row, else_kind=else_kind)
    if job is None:
        return
    if job.lapsed and job.claim.attempts > bench.settings.max_attempts:
        reason = "its worker died or stalled every time; the dead letter says which study or patient"
        _settle(bench, job, Verdict("attempts-exhausted", reason, None))
        return
    try:
        with _kept(bench, job):
            step(bench, job)
    except (Superseded, StoreUnavailable) as error:
        _say(job, error.reason_code, logging.INFO)  # the row is not ours, or not reachable: the lease runs out
    except Exception as error:
        found = verdict(error, job.claim.attempts, bench.settings.max_attempts)
        log.warning("job failed", exc_info=error, extra={"job": job.claim.id, "kind": job.kind, "code": found.code})
        _settle(bench, job, found)


def _settle(bench: Bench, job: Job, found: Verdict) -> None:
    try:
        with bench.database.write() as connection:
            if found.delay_seconds is not None:
                delay = found.delay_seconds
                if found.spared and job.kind == "publish":  # every other result is for the same EHR
                    bench.jobs.put_off(connection, "publish", delay_seconds=delay)
                values = {"code": found.code, "text": found.text}
                bench.jobs.fail(connection, job, **values, delay_seconds=delay, spared=found.spared)
                return
            bench.jobs.bury(connection, job, code=found.code, text=found.text)
            if job.kind == "measure":  # the patient is assessed without it, so that somebody sees what is missing
                bench.jobs.bump(connection, "assess", job.patient, job.patient)
    except (Superseded, StoreUnavailable) as error:
        _say(job, error.reason_code, logging.INFO)
        return
    _say(job, found.code, logging.ERROR)


def _say(job: Job, code: str, level: int) -> None:
    log.log(level, "job ended", extra={"job": job.claim.id, "kind": job.kind, "code": code})


@contextmanager
def _kept(bench: Bench, job: Job) -> Iterator[None]:
    """Renew the claim while the work lasts, as long as its kind may: work that hangs is free again after that."""
    ended = threading.Event()

    def renew() -> None:
        pause = bench.settings.claim_seconds / 3
        for _ in range(int(renewed_seconds(bench.settings, job.kind) / pause)):
            if ended.wait(pause):
                return
            try:
                if not bench.jobs.renew(job):
                    return
            except StoreUnavailable:
                continue

    thread = threading.Thread(target=renew, name="renewal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
