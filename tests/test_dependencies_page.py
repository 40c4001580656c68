"""docs/dependencies.md explains what the locks were made from, no more and no less."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_direct_dependency_is_explained() -> None:
    lines = [line for name in ("runtime.in", "dev.in") for line in (ROOT / "requirements" / name).read_text().split()]
    direct = {
        re.split(r"[<=>\[]", line)[0] for line in lines if re.match(r"[A-Za-z]", line) and not line.endswith(".in")
    }
    page = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {name for row in re.findall(r"^\| ([a-zA-Z][^|]*) \|", page, re.MULTILINE) for name in row.split(", ")}
    assert direct == explained - {"package"}
