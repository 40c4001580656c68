"""Microseconds to score one patient: `./run python -m benchmarks.score`."""

import datetime as dt
import timeit
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from schemas.clinical import Coding, ObservedQuantity, PatientFacts, Person
from schemas.codes import LOINC
from schemas.config import MergePolicy
from schemas.measurement import Acquisition, Measurement
from vbq.assess import assess
from vbq.risk.published import build
from vbq.risk.score import Scorer, Stated, score
from vbq.risk.shipped import DEFAULT_MODEL, shipped_keys, shipped_models
from vbq.risk.signature import open_model

AS_OF = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
ROUNDS, REPEATS = 2_000, 7


def a_record() -> PatientFacts:
    """A synthetic woman with six observations."""
    values: list[tuple[str, float, str | None]] = [
        ("38267-1", -2.4, "{T-score}"),
        ("29463-7", 61.2, "kg"),
        ("2160-0", 0.9, "mg/dL"),
        ("6768-6", 85.0, "U/L"),
        ("17861-6", 9.4, "mg/dL"),
        ("38264-8", -2.0, None),
    ]
    rows = [
        ObservedQuantity(
            reference=f"Observation/{code}",
            status="final",
            codings=[Coding(system=LOINC, code=code)],
            value=value,
            unit=unit,
            effective=dt.datetime(2023, 12, 1, tzinfo=dt.UTC),
            effective_text="2023-12-01",
        )
        for code, value, unit in values
    ]
    person = Person(reference="Patient/p1", gender="female", birth_date=dt.date(1952, 3, 4))
    return PatientFacts(person=person, observations=rows)


def cases() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    model, facts = build(), a_record()
    scorer = Scorer(model)
    inputs = {"vbq": Stated(4.26, "1"), "t_score": Stated(-2.48, "{T-score}")}
    measurement = Measurement(
        status="measured",
        vbq=4.26,
        method="reader",
        algorithm="benchmark",
        study_uid="2.25.1",
        acquisition=Acquisition(study_date="2024-01-15"),
    )
    content, signature = shipped_models()[DEFAULT_MODEL]
    keys = shipped_keys()
    return {
        "score, model unpacked once (checks and arithmetic)": lambda: scorer(inputs),
        "score, from the artefact to the record": lambda: score(model, inputs),
        "assess: merge, eligibility, score, key": lambda: assess(
            patient="Patient/p1",
            study="ImagingStudy/s1",
            facts=facts,
            measurement=measurement,
            model=model,
            digest="0" * 64,
            policy=MergePolicy(),
            as_of=AS_OF,
            previous=None,
            software="benchmark",
        ),
        "open a model: signature, canonical form, parse": lambda: open_model(content, signature, keys),
    }


def main() -> None:
    """Print the table; best of several repeats, since others share the machine."""
    table = Table("step", "us")
    for name, call in cases().items():
        best = min(timeit.repeat(call, number=ROUNDS, repeat=REPEATS)) / ROUNDS
        table.add_row(name, f"{best * 1e6:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
