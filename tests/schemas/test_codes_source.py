"""Our table against the shared one it was selected from, where that is present."""

import csv
from pathlib import Path

from schemas.codes import table


def test_only_verified_codes_were_taken(shared: Path) -> None:
    with (shared / "fhir" / "codes.tsv").open(encoding="utf-8") as file:
        verified = {row["code"] for row in csv.DictReader(file, delimiter="\t") if row["status"] == "V"}
    assert {row.code for row in table()} <= verified
