"""Our own JSON of regions per level, as `vbq simulate study` writes it (docs/contract.md)."""

import json

from pydantic import ValidationError

from schemas.errors import Issue, NotAcceptable
from schemas.measurement import RegionSet
from schemas.record import problems_of


def parse_regions(data: bytes) -> RegionSet:
    """Raises NotAcceptable naming the place in the file."""
    if not data.strip():
        raise NotAcceptable("the regions file is empty; save the regions again", code="regions-json")
    try:
        raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise NotAcceptable(
            "the regions file is neither DICOM (its 128 bytes and DICM come first), nor ImageJ's, nor JSON in UTF-8",
            code="regions-json",
        ) from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise NotAcceptable(f"the regions file is not JSON ({where}); correct it there", code="regions-json") from error
    except RecursionError as error:
        raise NotAcceptable("the regions file nests too deeply", code="regions-json") from error
    try:
        return RegionSet.model_validate(raw)
    except ValidationError as error:
        issues = [Issue(place, text) for place, text in problems_of(error)]
        where = "; ".join(f"{issue.path}: {issue.text}" for issue in issues[:3])
        raise NotAcceptable(f"the regions file is not right: {where}", issues, code="regions-invalid") from error


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A level drawn twice must not silently lose one of its ovals."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotAcceptable(
            "the regions file has the same name twice in one object; keep one", code="regions-duplicate"
        )
    return found
