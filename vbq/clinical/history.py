"""What Conditions say: menopause, earlier vertebral fractures, and the paper's exclusions.

A condition that is not recorded is not known; it is never read as "no".
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.clinical import ClinicalInput, IgnoredInput, StatedCondition
from schemas.codes import lookup
from schemas.measurement import Reason
from vbq.clinical.ignored import IgnoredCode, ignored

# Lin et al. 2025, Methods: metabolic bone disease or bone cancer, and severe deformity.
EXCLUSIONS: Final[dict[str, str]] = {
    "exclusion_bone_metastasis": "a malignant neoplasm of bone",
    "exclusion_myeloma": "multiple myeloma",
    "exclusion_hyperparathyroidism": "primary hyperparathyroidism",
    "exclusion_scoliosis": "scoliosis",
    "exclusion_paget": "Paget's disease of bone",
}
_MENOPAUSE: Final = {"menopause_post": "post", "menopause_pre": "pre", "menopause_during": "during"}
_NEVER_TRUE: Final[dict[str | None, tuple[IgnoredCode, str]]] = {
    "refuted": ("refuted", "the condition is refuted"),
    "entered-in-error": ("entered-in-error", "the condition is entered in error"),
}
_NOT_ESTABLISHED: Final = frozenset({"unconfirmed", "provisional", "differential"})
_OVER: Final = frozenset({"inactive", "remission", "resolved"})


@dataclass(frozen=True, slots=True)
class Stated:
    """A condition whose code means something to us, and that counts."""

    concept: str
    row: StatedCondition


def read_conditions(rows: Iterable[StatedCondition], as_of: dt.datetime) -> tuple[list[Stated], list[IgnoredInput]]:
    """The conditions that count and those that do not, with the reason.

    Refuted ones and errors never count. A suspicion counts as an exclusion (rather no number than a wrong one), but
    neither as a fracture nor as a menopausal state. A past exclusion counts: the paper excluded by history.
    """
    stated: list[Stated] = []
    passed_over: list[IgnoredInput] = []
    for row in rows:
        codes = (lookup(coding.system, coding.code) for coding in row.codings)
        for concept in sorted({code.concept for code in codes if code}):
            about = _about(concept)
            if about is None:
                continue
            if wrong := _does_not_count(row, concept, as_of):
                passed_over.append(ignored(row.reference, about, *wrong, row.recorded))
            else:
                stated.append(Stated(concept, row))
    return stated, passed_over


def exclusions(rows: Iterable[StatedCondition], as_of: dt.datetime) -> list[Reason]:
    """One reason for each exclusion of the paper that the record states, in the order of EXCLUSIONS."""
    stated, _ = read_conditions(rows, as_of)
    found = {row.concept for row in stated}
    return [
        Reason(
            code=concept.replace("_", "-"),
            text=f"The record states {words}; the model was derived from a cohort without it.",
        )
        for concept, words in EXCLUSIONS.items()
        if concept in found
    ]


def vertebral_fracture(stated: Iterable[Stated]) -> ClinicalInput | None:
    """History of vertebral fracture, from the earliest record of one; None means not known, not "no"."""
    rows = [item.row for item in stated if item.concept == "vertebral_fracture"]
    if not rows:
        return None
    first = min(rows, key=lambda row: (row.recorded or dt.date.max, row.reference))
    return ClinicalInput(
        name="history_vf",
        label="Earlier vertebral fracture",
        value=True,
        unit="",
        date=first.recorded,
        source=first.reference,
        how="stated",
        note=f"{len(rows)} records" if len(rows) > 1 else None,
    )


def menopause(stated: Iterable[Stated]) -> ClinicalInput | None:
    """Menopausal state by code: 'post', 'pre', 'during' or 'contradictory'.

    Menopause is not undone, so an earlier "before" followed by an "after" is "after". An "after" followed by a later
    "before", or a pair whose order the record does not tell, contradicts itself.
    """
    rows = [(_MENOPAUSE[item.concept], item.row) for item in stated if item.concept in _MENOPAUSE]
    if not rows:
        return None
    states = {state for state, _ in rows}
    dated = [(row.recorded, state) for state, row in rows if row.recorded]
    note = None
    if len(states) == 1:
        value = states.pop()
    elif len(dated) == len(rows) and _only_goes_on([state for _, state in sorted(dated, key=_when)]):
        value = max(dated, key=_when)[1]
        note = "an earlier record states an earlier state"
    else:
        value, note = "contradictory", "records contradict one another"
    source = max((row for state, row in rows if value in {state, "contradictory"}), key=_latest)
    return ClinicalInput(
        name="menopause",
        label="Menopausal state",
        value=value,
        unit="",
        date=source.recorded,
        source=source.reference,
        how="stated",
        note=note,
    )


_ORDER: Final = {"pre": 0, "during": 1, "post": 2}


def _when(item: tuple[dt.date, str]) -> tuple[dt.date, int]:
    return item[0], _ORDER[item[1]]


def _only_goes_on(states: list[str]) -> bool:
    ranks = [_ORDER[state] for state in states]
    return ranks == sorted(ranks)


def _latest(row: StatedCondition) -> tuple[dt.date, str]:
    return row.recorded or dt.date.min, row.reference


def _about(concept: str) -> str | None:
    if concept in _MENOPAUSE:
        return "menopause"
    if concept == "vertebral_fracture":
        return "history_vf"
    return concept if concept in EXCLUSIONS else None


def _does_not_count(row: StatedCondition, concept: str, as_of: dt.datetime) -> tuple[IgnoredCode, str] | None:
    if row.verification_status in _NEVER_TRUE:
        return _NEVER_TRUE[row.verification_status]
    if concept not in EXCLUSIONS and row.verification_status in _NOT_ESTABLISHED:
        return "unconfirmed", "the condition is suspected, not established"
    if concept in _MENOPAUSE and row.clinical_status in _OVER:
        return "not-active", "the state is recorded as over"
    if row.recorded and row.recorded > (as_of + dt.timedelta(hours=14)).date():
        return "future", "its date lies in the future"
    return None
