"""Where an ImagingStudy says its pixels are: its Study Instance UID and its endpoints' addresses. Pure reading."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
USABLE_STATUS = frozenset({"active", "test", None})
DICOM_UID_SYSTEM = "urn:dicom:uid"

Json = Mapping[str, Any]


def study_uid_of(imaging_study: Json) -> str | None:
    """The Study Instance UID of an R4 ImagingStudy (identifier with system urn:dicom:uid); None where it has none."""
    for row in _rows(imaging_study.get("identifier")):
        value = row.get("value")
        if row.get("system") == DICOM_UID_SYSTEM and isinstance(value, str):
            uid = value.strip().removeprefix("urn:oid:")
            if is_uid(uid):
                return uid
    return None


def is_uid(text: str) -> bool:
    """PS3.5 section 9: digits and dots, 64 characters at most. Nothing else may enter an archive's URL."""
    return len(text) <= 64 and UID.fullmatch(text) is not None


def addresses_of(imaging_study: Json, endpoints: Sequence[Json]) -> tuple[list[str], int]:
    """(addresses, unresolved): usable addresses in the order of the study, and how many references led nowhere.

    A reference may name a contained Endpoint (#id) or one of `endpoints`, Endpoint resources that came as events.
    """
    contained = {f"#{row.get('id')}": row for row in _rows(imaging_study.get("contained"))}
    known = {f"Endpoint/{row.get('id')}": row for row in endpoints}
    found: list[str] = []
    unresolved = 0
    for reference in _references(imaging_study):
        endpoint = contained.get(reference) or known.get("/".join(reference.split("/_history/")[0].split("/")[-2:]))
        if endpoint is None:
            unresolved += 1
            continue
        address = endpoint.get("address")
        if endpoint.get("status") in USABLE_STATUS and isinstance(address, str) and address not in found:
            found.append(address)
    return found, unresolved


def _references(imaging_study: Json) -> Iterable[str]:
    """References of the study, then of its series, each once."""
    holders = [imaging_study, *_rows(imaging_study.get("series"))]
    found = (row.get("reference") for holder in holders for row in _rows(holder.get("endpoint")))
    return dict.fromkeys(reference for reference in found if isinstance(reference, str))


def _rows(value: object) -> list[Json]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
