"""The tasks, as Celery knows them. Each takes the id of a row and calls one step."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateways.queue.broker import task_name
from workers.assessing import assess_patient
from workers.bench import Bench
from workers.events import take_events
from workers.fetching import fetch
from workers.measuring import measure_study
from workers.outcomes import run_job
from workers.publishing import publish_patient

if TYPE_CHECKING:
    from celery import Celery


def register(app: "Celery", bench: Callable[[], Bench]) -> None:
    """Give `app` its tasks; `bench` is what the process that runs them holds."""

    @app.task(name=task_name("event"))
    def event(row: int) -> None:
        take_events(bench(), row)

    @app.task(name=task_name("measure"))
    def measure(row: int) -> None:
        run_job(bench(), row, measure_study, else_kind="measure")

    @app.task(name=task_name("assess"))
    def assess(row: int) -> None:
        run_job(bench(), row, assess_patient, else_kind="assess")

    @app.task(name=task_name("publish"))
    def publish(row: int) -> None:
        run_job(bench(), row, publish_patient, else_kind="publish")

    @app.task(name=task_name("fetch"))
    def fetch_(row: int) -> None:
        run_job(bench(), row, fetch, else_kind="fetch")
