"""Whether what a call brought says more than what is stored. Pure; the usual answer is no, and must be cheap."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateways.records.briefs import Brief
from schemas.codes import lookup

_BRINGS: Final[Mapping[str, frozenset[str]]] = {
    "t_score": frozenset({"tscore_spine"}),
    "weight_kg": frozenset({"weight"}),
    "creatinine_umol_l": frozenset({"creatinine"}),
    "crcl_ml_min": frozenset({"crcl_measured", "crcl_cg", "creatinine", "weight"}),
    "alp_u_l": frozenset({"alp"}),
}


def brings_news(stored: Brief, resources: Iterable[Mapping[str, Any]]) -> bool:
    """Whether `resources` hold anything that the stored assessment lacks, or a newer value of what its model uses."""
    missing = set(stored.missing)
    seen: set[str] | None = None
    unseen = []
    for row in resources:
        kind = row.get("resourceType")
        if kind == "Patient" and not missing.isdisjoint(("sex", "age_years", "menopause")):
            return True
        if kind == "Condition" and "menopause" in missing:
            return True
        if kind == "Observation":
            if seen is None:
                sources = [*(known.source for known in stored.inputs), *(known.source for known in stored.ignored)]
                seen = {source.partition("#")[0] for source in sources}
            if _reference(row) not in seen:
                unseen.append(row)
    if not unseen:  # the usual case: the events were here before the call
        return False
    names = {*missing, *(stored.model.inputs or _BRINGS)}  # an old record does not say what its model uses
    concepts = frozenset[str]().union(*(_BRINGS.get(name, frozenset()) for name in names))
    return any(not concepts.isdisjoint(_concepts(row)) for row in unseen)


def _reference(observation: Mapping[str, Any]) -> str:
    meta = observation.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    plain = f"Observation/{observation.get('id')}"
    return f"{plain}/_history/{version}" if version else plain


def _concepts(observation: Mapping[str, Any]) -> set[str]:
    components = observation.get("component")
    parts = [observation, *(components if isinstance(components, list) else ())]
    found = set()
    for part in parts:
        code = part.get("code") if isinstance(part, dict) else None
        codings = code.get("coding") if isinstance(code, dict) else None
        for coding in codings if isinstance(codings, list) else ():
            if isinstance(coding, dict) and isinstance(coding.get("system"), str):
                known = lookup(coding["system"], str(coding.get("code")))
                found |= {known.concept} if known is not None else set()
    return found
