"""What a Patient resource says of other records of the same person: trusted identifiers, and links of a merge. Pure.

Patient.link counts where its type is replaced-by or replaces and it points into the same FHIR base: another server's
records are tied by identifiers of a trusted system alone, never because somebody's link says so.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from schemas.fhir.reference import base_of, read_reference

TieKind = Literal["identifier", "replaced-by", "replaces"]
LINKS: Final[dict[str, TieKind]] = {"replaced-by": "replaced-by", "replaces": "replaces"}


class Tie(NamedTuple):
    """One statement of one record. `value`: `system|value` of an identifier, or the key of the other record."""

    kind: TieKind
    value: str


class Identity(NamedTuple):
    """What of a Patient can contradict another record; None where it does not say."""

    birth_date: str | None = None
    gender: str | None = None
    active: bool = True


def ties_of(patient: Mapping[str, Any], key: str, *, systems: Collection[str], base: str | None) -> set[Tie]:
    """The ties that `patient` (parsed JSON), whose patient key is `key`, states.

    `systems`: identifier systems that are trusted to name one person. `base`: the FHIR base of its sender, if any.
    """
    found = {Tie("identifier", value) for value in _identifiers(patient, systems)}
    for link in _rows(patient.get("link")):
        kind = LINKS.get(str(link.get("type")))
        other = link.get("other")
        target = other.get("reference") if isinstance(other, Mapping) else None
        same = _key_of(target, key, base) if isinstance(target, str) else None
        if kind is not None and same is not None and same != key:
            found.add(Tie(kind, same))
    return found


def identity_of(patient: Mapping[str, Any]) -> Identity:
    """Birth date, gender and whether the record is in use."""
    born, gender = patient.get("birthDate"), patient.get("gender")
    return Identity(
        birth_date=born if isinstance(born, str) else None,
        gender=gender if gender in ("female", "male") else None,
        active=patient.get("active") is not False,
    )


def contradict(one: Identity, other: Identity) -> bool:
    """Whether two records cannot be of one person: other birth dates (as far as both go), or other sexes."""
    if one.birth_date and other.birth_date:
        length = min(len(one.birth_date), len(other.birth_date))
        if one.birth_date[:length] != other.birth_date[:length]:
            return True
    return bool(one.gender and other.gender and one.gender != other.gender)


def _identifiers(patient: Mapping[str, Any], systems: Collection[str]) -> Iterator[str]:
    for row in _rows(patient.get("identifier")):
        system, value = row.get("system"), row.get("value")
        usable = isinstance(value, str) and value.strip() and row.get("use") != "old"
        if usable and system in systems:
            yield f"{system}|{str(value).strip()}"


def _key_of(reference: str, key: str, base: str | None) -> str | None:
    """The patient key of `reference` as it stands in the record `key`; None where it leads elsewhere."""
    literal = read_reference(reference)
    if literal is None or literal.resource_type != "Patient":
        return None
    own = base_of(key)
    if own is not None:
        return f"{own}/{literal.relative}" if literal.base in (None, own) else None
    return literal.relative if literal.base is None or base is None or literal.base == base else None


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
