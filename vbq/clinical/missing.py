"""What to say of an input that is needed and not there: what was looked for, and what was found instead."""

from typing import Final, cast, get_args

from schemas.clinical import InputName, Merged
from schemas.config import MergePolicy
from schemas.measurement import Reason
from vbq.clinical.merge import LABELS, window_days

_OTHER_SITES: Final[tuple[InputName, ...]] = ("t_score_hip", "t_score_femur", "t_score_forearm")


def missing_reason(name: str, known: Merged, policy: MergePolicy) -> Reason:
    """One reason, code `missing-<name>`, that names no value. `name` is an input name or a model's own."""
    return Reason(code=f"missing-{name.replace('_', '-')}", text=_sentence(name, known, policy) + _seen(name, known))


def _sentence(name: str, known: Merged, policy: MergePolicy) -> str:
    match name:
        case "vbq":
            return "No MRI study of this patient has been measured yet."
        case "sex":
            return "The record does not state the patient's sex, so it cannot be told whether the model applies."
        case "age_years":
            return "The record has no full birth date, so age and menopausal state cannot be told."
        case "menopause":
            stated = known.get("menopause")
            if stated is not None and stated.value == "contradictory":
                return "The records of the menopausal state contradict one another."
            limit = policy.assumed_postmenopausal_age
            return f"No record states the menopausal state, and it is assumed only from {limit} years of age."
        case "history_vf":
            return "The record states no earlier vertebral fracture; that is not known, not a no."
        case "t_score":
            text = f"No usable lumbar-spine T-score from {policy.t_score_window_days} days before the study or later."
            if any(known.get(site) for site in _OTHER_SITES):
                text += " The T-score of another site is shown but does not stand in for it."
            return text
    if name not in get_args(InputName):
        return f"The model asks for {name}, which this software does not read."
    known_name = cast("InputName", name)
    days = window_days(known_name, policy)
    return f"No usable value of {LABELS.get(known_name, name)} from {days} days before the study or later."


def _seen(name: str, known: Merged) -> str:
    codes = sorted({row.code for row in known.ignored if row.about == name})
    return f" Seen and not used: {', '.join(codes)}." if codes else ""
