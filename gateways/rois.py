"""A reader's regions from a file: our JSON now, other programs' formats by name only so far."""

import json
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import Issue, NotAcceptable, TooLarge
from schemas.measurement import RegionSet
from schemas.record import problems_of

MAX_BYTES = 1_000_000
REGIONS_FILE = "regions.json"
NOT_YET = {
    ".dcm": "DICOM SR, GSPS, SEG and RTSTRUCT regions are not read yet",
    ".roi": "ImageJ .roi regions are not read yet",
    ".zip": "ImageJ .zip regions are not read yet",
}


def read_regions(path: Path) -> RegionSet:
    """Read a --rois file. Raises NotAcceptable naming the place in the file, TooLarge beyond a megabyte."""
    data = _bytes_of(path)
    kind = ".dcm" if data[128:132] == b"DICM" else ".zip" if data[:4] == b"PK\x03\x04" else path.suffix.lower()
    if data[:4] == b"Iout":
        kind = ".roi"
    if kind in NOT_YET:
        raise NotAcceptable(f"{NOT_YET[kind]}; write them as JSON ellipses (docs/contract.md)", code="regions-format")
    return parse_regions(data)


def parse_regions(data: bytes) -> RegionSet:
    """Our JSON of ellipses per level, as `vbq simulate study` writes it."""
    try:
        raw = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise NotAcceptable("the regions file is not UTF-8 text; write it as JSON", code="regions-json") from error
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


def regions_beside(directory: Path) -> tuple[RegionSet, str] | None:
    """The regions.json that lies at the top of a study's directory, with the name to cite; None where there is none.

    In the pipeline such a file of a `file:` study counts as a reader's regions (design/CONTRACT.md).
    """
    path = directory / REGIONS_FILE
    if path.is_symlink() or not path.is_file():
        return None
    return read_regions(path), REGIONS_FILE


def _bytes_of(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TooLarge(f"the regions file is larger than {MAX_BYTES} bytes; it should hold ellipses alone")
        return path.read_bytes()
    except OSError as error:
        raise NotAcceptable(
            f"the regions file cannot be read ({error.strerror}); check its path", code="regions-missing"
        ) from error


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A level drawn twice must not silently lose one of its ovals."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotAcceptable(
            "the regions file has the same name twice in one object; keep one", code="regions-duplicate"
        )
    return found
