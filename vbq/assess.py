"""From one patient's record and one measurement to what can be said of her. The page to read first.

    facts --merge--> inputs --+-- eligibility --> outside the population?
    study --measure--> VBQ ---+-- model -------> missing something? else the risk with its interval

Pure: the same arguments give the same assessment and id. What is missing or unusable is named, never guessed.
"""

import datetime as dt
import hashlib
import uuid
from typing import Final, NamedTuple

from schemas.assessment import Assessment, AssessmentState, ModelRef, Risk
from schemas.clinical import ClinicalInput, IgnoredInput, Merged, PatientFacts
from schemas.config import MergePolicy
from schemas.measurement import Measurement, Reason
from schemas.model import ModelArtefact
from vbq.clinical.eligibility import eligibility
from vbq.clinical.merge import is_stale, merge
from vbq.clinical.missing import missing_reason
from vbq.clinical.units import UNIT_OF
from vbq.risk.artefact import canonical_json
from vbq.risk.score import input_problems, score

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://vbq-cds.example/fhir/RiskAssessment")
_NOT_MEASURED: Final[dict[str, tuple[AssessmentState, str]]] = {
    "needs_regions": ("needs_regions", "The study has no regions to measure in yet."),
    "needs_confirmation": ("needs_confirmation", "The measurement waits for a reader to confirm it."),
    "not_measurable": ("not_measurable", "No VBQ can be had from this study."),
}


class _Finding(NamedTuple):
    state: AssessmentState
    reasons: list[Reason]
    missing: list[str]
    risk: Risk | None = None


def assess(
    *,
    patient: str,
    study: str | None,
    facts: PatientFacts,
    measurement: Measurement | None,
    model: ModelArtefact,
    digest: str,
    policy: MergePolicy,
    as_of: dt.datetime,
    previous: str | None,
    software: str,
) -> Assessment:
    """What can be said of `patient` at `as_of` (with a time zone) under `model`.

    `study`: reference of the ImagingStudy that `measurement` is of. `digest`: SHA-256 of the model's file.
    `previous`: id of the patient's current assessment, which this one supersedes unless it is the same.
    Raises ModelRefused where the model itself must not be asked (expired, not servable, no thresholds).
    """
    merged = merge(facts, as_of, study_date(measurement), policy)
    vbq = vbq_input(measurement, study, as_of=as_of, policy=policy)
    inputs = [*([vbq] if vbq else []), *merged.inputs]
    known = Merged(inputs=inputs, ignored=merged.ignored)
    finding = _find(facts, known, measurement=measurement, model=model, policy=policy, as_of=as_of)
    key = _key(finding, known, patient=patient, study=study, digest=digest, measurement=measurement)
    own_id = assessment_id(patient, key)
    return Assessment(
        id=own_id,
        key=key,
        patient=patient,
        state=finding.state,
        reasons=finding.reasons,
        missing=finding.missing,
        study=study,
        measurement=measurement,
        inputs=inputs,
        ignored=merged.ignored,
        risk=finding.risk,
        model=ModelRef(
            id=model.id, version=model.version, digest=digest, inputs=[row.name for row in model.covariates]
        ),
        software=software,
        created=as_of,
        supersedes=previous if previous != own_id else None,
    )


def withdraw(
    current: Assessment,
    *,
    code: str,
    text: str,
    as_of: dt.datetime,
    software: str,
    replaced_by: str | None = None,
) -> Assessment:
    """What replaces `current` once what it rested on is taken back: no number, and the reason.

    Its id follows from patient, study and reason, not from what was said before: withdrawn twice is withdrawn once.
    """
    reason = Reason(code=code, text=text)
    key = _hash({"withdrawn": current.patient, "study": current.study, "reason": code, "text": text})
    own_id = assessment_id(current.patient, key)
    return current.but(
        id=own_id,
        key=key,
        state="withdrawn",
        reasons=[reason],
        missing=[],
        measurement=None,
        inputs=[],
        ignored=[],
        risk=None,
        replaced_by=replaced_by,
        software=software,
        created=as_of,
        supersedes=current.id if current.id != own_id else current.supersedes,
    )


def recalled(current: Assessment, *, as_of: dt.datetime, software: str) -> Assessment:
    """What replaces `current` once the model that scored it is revoked, until another model has looked."""
    text = f"The model {current.model.id} {current.model.version} was revoked after it had spoken; its number is void."
    return withdraw(current, code="model-revoked", text=text, as_of=as_of, software=software)


def assessment_id(patient: str, key: str) -> str:
    """UUIDv5 of the patient and the key."""
    return str(uuid.uuid5(_NAMESPACE, f"{patient}|{key}"))


def study_date(measurement: Measurement | None) -> dt.date | None:
    """The day of the images; None where there is no measurement or the images carry none."""
    text = measurement.acquisition.study_date if measurement else None
    return dt.date.fromisoformat(text) if text else None


def vbq_input(
    measurement: Measurement | None, study: str | None, *, as_of: dt.datetime, policy: MergePolicy
) -> ClinicalInput | None:
    """The measured VBQ as an input, with how it came about; None where there is no number."""
    if measurement is None or measurement.vbq is None:
        return None
    taken = study_date(measurement)
    notes = ["regions by a reader" if measurement.method == "reader" else "automatic regions"]
    if taken is None:
        notes.append("the images carry no date, so the age of other values is counted from today")
    if measurement.interval:
        notes.append("95 % interval {:.2f} to {:.2f}".format(*measurement.interval))
    if measurement.status == "needs_confirmation":
        notes.append("not confirmed by a reader yet")
    return ClinicalInput(
        name="vbq",
        label="VBQ (MRI vertebral bone quality)",
        value=measurement.vbq,
        unit=UNIT_OF["vbq"],
        date=taken,
        source=study or "derived",
        note="; ".join(notes),
        stale=taken is not None and is_stale(taken, as_of, policy),
    )


def _find(
    facts: PatientFacts,
    known: Merged,
    *,
    measurement: Measurement | None,
    model: ModelArtefact,
    policy: MergePolicy,
    as_of: dt.datetime,
) -> _Finding:
    who = eligibility(facts, known, model.population, as_of)
    if who.outside:
        return _Finding("outside_population", who.outside, [])
    given: dict[str, ClinicalInput] = {row.name: row for row in known.inputs}
    problems = input_problems(model, given)
    lacking = [*who.missing, *(row.name for row in problems if row.name not in who.missing)]
    if measurement is not None and measurement.status in _NOT_MEASURED:
        state, words = _NOT_MEASURED[measurement.status]
        others = [name for name in lacking if name != "vbq"]
        reasons = [
            *(measurement.reasons or [Reason(code=state.replace("_", "-"), text=words)]),
            *(missing_reason(name, known, policy) for name in others),
        ]
        return _Finding(state, reasons, others)
    if lacking:
        refused = {row.name: Reason(code=row.code, text=f"{row.text}.") for row in problems}
        reasons = [
            refused[name] if name in refused and name in given else missing_reason(name, known, policy)
            for name in lacking
        ]
        return _Finding("incomplete", reasons, lacking)
    return _Finding("complete", [], [], score(model, given, on=as_of.date()))


def _key(
    finding: _Finding,
    known: Merged,
    *,
    patient: str,
    study: str | None,
    digest: str,
    measurement: Measurement | None,
) -> str:
    """SHA-256 of all that the result rests on; neither the clock nor the software's version is part of it."""
    return _hash(
        {
            "patient": patient,
            "study": study,
            "model": digest,
            "state": finding.state,
            "reasons": [row.code for row in finding.reasons],
            "missing": finding.missing,
            "measurement": _measured(measurement) if measurement else None,
            "inputs": [_identity(row) for row in known.inputs],
            "ignored": [[row.source, row.about, row.code] for row in known.ignored if _matters(row)],
        }
    )


def _measured(measurement: Measurement) -> list[str | None]:
    """How it was measured and what is remarked on it; codes alone, since a remark's wording may change."""
    remarks = sorted({flag.code for flag in measurement.flags})
    return [measurement.status, measurement.algorithm, measurement.series_uid, *remarks]


def _identity(row: ClinicalInput) -> list[str | float | bool | None]:
    return [row.name, row.value, row.unit, row.date.isoformat() if row.date else None, row.source, row.how]


def _matters(row: IgnoredInput) -> bool:
    """A value passed over for a better one says nothing new; one that was refused does."""
    return row.code not in {"superseded", "too-old"}


def _hash(document: object) -> str:
    return hashlib.sha256(canonical_json(document)).hexdigest()
