"""Resources as FHIR R5 writes them, in R4's shape: R5 subscriptions send R5 resources.

Only the types that are read here, and only what was renamed or changed its shape; elements that R4 does not have are
left out. A resource that has none of this is returned as it is, the same object.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Json = dict[str, Any]

# Elements of R5 that R4 does not have.
_NEW: Final[Mapping[str, frozenset[str]]] = {
    "ImagingStudy": frozenset({"partOf", "procedure", "reason", "withdrawn"}),
    "Observation": frozenset({"instantiatesCanonical", "instantiatesReference", "triggeredBy", "bodyStructure"}),
    "Condition": frozenset({"participant"}),
    "Endpoint": frozenset({"environmentType", "payload"}),
    "Patient": frozenset(),
}


def as_r4(resource: Json) -> Json:
    """`resource` in R4's shape. Never raises: what is malformed stays, for the reader to refuse."""
    kind = resource.get("resourceType")
    change = _CHANGED.get(str(kind))
    changed = change(resource) if change is not None else {}
    new = _NEW.get(str(kind), frozenset()) & resource.keys()
    if not changed and not new:
        return resource
    return {name: value for name, value in {**resource, **changed}.items() if name not in new}


def _imaging_study(study: Json) -> Json:
    found: Json = {}
    modality = study.get("modality")
    if isinstance(modality, list) and any(_is_concept(one) for one in modality):
        found["modality"] = [coding for one in modality for coding in _codings(one)]
    series = study.get("series")
    if isinstance(series, list):
        rows = [_series(row) if isinstance(row, dict) else row for row in series]
        if any(new is not old for new, old in zip(rows, series, strict=True)):
            found["series"] = rows
    return found


def _series(series: Json) -> Json:
    found: Json = {}
    for name in ("modality", "bodySite", "laterality"):
        value = series.get(name)
        if isinstance(value, dict) and isinstance(value.get("concept"), dict):  # CodeableReference
            value = value["concept"]
        if _is_concept(value):
            found[name] = next(iter(_codings(value)), {})
    return {**series, **found} if found else series


def _endpoint(endpoint: Json) -> Json:
    found: Json = {}
    kind = endpoint.get("connectionType")
    if isinstance(kind, list):
        codings = [coding for one in kind for coding in _codings(one) if isinstance(coding, dict)]
        found["connectionType"] = codings[0] if codings else {}
    payload = endpoint.get("payload")
    if "payloadType" not in endpoint and (isinstance(kind, list) or isinstance(payload, list)):
        rows = payload if isinstance(payload, list) else []
        types = [one for row in rows if isinstance(row, dict) for one in _list(row.get("type"))]
        found["payloadType"] = types or [{"text": "not stated"}]  # R4 wants one
    return found


def _is_concept(value: object) -> bool:
    return isinstance(value, dict) and ("coding" in value or "text" in value) and "code" not in value


def _codings(value: Any) -> list[Any]:
    return _list(value.get("coding")) if _is_concept(value) else [value]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


_CHANGED: Final[Mapping[str, Callable[[Json], Json]]] = {"ImagingStudy": _imaging_study, "Endpoint": _endpoint}
