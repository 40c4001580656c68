"""docs/security.md names tests that exist, and a test for each row."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_row_of_the_attack_table_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| attack")]
    rows = [line for line in rows if "::" in line or "`gateways" in line]
    assert len(rows) > 30
    missing = []
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, row
        missing += [(file, name) for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []
