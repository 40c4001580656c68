"""The flow of a built cohort: who fell out where. Counts and reasons, nobody's identity."""

from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from schemas.record import Record, problems_of
from vbq.cohort.errors import UnusableCohort


class LeftOut(Record):
    """People who fell out for one reason."""

    code: str
    text: str
    n: int = Field(ge=1)


class Step(Record):
    """`n` people are left at this step; `left_out` fell out on the way to it from the one before."""

    step: str
    n: int = Field(ge=0)
    left_out: list[LeftOut] = Field(default_factory=list)


class Flow(Record):
    """Goes with one cohort file, which it knows by its digest."""

    format: Literal["vbq-cohort-flow-1"] = "vbq-cohort-flow-1"
    source: str = Field(description="where the people come from, in words")
    rules: dict[str, float | str | bool] = Field(description="the options that decided")
    steps: list[Step] = Field(min_length=1)
    events: int = Field(ge=0)
    missing: dict[str, int] = Field(description="empty cells of the file by column")
    notes: list[str] = Field(default_factory=list)
    cohort_digest: str = Field(description="SHA-256 of the cohort file")

    @property
    def n(self) -> int:
        """Rows of the cohort file."""
        return self.steps[-1].n

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for before, after in zip(self.steps, self.steps[1:], strict=False):
            if before.n != after.n + sum(row.n for row in after.left_out):
                raise ValueError(f"the numbers do not add up at '{after.step}'")
        return self


def read_flow(data: bytes, source: str, rows: int) -> Flow:
    """The flow file `source` of a cohort file with `rows` rows. Raises UnusableCohort."""
    try:
        flow = Flow.model_validate_json(data)
    except ValidationError as error:
        places = "; ".join(f"{path}: {text}" for path, text in problems_of(error)[:5])
        raise UnusableCohort(f"{source} is no flow file of `vbq cohort build` ({places})") from error
    if flow.n != rows:
        raise UnusableCohort(
            f"{source} ends with {flow.n} people, but the cohort file has {rows} rows; give the flow that was written "
            "with this file, or build both again"
        )
    return flow
