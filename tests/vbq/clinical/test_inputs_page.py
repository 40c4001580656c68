"""docs/inputs.md names every code that counts and every reason that is given."""

from pathlib import Path
from typing import get_args

import pytest

from schemas.codes import table
from vbq.clinical import history, observe
from vbq.clinical.ignored import IgnoredCode
from vbq.clinical.units import UNIT_OF

PAGE = (Path(__file__).parents[3] / "docs" / "inputs.md").read_text(encoding="utf-8")
USED = (*observe.INPUT_OF, *history.EXCLUSIONS, "menopause_post", "menopause_pre", "menopause_during")


@pytest.mark.parametrize("row", [row for row in table() if row.concept in USED], ids=lambda row: row.code)
def test_every_code_that_counts_is_named(row) -> None:
    assert row.code in PAGE


@pytest.mark.parametrize("name", [name for name in UNIT_OF if name != "vbq"])
def test_every_input_is_named(name) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("code", get_args(IgnoredCode))
def test_every_reason_is_named(code) -> None:
    assert f"`{code}`" in PAGE
