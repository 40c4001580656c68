"""An assessment as FHIR R4 resources: Device, VBQ Observation, RiskAssessment, Provenance; and as one transaction.

Pure and deterministic: ids are UUIDv5 of what a resource is about, so the same assessment gives the same resources,
and a measurement that several assessments rest on is one Observation. References are relative to our own server.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from schemas.assessment import Assessment
from schemas.fhir import systems
from schemas.fhir.observation import algorithm_device, vbq_observation
from schemas.fhir.parts import coding, identifier_of, named_id, reference_to
from schemas.fhir.reference import base_of, qualified, read_reference
from schemas.fhir.risk_assessment import risk_assessment
from schemas.wording import RESEARCH_USE

Json = dict[str, Any]
NO_VERSIONS: Final[Mapping[str, str]] = MappingProxyType({})


def resources_of(assessment: Assessment, *, superseded_by: str | None = None) -> list[Json]:
    """Everything that `assessment` says in FHIR, in an order in which each refers to earlier ones only.

    `superseded_by`: the id of the assessment that replaced it; its RiskAssessment then says so (status amended).
    """
    model = model_device(assessment)
    observation = vbq_observation(assessment)
    measuring = [algorithm_device(assessment), observation] if observation is not None else []
    made = [*measuring, model]
    basis = [*([reference_to(observation)] if observation is not None else []), *basis_of(assessment)]
    risk = risk_assessment(assessment, performer=reference_to(model), basis=basis, superseded_by=superseded_by)
    return [*made, risk, provenance(assessment, model=model, risk=risk, basis=basis)]


def basis_of(assessment: Assessment) -> list[Json]:
    """References to everything that was considered: the study, then each input's source, each of them once."""
    base = base_of(assessment.patient)
    sources = [assessment.study or "", *(row.source for row in assessment.inputs)]
    plain = [qualified(source.partition("#")[0], base) for source in sources]
    return [{"reference": source} for source in dict.fromkeys(plain) if read_reference(source) is not None]


def model_device(assessment: Assessment) -> Json:
    """The Device that performs the assessment: this software with its risk model."""
    model = assessment.model
    key = identifier_of(systems.DEVICE_KEY, assessment.software, model.id, model.version, model.digest)
    return {
        "resourceType": "Device",
        "id": named_id(key),
        "identifier": [key],
        "status": "active",
        "deviceName": [{"name": f"VBQ risk service, model {model.id}", "type": "user-friendly-name"}],
        "version": [
            {"type": {"text": "software"}, "value": assessment.software},
            {"type": {"text": f"model {model.id}"}, "value": model.version},
            {"type": {"text": "model digest (SHA-256)"}, "value": model.digest},
        ],
        "note": [{"text": RESEARCH_USE}],
    }


def provenance(assessment: Assessment, *, model: Json, risk: Json, basis: list[Json]) -> Json:
    """Who made the RiskAssessment, from what, and which earlier one it revises."""
    entities: list[Json] = [{"role": "source", "what": row} for row in basis]
    if assessment.supersedes:
        old = f"RiskAssessment/{assessment.supersedes}"
        entities.append({"role": "revision", "what": {"reference": old}})
    return {
        "resourceType": "Provenance",
        "id": named_id({"system": systems.ASSESSMENT_ID, "value": f"{assessment.id}.provenance"}),
        "target": [reference_to(risk)],
        "recorded": instant(assessment.created),
        "activity": {"coding": [coding(systems.DATA_OPERATION, "UPDATE" if assessment.supersedes else "CREATE")]},
        "agent": [
            {
                "type": {"coding": [coding(systems.PROVENANCE_PARTICIPANT, "assembler", "Assembler")]},
                "who": reference_to(model),
            }
        ],
        **({"entity": entities} if entities else {}),
    }


def instant(moment: dt.datetime) -> str:
    """A moment as FHIR's instant, in UTC."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_transaction(
    resources: Iterable[Json],
    *,
    ehr_base: str | None = None,
    own_ids: bool = False,
    versions: Mapping[str, str] = NO_VERSIONS,
) -> Json:
    """`resources` (of resources_of, of one or several assessments) as a transaction for an EHR's FHIR server.

    What has an identifier is created only where the server has none with it yet. What the server may have in an older
    state (amended, entered in error, come back after having been superseded) is updated by its identifier. Provenance
    has no identifier in R4 and is PUT under its own id. References among the resources become fullUrls; those to one
    of ours that is not in the transaction become logical ones; those under `ehr_base` become relative. Of two
    resources with the same id the later one counts: name superseded assessments before the current one.
    `own_ids`: everything is PUT under its own UUIDv5 id instead, for servers that cannot search by identifier; then
    `versions` (Type/id -> versionId) says what the server has of it, and nothing newer is overwritten (ifMatch).
    """
    unique = {f"{row['resourceType']}/{row['id']}": row for row in resources}
    urls = {reference: f"urn:uuid:{row['id']}" for reference, row in unique.items()}
    updated = _updated(unique)
    base = (ehr_base or "").rstrip("/")
    entries = [
        _entry(row, urls, base, update=reference in updated, own_id=own_ids, version=versions.get(reference))
        for reference, row in unique.items()
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _updated(resources: dict[str, Json]) -> set[str]:
    """The references of what a server may have in an older state: said by its status, or because it revises another."""
    stale = {key for key, row in resources.items() if row.get("status") in ("amended", "entered-in-error")}
    revising = {
        target["reference"]
        for row in resources.values()
        if any(entity["role"] == "revision" for entity in row.get("entity", ()))
        for target in row["target"]
    }
    measured = {key for key, row in resources.items() if row["resourceType"] == "Observation"} if revising else set()
    return stale | revising | measured


def _entry(
    resource: Json, urls: dict[str, str], base: str, *, update: bool, own_id: bool, version: str | None = None
) -> Json:
    kind = resource["resourceType"]
    sent = {key: _readdressed(value, urls, base) for key, value in resource.items()}
    request = {"method": "PUT", "url": f"{kind}/{resource['id']}"}
    if own_id and version is not None:
        request["ifMatch"] = f'W/"{version}"'
    if kind != "Provenance" and not own_id:
        del sent["id"]  # the server names what it creates
        query = search_of(resource["identifier"][0])
        request = {"method": "POST", "url": kind, "ifNoneExist": query}
        if update:
            request = {"method": "PUT", "url": f"{kind}?{query}"}
    return {"fullUrl": f"urn:uuid:{resource['id']}", "resource": sent, "request": request}


def search_of(identifier: Json) -> str:
    """`identifier=system|value`, the query of a conditional create. Ours hold nothing that needs escaping."""
    return f"identifier={identifier['system']}|{identifier['value']}"


def _readdressed(value: Any, urls: dict[str, str], base: str) -> Any:
    if isinstance(value, list):
        return [_readdressed(item, urls, base) for item in value]
    if not isinstance(value, dict):
        return value
    target = value.get("reference")
    if not isinstance(target, str):
        return {key: _readdressed(item, urls, base) for key, item in value.items()}
    if target in urls:
        return {**value, "reference": urls[target]}
    if target.startswith("RiskAssessment/"):
        own = {"system": systems.ASSESSMENT_ID, "value": target.partition("/")[2]}
        return {"type": "RiskAssessment", "identifier": own}
    if base and target.startswith(f"{base}/"):
        return {**value, "reference": target[len(base) + 1 :]}
    return value
