"""The data dictionary: what each column of a cohort file means, its unit, and which values are possible.

Units and ranges of served inputs are those of vbq.clinical, so that a model fitted here asks for what is served there.
"""

from dataclasses import dataclass
from typing import Literal

from schemas.clinical import InputName
from vbq.clinical.observe import PLAUSIBLE
from vbq.clinical.units import UNIT_OF

ColumnKind = Literal["identifier", "number", "yes-no", "category", "time", "date"]


@dataclass(frozen=True, slots=True)
class Column:
    """One known column. `served` is the name under which the same quantity reaches a served model."""

    name: str
    label: str
    kind: ColumnKind
    unit: str
    "UCUM; '' where there is none"
    low: float | None = None
    high: float | None = None
    categories: tuple[str, ...] = ()
    served: InputName | None = None
    aliases: tuple[str, ...] = ()
    required: bool = False


def _served(name: str, served: InputName, label: str, *aliases: str) -> Column:
    low, high = _RANGES.get(served) or PLAUSIBLE[served]
    return Column(name, label, "number", UNIT_OF[served], low, high, served=served, aliases=(served, *aliases))


_RANGES: dict[InputName, tuple[float, float]] = {"vbq": (0.5, 12.0), "age_years": (18.0, 110.0)}

COLUMNS: tuple[Column, ...] = (
    Column("id", "Identifier", "identifier", "", aliases=("patient", "patient_id", "subject", "study_id")),
    _served("age", "age_years", "Age"),
    _served("weight", "weight_kg", "Weight"),
    _served("calcium", "calcium_mmol_l", "Serum calcium, total", "ca"),
    _served("phosphorus", "phosphate_mmol_l", "Serum phosphorus", "phosphate"),
    _served("uric_acid", "urate_umol_l", "Serum uric acid", "urate"),
    _served("crcl", "crcl_ml_min", "Creatinine clearance", "creatinine_clearance"),
    _served("alp", "alp_u_l", "Alkaline phosphatase", "alkaline_phosphatase"),
    _served("glucose", "glucose_mmol_l", "Blood glucose"),
    _served("vbq", "vbq", "VBQ score", "vbq_score"),
    _served("t_score", "t_score", "DXA T-score, lumbar spine", "tscore", "t-score", "dxa_t_score"),
    Column(
        "history_vf",
        "History of vertebral fracture",
        "yes-no",
        UNIT_OF["history_vf"],
        0,
        1,
        served="history_vf",
        aliases=("prior_vf", "previous_vf"),
    ),
    Column(
        "event",
        "Incident vertebral fracture",
        "yes-no",
        "",
        0,
        1,
        aliases=("incident_vf", "status", "vf"),
        required=True,
    ),
    Column(
        "follow_up",
        "Follow-up",
        "time",
        "a",
        0.0,
        60.0,
        aliases=("followup", "follow_up_years", "time", "years"),
        required=True,
    ),
    Column(
        "dxa_category",
        "DXA category",
        "category",
        "",
        categories=("normal", "osteopenia", "osteoporosis"),
        aliases=("dxa", "dxa_class"),
    ),
    Column("baseline_date", "Date of the baseline examination", "date", ""),
    Column("follow_up_date", "Date of the final radiograph", "date", ""),
    Column("sex", "Sex", "category", "", categories=("female", "male")),
    Column("ethnicity", "Ethnicity", "category", ""),
    Column("field_strength", "Field strength of the MRI", "number", "T", 0.2, 7.0),
    Column("scanner", "Scanner", "category", "", aliases=("manufacturer", "model")),
)

_BY_NAME = {name.casefold(): column for column in COLUMNS for name in (column.name, *column.aliases)}


def known(name: str) -> Column | None:
    """The dictionary's column for a name or one of its aliases, whatever the case."""
    return _BY_NAME.get(name.strip().casefold())


def label_of(name: str) -> str:
    """For people: the dictionary's label, or the name itself."""
    column = known(name)
    return column.label if column else name
