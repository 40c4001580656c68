"""`./run demo`: the whole product once. One patient, one study, one event each, one card; real servers, real HTTP."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from commands import demo_display as display
from gateways.stand_ins import Answer, Credentials, IntegrationEngine, OrderingEhr
from schemas.assessment import Assessment
from schemas.errors import Rejected, Unavailable

Json = dict[str, Any]
PATIENT_ID = "demo-1"
TRUE_VBQ, SEED, T_SCORE = 4.10, 7, -2.9
READY_S, RESULT_S, DRAIN_S = 60.0, 90.0, 30.0
HOOKS = {"patient-view": "view", "order-select": "order-select", "order-sign": "order-sign"}
FHIR_BASE = "https://ehr.example/fhir"


def vbq(*arguments: str) -> str:
    """Run one `vbq` command as a user would; its stdout. Raises Rejected with what it said."""
    done = subprocess.run([sys.executable, "-m", "commands", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Rejected(f"`vbq {' '.join(arguments[:2])}` failed: {done.stderr.strip()[-800:]}", code="demo-step-failed")
    return done.stdout


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def stack(home: Path, port: int, config: Path) -> Iterator[str]:
    """`vbq up` in a session of its own on `port`, data below `home`; yields the base URL, drains at the end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
    environment |= {"VBQ_DATA_DIR": str(home / "data"), "VBQ_PORT": str(port), "VBQ_CONFIG": str(config)}
    log = home / "stack.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "commands", "up"], env=environment, stdout=sink, stderr=sink, start_new_session=True
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise Rejected(f"the stack ended with status {process.returncode}; see {log}", code="demo-step-failed")


def wait_for(probe: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask `probe` until it gives something; Unavailable after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := probe():
                return found
        except Unavailable:
            pass  # not up yet: that is what we wait for
        time.sleep(0.02)
    raise Unavailable(f"{what} did not happen within {seconds:.0f} s; see stack.log beside the demo's output")


def checked(answer: Answer, what: str, *statuses: int) -> Answer:
    """The answer, if it has one of the statuses."""
    if answer.status not in statuses:
        raise Rejected(f"{what} was answered with HTTP {answer.status}, not {statuses}", code="demo-step-failed")
    return answer


def entries(bundle: Json, kind: str) -> list[Json]:
    """The resources of a Bundle, optionally of one type."""
    resources = [entry["resource"] for entry in bundle.get("entry", [])]
    return [resource for resource in resources if resource["resourceType"] == kind]


class Demo:
    """The steps, each timed and ticked off in the progress display."""

    def __init__(self, home: Path, console: Console) -> None:
        self.home, self.console = home, console
        self.seconds: dict[str, float] = {}
        columns = (SpinnerColumn(finished_text="[green]done[/]"), TextColumn("{task.description}"), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; it is ticked off only if it did not fail."""
        task = self.progress.add_task(name, total=1)
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started
        self.progress.update(task, completed=1)

    def prepare_study(self, study: Path | None, rois: Path | None) -> tuple[Path, Path, Json | None]:
        """A directory with DICOM, its regions.json, and the truth where it is known (the phantom's)."""
        place = self.home / "study"
        if study is None:
            vbq("simulate", "study", "--vbq", str(TRUE_VBQ), "--seed", str(SEED), "--out", str(place))
            return place, place / "regions.json", json.loads((place / "truth.json").read_text())
        shutil.copytree(study, place, copy_function=shutil.copyfile)
        if rois is not None:
            shutil.copyfile(rois, place / "regions.json")
        return place, place / "regions.json", None

    def push(self, engine: IntegrationEngine, bundle: Json) -> int:
        """Every resource of the bundle as an event of its own: Patient, ImagingStudy, Observations, Conditions."""
        for entry in bundle["entry"]:
            checked(engine.push(entry["resource"]), f"PUT of a {entry['resource']['resourceType']}", 200, 201, 202)
        return len(bundle["entry"])

    def await_result(self, engine: IntegrationEngine) -> Json:
        """Poll until a final RiskAssessment is there."""

        def final() -> Json | None:
            bundle = checked(engine.read(f"/fhir/RiskAssessment?patient=Patient/{PATIENT_ID}"), "reading", 200).body
            return next((row for row in entries(bundle, "RiskAssessment") if row["status"] == "final"), None)

        found: Json = wait_for(final, RESULT_S, "a final RiskAssessment")
        return found

    def call_hooks(self, ehr: OrderingEhr, order: Json) -> dict[str, Answer]:
        """Discovery, then the three hooks, as an EHR does it."""
        checked(ehr.discover(), "discovery", 200)
        context: Json = {"userId": "Practitioner/demo-doctor", "patientId": PATIENT_ID}
        draft = {"draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order}]}}
        contexts = {
            "patient-view": context,
            "order-select": {**context, **draft, "selections": [f"ServiceRequest/{order['id']}"]},
            "order-sign": {**context, **draft},
        }
        answers = {}
        for hook, suffix in HOOKS.items():
            answer = ehr.call(f"vertebral-fracture-risk-{suffix}", hook, contexts[hook])
            answers[hook] = checked(answer, hook, 200)
        return answers


DRAFT_ORDER: Json = {
    "resourceType": "ServiceRequest",
    "id": "demo-order",
    "status": "draft",
    "intent": "order",
    "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}], "text": "DXA of the lumbar spine"},
    "subject": {"reference": f"Patient/{PATIENT_ID}"},
}


def stored_assessment(home: Path) -> Assessment:
    """The record behind the RiskAssessment, with every input's date and source."""
    from gateways.records.results import Results
    from gateways.store.database import Database

    found = Results(Database(f"sqlite:///{(home / 'data' / 'vbq.sqlite3').absolute()}")).current(
        f"Patient/{PATIENT_ID}"
    )
    if found is None or found.measurement is None:
        raise Rejected("the store holds no assessment of the demo's patient", code="demo-step-failed")
    return found


def run(home: Path, study: Path | None, rois: Path | None, console: Console) -> None:
    """All steps, then everything that they gave."""
    run = Demo(home, console)
    credentials = Credentials(issuer="https://ehr.example")
    with run.progress:
        with run.step("make the study" if study is None else "copy the study"):
            place, regions, truth = run.prepare_study(study, rois)
        with run.step("make the patient's FHIR resources"):
            vbq("simulate", "patient", "--study", str(place), "--patient-id", PATIENT_ID, "--t-score", str(T_SCORE),
                "--seed", str(SEED), "--out", str(home / "patient.json"))  # fmt: skip
        bundle = json.loads((home / "patient.json").read_text())
        config = credentials.write_config(home / "config", fhir_base=FHIR_BASE, study_roots=[place])
        port = free_port()
        with stack(home, port, config) as base_url:
            with IntegrationEngine(base_url, credentials) as engine, OrderingEhr(base_url, credentials) as ehr:
                with run.step("start Redis, the web service, a worker and the sweeper"):
                    wait_for(lambda: engine.read("/readyz").status == 200, READY_S, "readiness")
                with run.step("send the events over HTTP"):
                    run.push(engine, bundle)
                with run.step("last event accepted to RiskAssessment"):
                    resource = run.await_result(engine)
                with run.step("call the three CDS Hooks services"):
                    answers = run.call_hooks(ehr, DRAFT_ORDER)
            assessment = stored_assessment(home)
        with run.step("draw the measured slice"):
            picture = home / "slice.png"
            vbq("measure", str(place), "--rois", str(regions), "--png", str(picture), "--json")
    for hook, answer in answers.items():
        run.seconds[f"  of which {hook}"] = answer.seconds
    report(run, assessment, truth, resource, answers)
    verify(assessment, truth, answers, picture)
    console.print(f"Picture of the measured slice: {picture}\nEverything else of this run:   {home}")


def report(run: Demo, assessment: Assessment, truth: Json | None, resource: Json, answers: dict[str, Answer]) -> None:
    """Print what came out."""
    assert assessment.measurement is not None, "stored_assessment saw to it"
    display.show(
        run.console,
        display.measurement_table(assessment.measurement, truth),
        display.inputs_table(assessment),
        display.risk_panel(assessment),
        display.resource_panel(resource),
        *(display.card_panel(hook, answer.body["cards"]) for hook, answer in answers.items()),
        display.timing_table(run.seconds),
    )


def verify(assessment: Assessment, truth: Json | None, answers: dict[str, Answer], picture: Path) -> None:
    """The demo fails unless all of it happened, and the phantom was measured right."""
    if assessment.risk is None:
        raise Rejected(f"the assessment is {assessment.state}, without a risk", code="demo-incomplete")
    vbq_value = assessment.measurement.vbq if assessment.measurement else None
    if truth is not None and (vbq_value is None or abs(vbq_value / truth["vbq"] - 1) > 0.01):
        raise Rejected("the measured VBQ is more than 1 % off the phantom's truth", code="demo-incomplete")
    # An order always gets its card; opening a chart stays quiet where the risk is low (schemas/card_policy.yaml).
    may_be_quiet = {"patient-view"} if assessment.risk.risk_class == "low" else set[str]()
    silent = [hook for hook, answer in answers.items() if not answer.body.get("cards") and hook not in may_be_quiet]
    if silent:
        raise Rejected(f"no card came from: {', '.join(silent)}", code="demo-incomplete")
    if not picture.is_file():
        raise Rejected("the picture was not written", code="demo-incomplete")


@click.command()
@click.option(
    "--study",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A real DICOM study instead of the phantom.",
)
@click.option(
    "--rois", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A reader's regions for --study."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="Emptied, then filled.",
)
def demo(study: Path | None, rois: Path | None, out: Path) -> None:
    """Run the whole product once: a study becomes a measurement, a risk, a RiskAssessment and cards.

    Made-up patient, made-up keys; real Redis, real HTTP, real DICOM. Exit status 0 only if all of it happened.
    """
    if study is not None and rois is None and not (study / "regions.json").is_file():
        raise click.UsageError("--study needs --rois FILE, or a regions.json in the study's directory")
    if rois is not None and study is None:
        raise click.UsageError("--rois belongs to --study; the phantom brings its own regions")
    home = out.absolute()
    if home.exists():
        if any(home.iterdir()) and not (home / ".vbq-demo").exists():
            raise click.UsageError(f"{out} is not empty and not from an earlier demo; name another with --out")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / ".vbq-demo").touch()
    run(home, study, rois, Console(stderr=False, width=None if sys.stdout.isatty() else 140))
