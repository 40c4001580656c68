"""The made-up woman of a phantom: a name, a number and a birth date that nobody could take for a real person's."""

import datetime as dt
import hashlib
import uuid

import numpy as np
from pydantic import Field

from schemas.record import Record
from vbq.simulate.parameters import PhantomParameters

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://vbq-cds.example/phantom")


class PhantomPerson(Record):
    """Whose study it is said to be, and when it was made."""

    patient_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    family: str
    given: str
    birth_date: dt.date
    sex: str = Field(default="F", pattern="^[FMO]$")
    study_date: dt.date


def draw_person(
    seed: int, *, patient_id: str | None = None, study_date: dt.date | None = None, sex: str = "F"
) -> PhantomPerson:
    """A woman of 60 to 80 for `seed`; the same seed gives the same woman, whatever the phantom's other parameters."""
    rng = np.random.default_rng([seed, 7])
    drawn = dt.date(2025, 9, 1) + dt.timedelta(days=int(rng.integers(0, 120)))
    days = int(rng.uniform(60, 80) * 365.25)
    return PhantomPerson(
        patient_id=patient_id or f"SYNTH-{seed:04d}",
        family="SYNTHETIC",
        given=f"PHANTOM {seed:04d}",
        birth_date=drawn - dt.timedelta(days=days),
        sex=sex,
        study_date=study_date or drawn,
    )


def study_uid(parameters: PhantomParameters, person: PhantomPerson) -> str:
    """The study's UID: other parameters, another study."""
    digest = hashlib.sha256(f"{parameters.model_dump_json()}\n{person.model_dump_json()}".encode()).hexdigest()
    return _uid(digest)


def series_uid(study: str, number: int) -> str:
    """The UID of a series of `study`."""
    return _uid(f"{study}/{number}")


def instance_uid(study: str, number: int, index: int) -> str:
    """The UID of an instance; `index` counts from 0 in the order of position."""
    return _uid(f"{study}/{number}/{index}")


def frame_uid(study: str) -> str:
    """The UID of the study's frame of reference."""
    return _uid(f"{study}/frame")


def _uid(name: str) -> str:
    """A UID under 2.25 (PS3.5 B.2), from a name."""
    return f"2.25.{uuid.uuid5(NAMESPACE, name).int}"
