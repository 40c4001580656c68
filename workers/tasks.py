"""The tasks, as Celery knows them. Each takes the id of a row and calls one step."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateways.queue.broker import WakeKind, task_name
from gateways.settings import Settings
from workers.assessing import assess_patient
from workers.bench import Bench
from workers.events import take_events
from workers.fetching import fetch
from workers.limits import hard_seconds, soft_seconds
from workers.measuring import measure_study
from workers.outcomes import run_job
from workers.publishing import publish_patient

if TYPE_CHECKING:
    from celery import Celery


def register(app: "Celery", bench: Callable[[], Bench], settings: Settings) -> None:
    """Give `app` its tasks; `bench` is what the process that runs them holds."""

    def task(kind: WakeKind) -> Callable[[Callable[[int], None]], object]:
        hard, soft = hard_seconds(settings, kind), soft_seconds(settings, kind)
        return app.task(name=task_name(kind), time_limit=hard, soft_time_limit=soft)

    @task("event")
    def event(row: int) -> None:
        take_events(bench(), row)

    @task("measure")
    def measure(row: int) -> None:
        run_job(bench(), row, measure_study, else_kind="measure")

    @task("assess")
    def assess(row: int) -> None:
        run_job(bench(), row, assess_patient, else_kind="assess")

    @task("publish")
    def publish(row: int) -> None:
        run_job(bench(), row, publish_patient, else_kind="publish")

    @task("fetch")
    def fetch_(row: int) -> None:
        run_job(bench(), row, fetch, else_kind="fetch")
