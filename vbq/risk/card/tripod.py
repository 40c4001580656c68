"""TRIPOD+AI, filled in as far as a model's file knows; the rest is for its authors and is shown as not stated.

Items after Collins et al., BMJ 2024;385:e078378, in short words of our own: see there before reporting by them.
"""

from collections.abc import Callable
from typing import NamedTuple

from schemas.model import ModelArtefact

Fill = Callable[[ModelArtefact], str | None]


class Item(NamedTuple):
    """One item of the checklist; `value` None: the file does not say."""

    number: str
    topic: str
    name: str
    value: str | None


def items(model: ModelArtefact) -> list[Item]:
    """Every item for `model`, in order."""
    return [Item(number, topic, name, (fill(model) or None) if fill else None) for number, topic, name, fill in ITEMS]


def _attribute(number: str) -> Fill:
    return lambda model: next((row.value for row in model.source_attributes if row.number == number), None)


def _text(name: str) -> Fill:
    def read(model: ModelArtefact) -> str | None:
        value = model.validation.get(name)
        return value if isinstance(value, str) else None

    return read


def _predictors(model: ModelArtefact) -> str:
    rows = (
        f"{row.label} ({row.unit or 'yes or no'}"
        + (f"; {row.training.low:g} to {row.training.high:g} in training)" if row.training else ")")
        for row in model.covariates
    )
    return "; ".join(rows)


def _outcome(model: ModelArtefact) -> str:
    return f"{model.outcome}, within {model.horizon:g} {model.time_unit}"


def _kind(model: ModelArtefact) -> str:
    kinds = {
        "cox": "Cox proportional hazards regression",
        "current-status": "Current-status model: binomial regression, complementary log-log link, offset log(time)",
        "published": "Derived from printed coefficients; not fitted to data",
    }
    ties, ridge = model.validation.get("fit.ties"), model.validation.get("fit.ridge")
    parts = [kinds[model.kind]]
    if model.kind == "cox" and isinstance(ties, str):
        parts.append(f"{ties.capitalize()} ties")
    if isinstance(ridge, float | int) and ridge:
        parts.append(f"ridge penalty {ridge:g}")
    return "; ".join(parts)


def _performance(model: ModelArtefact) -> str | None:
    parts = []
    for name, label in (
        ("concordance.apparent", "apparent concordance"),
        ("concordance.corrected", "corrected for optimism"),
        ("internal.roc.auc", "AUC in the training data"),
        ("external.roc.auc", "AUC in other data"),
        ("internal.calibration.ici", "ICI in the training data"),
        ("external.calibration.ici", "ICI in other data"),
    ):
        value = model.validation.get(name)
        if isinstance(value, float | int):
            parts.append(f"{label} {value:.3f}")
    return "; ".join(parts)


def _events(model: ModelArtefact) -> str:
    return f"{model.training.n} people, {model.training.events} with the event"


def _updated(model: ModelArtefact) -> str | None:
    if "recalibration.of" not in model.validation:
        return None
    figures = [model.validation.get(f"recalibration.{name}") for name in ("intercept", "slope", "n", "events")]
    words = ("intercept", "slope", "people", "events")
    shown = [f"{word} {value:g}" for word, value in zip(words, figures, strict=True) if isinstance(value, float | int)]
    return f"Local recalibration: {', '.join(shown)}"


def _output(model: ModelArtefact) -> str:
    text = f"A probability with a 95 % interval, symmetric on the {model.interval} scale"
    if model.thresholds is None:
        return text
    low, high = model.thresholds.moderate, model.thresholds.high
    return f"{text}; called moderate from {low:.0%} and high from {high:.0%}, for display only"


ITEMS: tuple[tuple[str, str, str, Fill | None], ...] = (
    ("1", "Title", "What the study does, for whom, and for which outcome", lambda m: f"{m.title}. {_outcome(m)}."),
    ("2", "Abstract", "As TRIPOD+AI for Abstracts", None),
    ("3a", "Background", "Healthcare context and rationale, existing models", None),
    ("3b", "Background", "Target population, purpose, users", lambda m: f"{m.intended_use} {m.population.description}"),
    ("3c", "Background", "Known health inequalities", None),
    ("4", "Objectives", "Development, evaluation, or both", None),
    ("5a", "Data", "Sources of data and how representative they are", lambda m: m.training.description),
    ("5b", "Data", "Dates of accrual and follow-up", None),
    ("6a", "Participants", "Setting, number and place of centres", None),
    ("6b", "Participants", "Who was eligible", _attribute("4.i")),
    ("6c", "Participants", "Treatments received", None),
    ("7", "Data preparation", "Pre-processing and quality checks", None),
    ("8a", "Outcome", "Definition, horizon, how assessed", _outcome),
    ("8b", "Outcome", "Who assessed it, where that takes judgement", None),
    ("8c", "Outcome", "Blinding of the assessment", None),
    ("9a", "Predictors", "Why these were considered", None),
    ("9b", "Predictors", "Definition and measurement of each", _predictors),
    ("9c", "Predictors", "Who assessed them, where that takes judgement", None),
    ("10", "Sample size", "How it was arrived at", _text("sample_size")),
    ("11", "Missing data", "How it was handled", _text("fit.missing")),
    ("12a", "Analysis", "How data were used for development and evaluation", None),
    ("12b", "Analysis", "How predictors entered", lambda m: f"{len(m.covariates)} terms, each centred"),
    ("12c", "Analysis", "Type of model and how it was built", _kind),
    ("12d", "Analysis", "Differences between clusters", None),
    ("12e", "Analysis", "Measures of performance", _performance),
    ("12f", "Analysis", "Updating after evaluation", _updated),
    (
        "12g",
        "Analysis",
        "How predictions are computed",
        lambda m: f"From this file; baseline as {m.baseline.form}",
    ),
    ("13", "Class imbalance", "Methods for it, and recalibration after them", None),
    ("14", "Fairness", "What was done for it", _attribute("5.i")),
    ("15", "Output", "What the model says, and thresholds", _output),
    ("16", "Training and evaluation", "How the two differ", _attribute("6.i")),
    ("17", "Ethics", "Approval and consent", None),
    ("18a", "Open science", "Funding", _attribute("1.ii")),
    ("18b", "Open science", "Conflicts of interest", None),
    ("18c", "Open science", "Protocol", None),
    ("18d", "Open science", "Registration", None),
    ("18e", "Open science", "Sharing of data", None),
    ("18f", "Open science", "Sharing of code", lambda m: ", ".join(f"{k} {v}" for k, v in m.software.items())),
    ("19", "Patients and public", "Their involvement", None),
    ("20a", "Results", "Flow of participants, with and without the event", _events),
    ("20b", "Results", "Characteristics of participants", _attribute("4.iii")),
    ("20c", "Results", "Predictors here and in development", _attribute("6.iii")),
    ("21", "Results", "People and events in each analysis", _events),
    (
        "22",
        "Results",
        "The full model",
        lambda m: f"This file, {len(m.covariates)} terms with baseline",
    ),
    ("23a", "Results", "Performance with intervals, subgroups", _performance),
    ("23b", "Results", "Performance by cluster", None),
    ("24", "Results", "Result of updating", _updated),
    ("25", "Discussion", "Interpretation, fairness", None),
    ("26", "Discussion", "Limitations", lambda m: f"{m.caution} {m.status[:1].upper()}{m.status[1:]}."),
    (
        "27a",
        "Usability",
        "Poor or missing inputs",
        lambda _: (
            "A missing input, another unit or a value beyond the accepted range is refused by name; a value "
            "outside the training range is computed and flagged"
        ),
    ),
    ("27b", "Usability", "What users must do and know", _attribute("2.iii")),
    ("27c", "Usability", "Next steps", _attribute("9.i")),
)
