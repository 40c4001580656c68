"""The VBQ Observation: the score, what it was measured on and each region's signal intensity as a component."""

from typing import Any, Final

from schemas.assessment import Assessment
from schemas.fhir import systems
from schemas.fhir.parts import coding, identifier_of, named_id, range_of, reference_to, ucum
from schemas.fhir.reference import base_of, qualified
from schemas.measurement import Acquisition, Level, Measurement, Region
from schemas.wording import RESEARCH_USE, study_day

Json = dict[str, Any]

# SNOMED CT ids of schemas/codes.tsv; levels without a verified id carry our own code alone.
VERTEBRAE: Final[dict[Level, str]] = {
    "L1": "66794005",
    "L2": "14293000",
    "L3": "36470004",
    "L4": "11994002",
    "L5": "49668003",
}
LUMBAR_SPINE: Final = "122496007"


def vbq_observation(assessment: Assessment) -> Json | None:
    """The Observation of the assessment's measurement; None where nothing was measured.

    Its identity hangs on patient, study and measurement alone, so that an assessment made anew from the same images
    does not make a second Observation of them.
    """
    measurement = assessment.measurement
    if measurement is None or measurement.vbq is None:
        return None
    key = identifier_of(
        systems.MEASUREMENT_KEY, assessment.patient, assessment.study or "", measurement_text(measurement)
    )
    base = base_of(assessment.patient)
    day = study_day(assessment)
    return {
        "resourceType": "Observation",
        "id": named_id(key),
        "identifier": [key],
        **({"extension": [_interval(measurement.interval)]} if measurement.interval else {}),
        "status": _status(assessment, measurement),
        "category": [{"coding": [coding(systems.OBSERVATION_CATEGORY, "imaging", "Imaging")]}],
        "code": {
            "coding": [coding(systems.MEASURE, "vbq-score", "MRI vertebral bone quality score")],
            "text": "Vertebral bone quality (VBQ) score: mean signal of L1-L4 over that of the CSF at L1-L3",
        },
        "subject": {"reference": assessment.patient},
        **({"effectiveDateTime": day.isoformat()} if day else {}),
        "device": reference_to(algorithm_device(assessment)),
        **({"derivedFrom": [{"reference": qualified(assessment.study, base)}]} if assessment.study else {}),
        "bodySite": {"coding": [coding(systems.SNOMED, LUMBAR_SPINE, "Lumbar spine structure")]},
        "method": {"text": _method(measurement)},
        "valueQuantity": ucum(round(measurement.vbq, 4), "{ratio}"),
        "note": [{"text": text} for text in _notes(measurement)],
        "component": [
            *(_component(level, region, csf=False) for level, region in measurement.levels.items()),
            *(_component(level, region, csf=True) for level, region in measurement.csf.items()),
        ],
    }


def algorithm_device(assessment: Assessment) -> Json:
    """The Device that measured."""
    algorithm = assessment.measurement.algorithm if assessment.measurement else "none"
    key = identifier_of(systems.DEVICE_KEY, assessment.software, algorithm)
    return {
        "resourceType": "Device",
        "id": named_id(key),
        "identifier": [key],
        "status": "active",
        "deviceName": [{"name": "VBQ measurement", "type": "user-friendly-name"}],
        "version": [
            {"type": {"text": "software"}, "value": assessment.software},
            {"type": {"text": "algorithm"}, "value": algorithm},
        ],
        "note": [{"text": RESEARCH_USE}],
    }


def measurement_text(measurement: Measurement) -> str:
    """What makes a measurement itself, as text: its JSON without what is not said, so that new fields change no key."""
    return measurement.model_dump_json(exclude_defaults=True)


def _status(assessment: Assessment, measurement: Measurement) -> str:
    if assessment.state == "withdrawn":
        return "entered-in-error"
    return "final" if measurement.status == "measured" else "preliminary"


def _interval(interval: tuple[float, float]) -> Json:
    low, high = (round(bound, 4) for bound in interval)
    return {"url": systems.VALUE_INTERVAL, "valueRange": range_of(low, high, "{ratio}")}


def _method(measurement: Measurement) -> str:
    how = {"reader": "regions drawn by a reader", "automatic": "regions found automatically"}
    return f"{measurement.algorithm}: {how[measurement.method] if measurement.method else 'no regions'}"


def _notes(measurement: Measurement) -> list[str]:
    said = [f"{row.text} ({row.code})" for row in (*measurement.reasons, *measurement.flags)]
    said.extend(f"Variant {name}: {value:.2f}" for name, value in measurement.variants.items())
    acquisition = _acquisition(measurement.acquisition)
    if acquisition:
        said.append(acquisition)
    if measurement.slice is not None:
        said.append(
            f"Slice {measurement.slice.index} (counted from 0), SOP instance {measurement.slice.sop_instance_uid}"
        )
    return [*said, RESEARCH_USE]


def _acquisition(seen: Acquisition) -> str:
    rows = (
        (seen.manufacturer, "{}"),
        (seen.model_name, "{}"),
        (seen.field_strength_t, "{:g} T"),
        (seen.repetition_time_ms, "TR {:g} ms"),
        (seen.echo_time_ms, "TE {:g} ms"),
    )
    said = ", ".join(form.format(value) for value, form in rows if value is not None)
    return f"Acquisition: {said}" if said else ""


def _component(level: Level, region: Region, *, csf: bool) -> Json:
    where = "CSF" if csf else "vertebral body"
    own = coding(systems.MEASURE, f"{'csf' if csf else 'body'}-{level}", f"Mean signal intensity, {where} {level}")
    vertebra = [] if csf or level not in VERTEBRAE else [coding(systems.SNOMED, VERTEBRAE[level], f"{level} vertebra")]
    unused = "" if region.used else f"; not used: {region.reason or 'no reason given'}"
    stand_in = f"; {region.reason}" if region.used and region.reason else ""
    return {
        "code": {"coding": [*vertebra, own], "text": f"{where} {level}, mean signal intensity{unused}{stand_in}"},
        "valueQuantity": ucum(round(region.mean, 3), "1"),
    }
