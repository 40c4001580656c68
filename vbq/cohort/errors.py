"""What the bench refuses. Messages name columns, lines and counts; they carry no value of a patient."""

from collections.abc import Sequence

from schemas.errors import Rejected


class UnusableCohort(Rejected):
    """A cohort file or a column of it that cannot be analysed as it stands."""

    code = "unusable-cohort"

    def __init__(self, detail: str, problems: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.problems = tuple(problems)


class NoFit(Rejected):
    """The data do not determine the model that was asked for."""

    code = "no-fit"
