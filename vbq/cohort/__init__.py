"""The analysts' bench: describe a cohort, fit, validate and report. Nothing here runs when a patient is scored.

`from vbq.cohort import fit_model, report_cohort, check_cohort` is the way in for notebooks (vbq/cohort/api.py).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vbq.cohort.api import FitResult, ReportResult, check_cohort, fit_model, report_cohort
    from vbq.cohort.results import CheckResult, ValidationResult

__all__ = [
    "CheckResult",
    "FitResult",
    "ReportResult",
    "ValidationResult",
    "check_cohort",
    "fit_model",
    "report_cohort",
]


def __dir__() -> list[str]:
    """What completion in a notebook shows."""
    return __all__


def __getattr__(name: str) -> Any:
    """Import the notebook's names when they are asked for: the parts below need not wait for scipy."""
    if name in __all__:
        from vbq.cohort import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
