"""One Observation: which input it could be, in which unit, and if it cannot count, why not.

Nothing here looks at a second Observation or at a window of time; choosing among candidates is vbq/clinical/merge.py.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final, Literal

from schemas.clinical import IgnoredInput, InputName, ObservedQuantity
from schemas.codes import Code, lookup
from vbq.clinical.ignored import IgnoredCode, ignored
from vbq.clinical.units import UNIT_OF, convert

INPUT_OF: Final[dict[str, InputName]] = {
    "tscore_spine": "t_score",
    "tscore_hip": "t_score_hip",
    "tscore_femur": "t_score_femur",
    "tscore_forearm": "t_score_forearm",
    "weight": "weight_kg",
    "creatinine": "creatinine_umol_l",
    "crcl_measured": "crcl_ml_min",
    "crcl_cg": "crcl_ml_min",
    "alp": "alp_u_l",
    "calcium": "calcium_mmol_l",
    "phosphate": "phosphate_mmol_l",
    "urate": "urate_umol_l",
    "glucose": "glucose_mmol_l",
}

# Concepts that look like an input and are not: (ignored code, input it is about, sentence).
_NOT_INPUTS: Final[dict[str, tuple[IgnoredCode, str, str]]] = {
    "zscore": ("z-score", "t_score", "a Z-score compares with the patient's own age group; it is not a T-score"),
    "bmd": ("bone-density", "t_score", "a bone density in g/cm2 is not a T-score"),
    "egfr": ("egfr", "crcl_ml_min", "an estimated filtration rate per 1.73 m2 is not a creatinine clearance"),
    "calcium_ionised": ("ionised", "calcium_mmol_l", "ionised calcium is not total calcium"),
}

# Wide enough for any living adult: what lies outside is a slip of the unit or of the pen.
PLAUSIBLE: Final[dict[InputName, tuple[float, float]]] = {
    "t_score": (-8.0, 6.0),
    "t_score_hip": (-8.0, 6.0),
    "t_score_femur": (-8.0, 6.0),
    "t_score_forearm": (-8.0, 6.0),
    "weight_kg": (20.0, 300.0),
    "creatinine_umol_l": (10.0, 2500.0),
    "crcl_ml_min": (1.0, 300.0),
    "alp_u_l": (5.0, 5000.0),
    "calcium_mmol_l": (0.5, 5.0),
    "phosphate_mmol_l": (0.1, 5.0),
    "urate_umol_l": (20.0, 2500.0),
    "glucose_mmol_l": (0.5, 80.0),
}

_STATUS: Final[dict[str, tuple[IgnoredCode, str]]] = {
    "registered": ("registered", "the observation is not a result yet"),
    "preliminary": ("preliminary", "the observation is preliminary: it may still change"),
    "cancelled": ("cancelled", "the observation is cancelled"),
    "entered-in-error": ("entered-in-error", "the observation is entered in error"),
    "unknown": ("unknown", "the observation is of unknown status"),
    "deleted": ("deleted", "the observation was deleted at its source"),  # not FHIR's: a DELETE was seen
}
_STRANGE_STATUS: Final[tuple[IgnoredCode, str]] = ("status-unknown", "its status is none that FHIR knows")
COUNTING_STATUS: Final = frozenset({"final", "amended", "corrected"})

_SPINE_SITES: Final = frozenset({"site_lumbar", "site_lumbosacral", "site_thoracolumbar", "site_spine"})
_Z_SCORE = re.compile(r"z[\s_-]*score", re.IGNORECASE)
# A bare date counts as its midnight UTC, and the calendar is up to 14 hours ahead of UTC somewhere.
_DATE_AHEAD: Final = dt.timedelta(hours=14)
_CLOCK_AHEAD: Final = dt.timedelta(minutes=5)

How = Literal["measured", "estimated"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that could count as input `name`, in UNIT_OF[name]."""

    name: InputName
    concept: str
    value: float
    when: dt.datetime
    source: str
    how: How
    note: str | None
    corrected: bool

    @property
    def date(self) -> dt.date:
        """The calendar day, in the time zone that the sender wrote."""
        return self.when.date()


def read(row: ObservedQuantity, as_of: dt.datetime) -> Candidate | IgnoredInput | None:
    """What `row` is: a candidate, an ignored value with its reason, or None where its code means nothing to us."""
    codes = [code for coding in row.codings if (code := lookup(coding.system, coding.code))]
    concepts = {code.concept for code in codes}
    refused = next((_NOT_INPUTS[key] for key in map(_family, concepts) if key in _NOT_INPUTS), None)
    inputs = {INPUT_OF[concept] for concept in concepts if concept in INPUT_OF}
    if not inputs and not refused:
        return None
    about = refused[1] if refused else min(inputs)
    if row.status not in COUNTING_STATUS:
        return _ignored(row, about, *_STATUS.get(row.status, _STRANGE_STATUS))
    if refused:
        return _ignored(row, about, refused[0], refused[2])
    if len(inputs) > 1:
        return _ignored(row, about, "conflicting-codes", "its codes name two different things")
    return _value(row, min(inputs), codes, as_of)


def _value(row: ObservedQuantity, name: InputName, codes: list[Code], as_of: dt.datetime) -> Candidate | IgnoredInput:
    concept = next(code.concept for code in codes if INPUT_OF.get(code.concept) == name)
    if row.problem is not None or row.value is None:
        return _ignored(row, name, "no-value", row.problem or "it has no value")
    if name.startswith("t_score") and (wrong := _not_a_t_score(row, name)):
        return _ignored(row, name, *wrong)
    value = convert(name, row.value, row.unit)
    if value is None:
        if not (row.unit or "").strip():
            return _ignored(row, name, "no-unit", f"it states no unit; {UNIT_OF[name]} is never assumed")
        return _ignored(row, name, "wrong-unit", _wrong_unit(name))
    low, high = PLAUSIBLE[name]
    if not low <= value <= high:
        return _ignored(row, name, "implausible", f"it lies outside {low:g} to {high:g} {UNIT_OF[name]}")
    if row.effective is None:
        if row.effective_text:
            return _ignored(row, name, "partial-date", "its date names no day, so it cannot be placed in time")
        return _ignored(row, name, "no-date", "it says not when it was true")
    when = row.effective if row.effective.tzinfo else row.effective.replace(tzinfo=dt.UTC)
    ahead = _CLOCK_AHEAD if "T" in (row.effective_text or "") else _DATE_AHEAD
    if when > as_of + ahead:
        return _ignored(row, name, "future", "its date lies in the future")
    return Candidate(
        name=name,
        concept=concept,
        value=value,
        when=when,
        source=row.reference,
        how="estimated" if concept == "crcl_cg" else "measured",
        note=_note(row, concept, name, converted=value != row.value),
        corrected=row.status != "final",
    )


def _not_a_t_score(row: ObservedQuantity, name: InputName) -> tuple[IgnoredCode, str] | None:
    """(code, text) where something beside the code says that this is no T-score of the site that the code names."""
    # A display never makes a value count, but it may well cast doubt on one.
    if _Z_SCORE.search(row.unit or "") or any(_Z_SCORE.search(coding.display or "") for coding in row.codings):
        return "z-score", _NOT_INPUTS["zscore"][2]
    sites = {site.concept for coding in row.body_sites if (site := lookup(coding.system, coding.code))}
    if name == "t_score" and any(site.startswith("vertebra_") for site in sites):
        return "single-vertebra", "it is of one vertebra; the model's T-score is that of L1-L4 together"
    if name != "t_score" and sites & _SPINE_SITES:
        return "wrong-site", "its code and its body site name different places"
    return None


def _wrong_unit(name: InputName) -> str:
    if name == "crcl_ml_min":
        return "its unit is not one of a clearance (a rate per 1.73 m2 is not)"
    if name.startswith("t_score"):
        return "its unit is not that of a T-score; it may be a bone density"
    return f"its unit cannot be converted to {UNIT_OF[name]}"


def _note(row: ObservedQuantity, concept: str, name: InputName, *, converted: bool) -> str | None:
    notes = []
    if concept == "crcl_cg":
        notes.append("Cockcroft-Gault as the laboratory states it")
    if converted:
        notes.append(f"converted from {(row.unit or '').strip()} to {UNIT_OF[name]}")
    return "; ".join(notes) or None


def _family(concept: str) -> str:
    """zscore_spine -> zscore, bmd_hip -> bmd; others stay."""
    head = concept.partition("_")[0]
    return head if head in {"zscore", "bmd"} else concept


def _ignored(row: ObservedQuantity, about: str, code: IgnoredCode, text: str) -> IgnoredInput:
    return ignored(row.reference, about, code, text, row.effective.date() if row.effective else None)
