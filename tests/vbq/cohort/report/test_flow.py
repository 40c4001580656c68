"""The flow of a built cohort: what its file must be, and how it is drawn."""

import re
from collections import Counter
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vbq.cohort.building.eligible import STEPS, Fallen
from vbq.cohort.building.file import steps_of
from vbq.cohort.building.flow import Flow, LeftOut, Step, read_flow
from vbq.cohort.errors import UnusableCohort
from vbq.cohort.report.flow_chart import flow_chart

REASONS = st.builds(Fallen, st.integers(1, len(STEPS) - 1), st.sampled_from("abc"), st.just("a reason"))


def flow(steps: list[Step]) -> Flow:
    return Flow(source="made up", rules={}, steps=steps, events=0, missing={}, cohort_digest="00")


@given(st.integers(0, 50), st.dictionaries(REASONS, st.integers(1, 9), max_size=12))
def test_who_is_left_and_who_fell_out_always_add_up(members: int, fallen: dict[Fallen, int]) -> None:
    made = flow(steps_of(members, Counter(fallen)))
    assert made.steps[0].n == members + sum(fallen.values())
    assert made.n == members


def test_numbers_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValidationError, match="do not add up at 'b'"):
        flow([Step(step="a", n=5), Step(step="b", n=3, left_out=[LeftOut(code="x", text="x", n=1)])])


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": "vbq-cohort-flow-1"}', b"\xff"])
def test_another_file_is_no_flow(data: bytes) -> None:
    with pytest.raises(UnusableCohort, match=r"flow\.json is no flow file"):
        read_flow(data, "flow.json", 3)


def test_a_hostile_flow_is_drawn_as_text() -> None:
    nasty = "<script>alert(1)</script> & a long reason that goes on for more letters than one line of the box holds"
    drawn = flow_chart(
        [("rows in the file", 3)],
        flow([Step(step="a<b", n=5), Step(step="c", n=3, left_out=[LeftOut(code="x", text=nasty, n=2)])]),
    )
    tree = ET.fromstring(drawn)
    texts = [row.text or "" for row in tree.iter() if row.tag.endswith("text")]
    assert texts[0] == "a<b: 5"
    assert nasty in " ".join(re.sub(r"\s+", " ", text).strip() for text in texts)
    assert "<script" not in drawn
