"""The base of every record: frozen, closed, finite."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """A frozen record that crosses a boundary. Unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")

    def but(self, **changes: Any) -> Self:
        """A copy with `changes`, validated again."""
        return type(self).model_validate({**dict(self), **changes})


def problems_of(error: ValidationError) -> list[tuple[str, str]]:
    """(path, what is wrong) for every problem in `error`, without the values that caused them.

    pydantic's own text repeats its input, and an input may be a patient's.
    """
    rows = error.errors(include_input=False, include_url=False, include_context=False)
    return [(".".join(str(part) for part in row["loc"]) or "(root)", row["msg"]) for row in rows]
