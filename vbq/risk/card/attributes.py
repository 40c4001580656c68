"""The 31 source attributes of 45 CFR 170.315(b)(11)(iv)(B), in their nine groups, all of them for every model."""

from typing import NamedTuple

from schemas.model import ModelArtefact

# Titles shortened from secondary copies of the regulation; check against the eCFR before a legal filing.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Details and output",
        (
            "Name and contact information for the intervention developer",
            "Funding source of the technical implementation for the intervention's development",
            "Description of value that the intervention produces as an output",
            "Whether the output is a prediction, classification, recommendation, evaluation, analysis, or other type",
        ),
    ),
    (
        "Purpose",
        (
            "Intended use of the intervention",
            "Intended patient population(s) for the intervention's use",
            "Intended user(s)",
            "Intended decision-making role (e.g. informs, augments, replaces clinical management)",
        ),
    ),
    (
        "Cautioned out-of-scope use",
        (
            "Tasks, situations, or populations where a user is cautioned against applying the intervention",
            "Known risks, inappropriate settings, inappropriate uses, or known limitations",
        ),
    ),
    (
        "Development details and input features",
        (
            "Exclusion and inclusion criteria that influenced the training data set",
            "Use of the variables of (b)(11)(iv)(A)(5)-(13) as input features",
            "Demographic representativeness according to those variables",
            "Relevance of training data to the intended deployed setting",
        ),
    ),
    (
        "Process used to ensure fairness",
        (
            "Approach taken to ensure that the output is fair",
            "Approaches to manage, reduce, or eliminate bias",
        ),
    ),
    (
        "External validation process",
        (
            "Data source, clinical setting, or environment of the assessment of validity and fairness",
            "Party that conducted the external testing",
            "Demographic representativeness of external data",
            "Description of the external validation process",
        ),
    ),
    (
        "Quantitative measures of performance",
        (
            "Validity in test data from the same source as the initial training data",
            "Fairness in test data from the same source as the initial training data",
            "Validity in data external to or from a different source than the initial training data",
            "Fairness in data external to or from a different source than the initial training data",
            "References to evaluation of use of the intervention on outcomes",
        ),
    ),
    (
        "Ongoing maintenance",
        (
            "Process and frequency by which validity is monitored over time",
            "Validity in local data",
            "Process and frequency by which fairness is monitored over time",
            "Fairness in local data",
        ),
    ),
    (
        "Update schedule",
        (
            "Process and frequency by which the intervention is updated",
            "Frequency by which performance is corrected when risks related to validity and fairness are identified",
        ),
    ),
)
NUMERALS = ("i", "ii", "iii", "iv", "v")


class Row(NamedTuple):
    number: str
    name: str
    value: str | None


class Group(NamedTuple):
    number: int
    title: str
    rows: list[Row]


def attributes_of(model: ModelArtefact) -> list[Group]:
    """All 31 in order; an attribute that `model` does not state has the value None."""
    stated = {row.number: row for row in model.source_attributes}
    groups = []
    for number, (title, names) in enumerate(GROUPS, start=1):
        rows = []
        for numeral, name in zip(NUMERALS, names, strict=False):
            found = stated.get(f"{number}.{numeral}")
            rows.append(Row(f"{number}.{numeral}", found.name if found else name, found.value if found else None))
        groups.append(Group(number, title, rows))
    return groups
