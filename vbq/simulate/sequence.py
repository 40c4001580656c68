"""The pulse sequences that the phantom is scanned with, as a header states them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sequence:
    """One protocol. Units are in the names; bandwidth is per pixel."""

    number: int
    folder: str
    description: str
    weighting: Literal["T1", "T2", "STIR"]
    orientation: Literal["sagittal", "axial"]
    repetition_time_ms: float
    echo_time_ms: float
    flip_angle_deg: float
    echo_train_length: int
    averages: int
    bandwidth_hz: float
    inversion_time_ms: float | None = None
    agent: str | None = None


FIELD_STRENGTH_T = 1.5
SAGITTAL_T1 = Sequence(2, "sag_t1_tse", "SAG T1 TSE", "T1", "sagittal", 580.0, 11.0, 150.0, 3, 2, 180.0)
SAGITTAL_T2 = Sequence(3, "sag_t2_tse", "SAG T2 TSE", "T2", "sagittal", 3600.0, 102.0, 150.0, 17, 2, 190.0)
AXIAL_T2 = Sequence(4, "ax_t2_tse", "AX T2 TSE", "T2", "axial", 4100.0, 98.0, 150.0, 17, 2, 190.0)
ENHANCED_T1 = Sequence(
    2,
    "sag_t1_tse_gd",
    "SAG T1 TSE +GD",
    "T1",
    "sagittal",
    580.0,
    11.0,
    150.0,
    3,
    2,
    180.0,
    agent="SYNTHETIC GADOLINIUM",
)
MAIN_T2 = Sequence(2, "sag_t2_alone", "SAG T2 TSE", "T2", "sagittal", 3600.0, 102.0, 150.0, 17, 2, 190.0)
MAIN_STIR = Sequence(
    2, "sag_stir", "SAG STIR", "STIR", "sagittal", 4200.0, 60.0, 150.0, 11, 2, 190.0, inversion_time_ms=160.0
)
AXIAL_T1 = Sequence(2, "ax_t1_tse", "AX T1 TSE", "T1", "axial", 580.0, 11.0, 150.0, 3, 2, 180.0)
OF_MAIN = {"t1": SAGITTAL_T1, "t1-gd": ENHANCED_T1, "t2": MAIN_T2, "stir": MAIN_STIR}
SEQUENCES = (SAGITTAL_T1, SAGITTAL_T2, AXIAL_T2, ENHANCED_T1, MAIN_T2, MAIN_STIR, AXIAL_T1)
