"""Creatinine clearance by Cockcroft and Gault, where nobody measured or stated one."""

from schemas.clinical import ClinicalInput
from vbq.clinical.units import CREATININE_UMOL_L_PER_MG_DL, UNIT_OF

ADULT_YEARS = 18


def cockcroft_gault(*, creatinine_umol_l: float, age_years: float, weight_kg: float, female: bool) -> float:
    """mL/min = (140 - age) x weight / (72 x creatinine in mg/dL), times 0.85 for women (Nephron 1976;16:31-41).

    Of adults under 140 years; creatinine and weight above zero.
    """
    creatinine_mg_dl = creatinine_umol_l / CREATININE_UMOL_L_PER_MG_DL
    clearance = (140.0 - age_years) * weight_kg / (72.0 * creatinine_mg_dl)
    return 0.85 * clearance if female else clearance


def estimated_clearance(
    creatinine: ClinicalInput | None, weight: ClinicalInput | None, age_years: int | None, sex: str | None
) -> ClinicalInput | None:
    """The estimate as an input that says how it was made; None where anything it needs is not there.

    `age_years`: completed years at the date of the creatinine.
    """
    if creatinine is None or weight is None or age_years is None or sex not in {"female", "male"}:
        return None
    if age_years < ADULT_YEARS:
        return None
    value = cockcroft_gault(
        creatinine_umol_l=float(creatinine.value),
        age_years=age_years,
        weight_kg=float(weight.value),
        female=sex == "female",
    )
    note = (
        f"estimated by Cockcroft-Gault from creatinine of {creatinine.date}, weight of {weight.date}, "
        f"age {age_years} years and sex {sex}; not measured"
    )
    return ClinicalInput(
        name="crcl_ml_min",
        label="Creatinine clearance",
        value=value,
        unit=UNIT_OF["crcl_ml_min"],
        date=creatinine.date,
        source="derived",
        how="estimated",
        note=note,
        stale=creatinine.stale or weight.stale,
    )
