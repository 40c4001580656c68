"""What Lin et al. print, and where the paper contradicts itself (Spine 2025;50:1296; doi:10.1097/BRS.0000000000005209).

Every contradiction carries both numbers; the report shows them beside the cohort's own.
"""

from dataclasses import dataclass

N, EVENTS = 137, 54

# name: (total, with incident VF, without, p) as printed in Table 1
TABLE1: dict[str, tuple[str, str, str, str]] = {
    "age": ("67 ± 9.3", "73.7 ± 7.8", "62.7 ± 7.6", "< 0.001"),
    "weight": ("57 ± 10.3", "51.9 ± 10", "57.1 ± 8.8", "0.002"),
    "calcium": ("2.35 ± 0.28", "2.32 ± 0.26", "2.38 ± 0.29", "0.225"),
    "phosphorus": ("1.15 ± 0.19", "1.13 ± 0.17", "1.17 ± 0.2", "0.144"),
    "uric_acid": ("325.4 ± 112.5", "313.1 ± 104.5", "333.4 ± 117.4", "0.304"),
    "crcl": ("71.9 ± 27.8", "63.6 ± 30.8", "77.4 ± 24.3", "0.004"),
    "alp": ("85.8 ± 30.5", "94.8 ± 36.7", "80 ± 24.2", "0.005"),
    "glucose": ("5.8 ± 1.7", "5.64 ± 1.15", "5.96 ± 1.96", "0.275"),
    "vbq": ("4.26 ± 0.73", "4.62 ± 0.67", "4.03 ± 0.68", "< 0.001"),
    "t_score": ("-2.48 ± 1.6", "-3.4 ± 1.41", "-1.87 ± 1.41", "< 0.001"),
    "follow_up": ("6.4 ± 1.5", "6.4 ± 1.4", "6.4 ± 1.6", "0.968"),
    "history_vf": ("50 (36.5 %)", "42 (77.8 %)", "8 (9.6 %)", "< 0.001"),
    "dxa_category": ("23 / 41 / 73", "3 / 9 / 42", "20 / 32 / 31", "< 0.001"),
}

# (hazard ratio, lower, upper, p) as printed in Table 2
COX: dict[str, dict[str, tuple[str, str]]] = {
    "unadjusted": {
        "vbq": ("2.29 (1.59-3.28)", "< 0.001"),
        "t_score": ("0.70 (0.59-0.83)", "< 0.001"),
        "history_vf": ("6.6 (3.4-12.8)", "< 0.001"),
    },
    "adjusted": {"vbq": ("1.93 (1.30-2.87)", "< 0.001"), "t_score": ("0.71 (0.57-0.88)", "0.002")},
    "mutual": {"vbq": ("1.87 (1.26-2.78)", "0.002"), "t_score": ("0.76 (0.63-0.92)", "0.006")},
}

# AUC with interval, cut-off, sensitivity and specificity as printed
ROC: dict[str, tuple[str, str, str, str]] = {
    "vbq_osteoporosis": ("0.67 (0.57-0.76)", "3.95", "0.52", "0.79"),
    "vbq_prior_vf": ("0.72 (0.64-0.81)", "3.85", "0.41", "0.91"),
    "t_prior_vf": ("0.78 (0.70-0.86)", "not printed", "0.76", "0.70"),
}
CORRELATION = "0.4, P < 0.001"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two numbers that cannot both hold. `path` finds the cohort's own in report.json; '' where there is none."""

    topic: str
    printed: str
    instead: str
    why: str
    path: str = ""

    def as_dict(self) -> dict[str, str]:
        """Keys of report.json."""
        return {"topic": self.topic, "printed": self.printed, "instead": self.instead, "why": self.why}


CONTRADICTIONS: tuple[Contradiction, ...] = (
    Contradiction(
        "VBQ cut-off 3.95 for osteoporosis: sensitivity and specificity",
        "sensitivity 0.52, specificity 0.79",
        "sensitivity 0.79, specificity 0.52",
        "swapped: 0.52 and 0.79 would put 37.5 % above the cut-off where N(4.26, 0.73) puts 66 %; 58/73 = 0.79 and "
        "33/64 = 0.52 fit exactly",
        "roc.vbq_osteoporosis",
    ),
    Contradiction(
        "VBQ cut-off 3.85 for prior fracture: sensitivity and specificity",
        "sensitivity 0.41, specificity 0.91",
        "sensitivity 0.91, specificity 0.41",
        "swapped, as for 3.95",
        "roc.vbq_prior_vf",
    ),
    Contradiction(
        "Who has 76 % and 70 %",
        "VBQ at 3.85 (Discussion)",
        "the T-score (Results)",
        "the Results and the curves give these to the T-score",
        "roc.t_prior_vf",
    ),
    Contradiction(
        "Weight of all women",
        "57 ± 10.3 kg (Table 1)",
        "55.05 ± 9.60 kg",
        "what the two groups of the same table add up to",
        "table1.weight",
    ),
    Contradiction(
        "Age of all women",
        "71.3 ± 7.2 (text)",
        "67 ± 9.3 (Table 1)",
        "the groups of Table 1 add up to 67",
        "table1.age",
    ),
    Contradiction(
        "p of phosphorus",
        "0.144 (Table 1)",
        "0.228",
        "recomputed from the means, SDs and sizes printed in the same row",
        "table1.phosphorus",
    ),
    Contradiction(
        "Unadjusted hazard ratio of VBQ, upper limit",
        "1.59-2.38 (text)",
        "1.59-3.28 (Table 2)",
        "2.29 must lie in the middle of its interval on the log scale",
        "cox.unadjusted.vbq",
    ),
    Contradiction(
        "Sign of the correlation of VBQ and T-score",
        "r = 0.4",
        "r = -0.4",
        "women with lower T-scores have higher VBQ in Table 1",
        "correlation.r",
    ),
    Contradiction(
        "Incident fractures without osteoporosis at baseline",
        "11 (text)",
        "12 (Table 1: 3 + 9)",
        "the text and the table count differently",
        "table1.dxa_category",
    ),
    Contradiction(
        "Unit of alkaline phosphatase",
        "pg/mL",
        "U/L",
        "80 to 95 is an activity in U/L",
        "",
    ),
    Contradiction(
        "Which calcium",
        "ionized calcium, 2.35 mmol/L",
        "total calcium",
        "ionised calcium is about 1.2 mmol/L; 2.35 is a value of total calcium",
        "table1.calcium",
    ),
    Contradiction(
        "Risk per SD of T-score",
        "30 % more risk per SD lower (Discussion)",
        "43 % more",
        "0.70 per +1 is 1/0.70 = 1.43 per -1",
        "cox.unadjusted.t_score",
    ),
    Contradiction(
        "Names of the models",
        "Models 1, 2, 3 (text)",
        "Unadjusted, Model 1, Model 2 (Table 2)",
        "the text counts from the unadjusted model",
        "",
    ),
    Contradiction(
        "Time of the event",
        "time to incident fracture",
        "time of the final radiograph",
        "follow-up is 6.4 years with and without the event, and no event can precede five years: a literal Cox model "
        "has S(5) = 1 and shrunken ratios; the current-status model is the one to serve",
        "table1.follow_up",
    ),
)
