"""The codes that mean something to us, and what each means. Data: codes.tsv beside this file.

Only codes whose meaning was verified in public material are in the table; a code that is not in it means nothing here,
whatever display the sender wrote beside it. Ids with check digits are tested (tests/schemas/test_codes.py).
"""

import csv
import importlib.resources
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from schemas.record import Record

LOINC = "http://loinc.org"
SNOMED_CT = "http://snomed.info/sct"
RADLEX = "http://www.radlex.org"
CPT = "http://www.ama-assn.org/go/cpt"

_URI = {"LOINC": LOINC, "SCT": SNOMED_CT, "RADLEX": RADLEX, "CPT": CPT}
# Other names under which senders write the same systems (HL7's OID registry).
_ALIASES = {
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED_CT,
    "urn:oid:2.16.840.1.113883.6.256": RADLEX,
    "urn:oid:2.16.840.1.113883.6.12": CPT,
    "http://radlex.org": RADLEX,
}


class Code(Record):
    """One row of the table. `concept` is our own word, shared by all codes that mean the same to us."""

    system: str
    code: str
    concept: str
    display: str


@cache
def table() -> tuple[Code, ...]:
    """All rows, in the order of the file."""
    text = importlib.resources.files("schemas").joinpath("codes.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(Code.model_validate({**row, "system": _URI[row["system"]]}) for row in rows)


@cache
def _by_system_and_code() -> Mapping[tuple[str, str], Code]:
    return MappingProxyType({(row.system, row.code): row for row in table()})


def lookup(system: str | None, code: str | None) -> Code | None:
    """The row of (system, code), or None. A code without its system names nothing and is never matched."""
    if not system or not code:
        return None
    return _by_system_and_code().get((_ALIASES.get(system, system), code))


def codes_of(concept: str) -> tuple[Code, ...]:
    """All codes of `concept`, the first being the one to write. Raises KeyError for a concept that is not there."""
    rows = tuple(row for row in table() if row.concept == concept)
    if not rows:
        raise KeyError(concept)
    return rows
