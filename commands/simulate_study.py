"""`vbq simulate study`: a synthetic lumbar MR study whose VBQ is known, as DICOM files."""

import datetime as dt
import json
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from commands.exits import print_json
from commands.simulate_conditions import condition_options, split_conditions
from gateways.dicom.write import Compression, write_study
from schemas.errors import NotAcceptable
from schemas.record import problems_of
from vbq.simulate.documents import regions_document, truth_document
from vbq.simulate.parameters import Fracture, PhantomParameters, draw_parameters
from vbq.simulate.person import PhantomPerson, draw_person
from vbq.simulate.sequence import SEQUENCES
from vbq.simulate.study import PhantomStudy
from vbq.simulate.study import simulate_study as simulate

SMALLEST_FIELD = 250  # mm; less leaves out T12 or L5


def read_fractures(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Fracture]:
    """LEVEL[:LOSS[:SHAPE[:acute]]], e.g. L2, L2:0.4 or L2:0.4:crush:acute; wrong usage where it is no fracture."""
    try:
        parts = [dict(zip(("level", "loss", "shape", "acute"), value.split(":"), strict=False)) for value in values]
        return [
            Fracture.model_validate({**part, "acute": {"acute": True}.get(part["acute"])} if "acute" in part else part)
            for part in parts
        ]
    except ValidationError as error:
        places = "; ".join(f"{path}: {text}" for path, text in problems_of(error))
        text = f"not a fracture ({places}); write e.g. L2, L2:0.4 or L2:0.4:biconcave:acute"
        raise click.BadParameter(text, context, parameter) from error


@click.command("study")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Where the files go.")
@click.option("--vbq", type=click.FloatRange(0.8, 12), default=3.5, show_default=True, help="The VBQ to be found.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--no-regions", is_flag=True, help="Write no regions.json.")
@click.option("--no-distractors", is_flag=True, help="The T1 series alone, no T2 series beside it.")
@click.option("--slices", type=click.IntRange(1, 64), help="Sagittal slices.  [default: 15 to 19, by the seed]")
@click.option("--matrix", type=click.IntRange(128, 1024), default=512, show_default=True, help="Rows and columns.")
@click.option("--pixel-mm", type=click.FloatRange(0.25, 2.5), help="Pixel spacing.  [default: by matrix and seed]")
@click.option("--noise", type=click.FloatRange(0, 0.5), help="SD of the noise as a share of the marrow's signal.")
@click.option("--falloff-mm", type=click.FloatRange(15, 1000), help="Reach of the coil; 1000 is nearly even.")
@click.option("--tilt", "tilt_deg", type=click.FloatRange(-20, 20), help="Slices turned about the long axis, degrees.")
@click.option("--off-centre-mm", type=click.FloatRange(-15, 15), help="The stack is beside the midline.")
@click.option("--scoliosis", "scoliosis_mm", type=click.FloatRange(-30, 30), help="Sideways curve, mm.")
@click.option("--lordosis", type=click.FloatRange(0, 2), help="1 is usual, 0 flat.")
@click.option("--degeneration", type=click.FloatRange(0, 1), help="Of the discs.")
@click.option("--listhesis-mm", type=click.FloatRange(0, 12), help="Of L4 on L5, or see --listhesis-level.")
@click.option(
    "--fracture", "fractures", multiple=True, callback=read_fractures, metavar="LEVEL[:LOSS[:SHAPE[:acute]]]",
    help="Compression fracture: wedge, biconcave or crush, e.g. L2:0.4:biconcave or L1:0.3:wedge:acute; repeatable.",
)  # fmt: skip
@condition_options
@click.option("--patient-id", help="DICOM PatientID.  [default: SYNTH-<seed>]")
@click.option("--sex", type=click.Choice(["F", "M", "O"]), default="F", show_default=True, help="DICOM PatientSex.")
@click.option("--study-date", type=click.DateTime(["%Y-%m-%d"]), help="[default: late 2025, by the seed]")
@click.option("--compress", type=click.Choice(get_args(Compression)), default="none", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print truth.json on stdout.")
def simulate_study(
    out: Path,
    vbq: float,
    seed: int,
    *,
    no_regions: bool,
    no_distractors: bool,
    matrix: int,
    patient_id: str | None,
    sex: str,
    study_date: dt.datetime | None,
    compress: Compression,
    as_json: bool,
    **knobs: Any,
) -> None:
    """Make a synthetic sagittal T1 study (with T2 series as distractors), its true regions and its truth.

    What is not given is drawn from the seed. Writes DICOM below OUT, one folder a series, OUT/regions.json (the true
    regions as a reader's) and OUT/truth.json.
    """
    _refuse_foreign(out)
    conditions, own = split_conditions(knobs)
    given = {name: value for name, value in own.items() if value not in (None, [])}
    given |= {"distractors": not no_distractors, "conditions": conditions}
    parameters = _parameters(seed, vbq, matrix, given)
    person = _person(seed, patient_id, sex, study_date)
    try:
        study = simulate(parameters)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    truth = _write(study, person, out, compress, regions=not no_regions)
    if as_json:
        print_json(truth)
        return
    images = sum(len(series.images) for series in study.series)
    value = f"VBQ {study.truth.vbq:.3f}" if truth["vbq"] is not None else "no VBQ"
    click.echo(f"{out}: {images} synthetic images in {len(study.series)} series, {value}", err=True)


def _parameters(seed: int, vbq: float, matrix: int, given: dict[str, Any]) -> PhantomParameters:
    drawn = draw_parameters(seed, vbq)
    given = {"rows": matrix, "columns": matrix, "pixel_mm": drawn.pixel_mm * 512 / matrix} | given
    if matrix * given["pixel_mm"] < SMALLEST_FIELD and given["conditions"].part == "lumbar":
        raise click.UsageError(
            f"the field of view would be {matrix * given['pixel_mm']:.0f} mm; from {SMALLEST_FIELD} mm on the lumbar "
            "spine fits: raise --matrix or --pixel-mm"
        )
    return draw_parameters(seed, vbq, **given)


def _person(seed: int, patient_id: str | None, sex: str, study_date: dt.datetime | None) -> PhantomPerson:
    try:
        return draw_person(seed, patient_id=patient_id, sex=sex, study_date=study_date.date() if study_date else None)
    except ValidationError as error:
        raise click.UsageError("--patient-id must be 1 to 64 letters, digits, dots, hyphens or underscores") from error


def _refuse_foreign(out: Path) -> None:
    """A folder with something else in it stays as it is: a mixed study would be measured wrongly, or lost."""
    if out.exists() and not (out / "truth.json").exists() and any(out.iterdir()):
        raise NotAcceptable("the folder of --out holds something other than a phantom; name an empty or new one")


def _write(
    study: PhantomStudy, person: PhantomPerson, out: Path, compress: Compression, *, regions: bool
) -> dict[str, Any]:
    """All files, truth.json last: while it is missing the folder is not whole."""
    out.mkdir(parents=True, exist_ok=True)
    before = {path for sequence in SEQUENCES for path in (out / sequence.folder).glob("*.dcm")}
    for name in ("truth.json", "regions.json"):
        (out / name).unlink(missing_ok=True)
    written = set(write_study(study, person, out, compression=compress))
    for stale in before - written:  # an earlier phantom had more slices
        stale.unlink()
    if regions and study.truth.regions.used:
        document = regions_document(study, person).model_dump_json(indent=2)
        (out / "regions.json").write_text(document + "\n", encoding="utf-8")
    truth = truth_document(study, person)
    (out / "truth.json").write_text(json.dumps(truth, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return truth
