"""The reasons for which a value does not count: stable codes, explained in docs/inputs.md."""

import datetime as dt
from typing import Literal

from schemas.clinical import IgnoredInput

IgnoredCode = Literal[
    "no-unit",
    "wrong-unit",
    "implausible",
    "no-value",
    "z-score",
    "bone-density",
    "egfr",
    "ionised",
    "conflicting-codes",
    "wrong-site",
    "single-vertebra",
    "no-date",
    "partial-date",
    "future",
    "too-old",
    "superseded",
    "preliminary",
    "registered",
    "cancelled",
    "entered-in-error",
    "deleted",
    "unknown",
    "status-unknown",
    "refuted",
    "unconfirmed",
    "not-active",
]


def ignored(source: str, about: str, code: IgnoredCode, text: str, date: dt.date | None = None) -> IgnoredInput:
    """One row; `text` never holds the value."""
    return IgnoredInput(source=source, about=about, date=date, code=code, text=text)
