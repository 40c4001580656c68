"""`vbq simulate patient`: the FHIR side of a study on disk, as a transaction Bundle."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from commands.exits import print_json
from gateways.dicom.study import StudyFiles, limits_of, open_study
from gateways.settings import load_settings
from schemas.codes import SNOMED_CT, lookup
from schemas.fhir.full import checked
from schemas.record import problems_of
from vbq.simulate.patient import OPTIONAL_PARTS, ImagedSeries, ImagedStudy, Wishes, described, patient_bundle
from vbq.simulate.patient_values import QUANTITIES, Units

DATE = click.DateTime(["%Y-%m-%d"])
LEAVABLE = sorted({*QUANTITIES, *OPTIONAL_PARTS})


def read_values(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """NAME=NUMBER, e.g. weight=61.5; wrong usage where a value is not that."""
    found = {}
    for text in values:
        name, _, number = text.partition("=")
        if name not in QUANTITIES or not re.fullmatch(r"-?\d+(\.\d+)?", number):
            names = ", ".join(QUANTITIES)
            raise click.BadParameter(f"write NAME=NUMBER with a NAME of {names}", context, parameter)
        found[name] = float(number)
    return found


def read_conditions(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """SNOMED CT codes that the product knows; another one would mean nothing to it."""
    for code in values:
        if lookup(SNOMED_CT, code) is None:
            raise click.BadParameter(f"{code} is no SNOMED CT code of schemas/codes.tsv", context, parameter)
    return list(values)


@click.command("patient")
@click.option("--study", "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The Bundle, as JSON.")
@click.option("--patient-id", help="FHIR id.  [default: from the study's PatientID]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same patient.")
@click.option("--t-score", type=click.FloatRange(-12, 12), help="DXA T-score of the lumbar spine.")
@click.option("--set", "values", multiple=True, callback=read_values, metavar="NAME=NUMBER",
              help="Another value in SI units, e.g. weight=61.5; repeatable.")  # fmt: skip
@click.option("--without", type=click.Choice(LEAVABLE), multiple=True, help="Leave this out; repeatable.")
@click.option("--condition", "conditions", multiple=True, callback=read_conditions, metavar="CODE",
              help="A further condition, by SNOMED CT code; repeatable.")  # fmt: skip
@click.option("--history/--no-history", "history_vf", default=None, help="A prior vertebral fracture, or none.")
@click.option("--gender", type=click.Choice(["female", "male", "other", "unknown"]), default="female")
@click.option("--birth-date", type=DATE, help="[default: the study's, else by the seed]")
@click.option("--units", type=click.Choice(get_args(Units)), default="si", show_default=True)
@click.option("--as-of", type=DATE, help="Everything was measured before this day.  [default: the study's date]")
@click.option("--study-uid", help="Which study, where the directory holds several.")
@click.option("--json", "as_json", is_flag=True, help="Print the Bundle on stdout too.")
def simulate_patient(
    directory: Path,
    out: Path,
    *,
    patient_id: str | None,
    t_score: float | None,
    values: dict[str, float],
    without: tuple[str, ...],
    birth_date: dt.datetime | None,
    as_of: dt.datetime | None,
    study_uid: str | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Make a synthetic patient's record for the DICOM study below --study.

    The Bundle's Patient carries the study's PatientID as identifier and its birth date; the ImagingStudy points to the
    directory by a file: endpoint. Everything that the study does not say is drawn from the seed.
    """
    files = open_study(directory, study_uid=study_uid, limits=limits_of(load_settings()))
    study = imaged(files, directory)
    anchor = as_of.date() if as_of else study.date
    if anchor is None:
        anchor = dt.datetime.now(dt.UTC).date()
        click.echo("the study states no date: the values are dated before today; --as-of names another day", err=True)
    asked = {
        "patient_id": patient_id or re.sub(r"[^A-Za-z0-9.-]+", "-", study.patient_id or "p1").lower()[:40],
        "values": values | ({} if t_score is None else {"t-score": t_score}),
        "without": list(without),
        "birth_date": birth_date.date() if birth_date else None,
        **rest,
    }
    try:
        wishes = Wishes.model_validate(asked)
    except ValidationError as error:
        places = "; ".join(f"{path}: {text}" for path, text in problems_of(error))
        raise click.UsageError(f"the patient cannot be made: {places}") from error
    bundle = checked(patient_bundle(study, wishes, anchor))
    out.write_text(json.dumps(bundle, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    counts = ", ".join(f"{count} {name}" for name, count in described(bundle).items())
    click.echo(f"{out}: Patient/{wishes.patient_id}, synthetic ({counts})", err=True)
    if as_json:
        print_json(bundle)


def imaged(files: StudyFiles, directory: Path) -> ImagedStudy:
    """What FHIR says of the study, from its headers."""
    study, identity = files.study, files.identity
    return ImagedStudy(
        uid=study.study_uid,
        date=dt.date.fromisoformat(study.study_date) if study.study_date else None,
        directory_url=directory.resolve().as_uri(),
        patient_id=identity.patient_id,
        birth_date=identity.birth_date,
        series=[
            ImagedSeries(
                uid=series.uid,
                number=series.number,
                modality=series.modality,
                description=series.description,
                instances=series.slices,
            )
            for series in study.series
        ],
    )
