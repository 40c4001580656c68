"""Members of a cohort as its file and its flow."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from vbq.cohort.building.eligible import STEPS, Cell, Fallen, Member
from vbq.cohort.building.flow import Flow, LeftOut, Step

NAMES = (
    "age",
    "weight",
    "calcium",
    "phosphorus",
    "uric_acid",
    "crcl",
    "alp",
    "glucose",
    "vbq",
    "t_score",
    "history_vf",
    "event",
    "follow_up",
    "dxa_category",
    "field_strength",
    "scanner",
)


@dataclass(frozen=True, slots=True)
class Built:
    """The bytes of the cohort file, and its flow."""

    content: bytes
    flow: Flow


def build(
    found: Iterable[Member | Fallen], source: str, rules: dict[str, float | str | bool], notes: list[str]
) -> Built:
    """File and flow of everybody who was considered.

    Rows are ordered by their own values and numbered from 1, so that a number says nothing of who it is or when she
    came.
    """
    members: list[Member] = []
    fallen: Counter[Fallen] = Counter()
    for one in found:
        if isinstance(one, Member):
            members.append(one)
        else:
            fallen[one] += 1
    rows = sorted([_cell(member.values.get(name)) for name in NAMES] for member in members)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *NAMES])
    writer.writerows([number, *row] for number, row in enumerate(rows, 1))
    content = text.getvalue().encode()
    flow = Flow(
        source=source,
        rules=rules,
        steps=steps_of(len(members), fallen),
        events=sum(member.event for member in members),
        missing={name: sum(not row[place] for row in rows) for place, name in enumerate(NAMES)},
        notes=notes,
        cohort_digest=hashlib.sha256(content).hexdigest(),
    )
    return Built(content, flow)


def steps_of(members: int, fallen: Counter[Fallen]) -> list[Step]:
    """Every step with who is left and who fell out before it, the most frequent reason first."""
    left = members + fallen.total()
    steps = []
    for number, name in enumerate(STEPS):
        here = [(row, n) for row, n in fallen.items() if row.step == number]
        left -= sum(n for _, n in here)
        rows = [LeftOut(code=row.code, text=row.text, n=n) for row, n in here]
        steps.append(Step(step=name, n=left, left_out=sorted(rows, key=lambda row: (-row.n, row.code))))
    return steps


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float | int) else value
