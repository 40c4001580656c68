"""Units of the inputs, and conversion by the unit that the sender STATED, never by the code's usual unit.

Factors: design brief fhir/events.md ("Units"). Public samples carry g/cm2 under a T-score code and mg/dL under a molar
code, so the code says what was measured and the unit alone says how.
"""

from types import MappingProxyType
from typing import Final

from schemas.clinical import InputName

# The unit in which each input is kept (UCUM; '' for yes/no and words). A model's covariates must name the same.
UNIT_OF: Final[MappingProxyType[InputName, str]] = MappingProxyType(
    {
        "vbq": "1",
        "t_score": "{T-score}",
        "t_score_hip": "{T-score}",
        "t_score_femur": "{T-score}",
        "t_score_forearm": "{T-score}",
        "weight_kg": "kg",
        "creatinine_umol_l": "umol/L",
        "crcl_ml_min": "mL/min",
        "alp_u_l": "U/L",
        "age_years": "a",
        "sex": "",
        "menopause": "",
        "history_vf": "",
        "calcium_mmol_l": "mmol/L",
        "phosphate_mmol_l": "mmol/L",
        "urate_umol_l": "umol/L",
        "glucose_mmol_l": "mmol/L",
    }
)

CREATININE_UMOL_L_PER_MG_DL: Final = 88.40

_T_SCORE = {"": 1.0, "1": 1.0, "{t-score}": 1.0, "{tscore}": 1.0, "{t_score}": 1.0, "{t score}": 1.0}
_T_SCORE |= {"{score}": 1.0, "t-score": 1.0, "tscore": 1.0, "t score": 1.0}

# input -> spelling of the unit -> factor. Spellings are looked up by `_spelling`, so case does not matter here:
# no two units of one row differ by case alone (mmol and Mmol are never both plausible for a laboratory value).
_FACTORS: Final[dict[InputName, dict[str, float]]] = {
    "t_score": _T_SCORE,
    "t_score_hip": _T_SCORE,
    "t_score_femur": _T_SCORE,
    "t_score_forearm": _T_SCORE,
    "weight_kg": {"kg": 1.0, "g": 0.001, "[lb_av]": 0.45359237, "lb": 0.45359237, "lbs": 0.45359237},
    "creatinine_umol_l": {"umol/l": 1.0, "mmol/l": 1000.0, "mg/dl": CREATININE_UMOL_L_PER_MG_DL},
    "crcl_ml_min": {"ml/min": 1.0, "ml/s": 60.0},
    "alp_u_l": {"u/l": 1.0, "[iu]/l": 1.0, "iu/l": 1.0, "ukat/l": 60.0, "nkat/l": 0.06},
    "calcium_mmol_l": {"mmol/l": 1.0, "mg/dl": 0.2495},
    "phosphate_mmol_l": {"mmol/l": 1.0, "mg/dl": 0.3229},
    "urate_umol_l": {"umol/l": 1.0, "mmol/l": 1000.0, "mg/dl": 59.48},
    "glucose_mmol_l": {"mmol/l": 1.0, "mg/dl": 0.05551},
}


def factor(name: InputName, stated_unit: str | None) -> float | None:
    """What to multiply a value stated in `stated_unit` with to get UNIT_OF[name]; None where the unit is not known.

    A missing unit is known for T-scores alone (a T-score has none).
    """
    return _FACTORS.get(name, {}).get(_spelling(stated_unit))


def convert(name: InputName, value: float, stated_unit: str | None) -> float | None:
    """`value` of `stated_unit` in UNIT_OF[name], or None where the unit is not one of this input's."""
    by = factor(name, stated_unit)
    return None if by is None else value * by


def stated_units(name: InputName) -> tuple[str, ...]:
    """The spellings that `convert` knows for `name`."""
    return tuple(_FACTORS.get(name, ()))


def _spelling(unit: str | None) -> str:
    """Micro signs and case as people type them (U+00B5, U+03BC); UCUM itself writes u."""
    return (unit or "").strip().replace("\u00b5", "u").replace("\u03bc", "u").casefold()
