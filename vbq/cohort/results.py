"""What the notebook gets back from checks and validations: `.summary` as a data frame, `.plot()` on matplotlib axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vbq.cohort.data.check import Checked
from vbq.cohort.validation.measures import NAMES
from vbq.cohort.validation.report import Validation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def new_axes() -> "Axes":
    """Axes of a figure of its own, which needs no display."""
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


@dataclass(frozen=True)
class CheckResult:
    """A frame held against the data dictionary."""

    checked: Checked

    def __repr__(self) -> str:
        return "\n".join(self.checked.lines())

    @property
    def ok(self) -> bool:
        """Whether it can be analysed as it stands."""
        return self.checked.ok

    @property
    def summary(self) -> "pd.DataFrame":
        """One row per problem; rows of the frame count from 1."""
        import pandas as pd

        columns = ["severity", "column", "rows", "count", "problem", "suggestion"]
        rows = [(p.severity, p.column, list(p.lines), p.count, p.text, p.suggestion) for p in self.checked.problems]
        return pd.DataFrame(rows, columns=columns)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Missing cells by column."""
        ax = ax or new_axes()
        names = list(self.checked.columns)[::-1]
        shares = [float(str(self.checked.columns[name]["missing_percent"])) for name in names]
        ax.barh(names, shares)
        ax.set_xlim(0, 100)
        ax.set_xlabel("Missing, %")
        return ax


@dataclass(frozen=True)
class ValidationResult:
    """Discrimination, calibration and usefulness of a model on a frame."""

    validation: Validation

    def __repr__(self) -> str:
        d = self.validation.document
        about = f"{d['model']} {d['version']}: {d['kind']} validation on {d['n']} people, {d['events']} events"
        return f"{about}\n{self.summary.round(3).to_string()}"

    @property
    def document(self) -> dict[str, Any]:
        """What `vbq model validate --json` prints."""
        return self.validation.document

    @property
    def warnings(self) -> Sequence[str]:
        return self.validation.warnings

    @property
    def summary(self) -> "pd.DataFrame":
        """One row per measure: apparent, corrected for optimism (external: the same), 95 % limits where known."""
        import pandas as pd

        rows = {name: self.document[name] for name in NAMES if isinstance(self.document.get(name), dict)}
        return pd.DataFrame.from_dict(rows, orient="index")

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The calibration curve."""
        ax = ax or new_axes()
        curve = self.validation.calibration
        ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
        ax.plot(curve.predicted_curve, curve.observed_curve, label=f"ICI {curve.ici:.3f}")
        top = 1.05 * max(float(curve.predicted_curve.max()), float(curve.observed_curve.max()))
        ax.set_xlim(0, top)
        ax.set_ylim(0, top)
        ax.set_xlabel("Predicted risk")
        ax.set_ylabel("Observed risk")
        ax.legend()
        return ax
