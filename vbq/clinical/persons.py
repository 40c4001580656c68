"""Which records are of one person, and which of them still stands. Pure: statements in, a standing out.

identifier tie   both records stand; each uses the inputs of both, unless birth date or sex contradict
replaced-by      the record stands no more; its inputs count for the one that survives at the end of the chain
a circle         contradicts itself: its links tie nothing
two survivors    nobody can say which: the record stands no more and its inputs count nowhere
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from schemas.fhir.patient_ties import Identity, Tie, contradict
from schemas.measurement import Reason

# An identifier that more records share is a placeholder ("unknown", "000000"), not a person's.
MOST_SHARING: Final = 8

Ties = Mapping[str, Collection[Tie]]
Edges = dict[str, set[str]]


class Standing(NamedTuple):
    """What is to be made of one record."""

    members: tuple[str, ...]
    """Keys of the records whose inputs count for it, its own first."""
    replaced_by: str | None = None
    """Key of the record that stands in its place."""
    unclear: bool = False
    """It was replaced, and its links do not agree by which record."""
    remarks: tuple[Reason, ...] = ()


def standing(patient: str, ties: Ties, identities: Mapping[str, Identity]) -> Standing:
    """How the record `patient` stands among all that are tied to it, however indirectly.

    `ties`: what each of these records states. `identities`: those whose Patient resource is there and not deleted.
    """
    arrows = _without_circles(_arrows(ties))
    circles = len(arrows.dropped) > 0 and any(patient in edge for edge in arrows.dropped)
    ends = {key: _ends(key, arrows.kept) for key in {*ties, *identities, patient, *_mentioned(arrows.kept)}}
    unclear = {key for key, found in ends.items() if len(found) > 1}
    refused: list[frozenset[str]] = []
    near: Edges = {}
    for old, targets in arrows.kept.items():
        for new in targets:
            if old not in unclear:
                _join(near, old, new)
    for one, other in _sharing(ties):
        if one in identities and other in identities and contradict(identities[one], identities[other]):
            refused.append(frozenset((one, other)))
        else:
            _join(near, one, other)
    end = next(iter(ends[patient])) if patient not in unclear else None
    replaced_by = end if end is not None and end != patient else None
    members = [
        key
        for key in sorted(_reach(patient, near) - {patient})
        if key not in identities or identities[key].active or ends[key] != {key}
    ]
    return Standing(
        members=(patient, *members),
        replaced_by=replaced_by,
        unclear=patient in unclear,
        remarks=_remarks(circle=circles, contradicted=any(patient in pair for pair in refused)),
    )


def _remarks(*, circle: bool, contradicted: bool) -> tuple[Reason, ...]:
    found = []
    if circle:
        text = "its links to other records form a circle, so none of them was followed"
        found.append(Reason(code="link-circle", text=text))
    if contradicted:
        text = "another record has the same identifier and another birth date or sex; nothing of it was used"
        found.append(Reason(code="identity-conflict", text=text))
    return tuple(found)


class _Arrows(NamedTuple):
    kept: Edges
    dropped: list[tuple[str, str]]


def _arrows(ties: Ties) -> Edges:
    """From each replaced record to those that replace it, whichever of them says so."""
    found: Edges = {}
    for key, stated in ties.items():
        for tie in stated:
            if tie.kind == "replaced-by":
                found.setdefault(key, set()).add(tie.value)
            elif tie.kind == "replaces":
                found.setdefault(tie.value, set()).add(key)
    return found


def _without_circles(arrows: Edges) -> _Arrows:
    kept: Edges = {}
    dropped: list[tuple[str, str]] = []
    for old, targets in arrows.items():
        for new in targets:
            if old in _downstream(new, arrows):
                dropped.append((old, new))
            else:
                kept.setdefault(old, set()).add(new)
    return _Arrows(kept, dropped)


def _downstream(start: str, arrows: Edges) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        for target in arrows.get(waiting.pop(), set()) - seen:
            seen.add(target)
            waiting.append(target)
    return seen


def _ends(key: str, arrows: Edges) -> set[str]:
    """Where the chain of replacements from `key` ends; itself where nothing replaces it."""
    return {found for found in _downstream(key, arrows) if not arrows.get(found)}


def _sharing(ties: Ties) -> list[tuple[str, str]]:
    """Pairs of records that share a trusted identifier."""
    holders: dict[str, set[str]] = {}
    for key, stated in ties.items():
        for tie in stated:
            if tie.kind == "identifier":
                holders.setdefault(tie.value, set()).add(key)
    pairs = []
    for keys in holders.values():
        if len(keys) <= MOST_SHARING:
            ordered = sorted(keys)
            pairs += [(one, other) for place, one in enumerate(ordered) for other in ordered[place + 1 :]]
    return pairs


def _mentioned(arrows: Edges) -> set[str]:
    return {key for targets in arrows.values() for key in targets}


def _join(near: Edges, one: str, other: str) -> None:
    near.setdefault(one, set()).add(other)
    near.setdefault(other, set()).add(one)


def _reach(start: str, near: Edges) -> set[str]:
    return _downstream(start, near)
