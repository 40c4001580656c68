"""Which resources set work in motion. Pure.

A study that is surely something else is passed over with the reason; where the record leaves it open, the series
themselves decide (vbq/imaging/series.py).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from schemas.codes import lookup

WITHDRAWN_STATUS = frozenset({"entered-in-error", "cancelled"})
_SPINE = re.compile(r"lumb|\bl[\s-]?spine|\blws\b|\bspine\b|spinal|wirbel|rachis|columna|vertebr", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"brain|head|skull|neuro|cervic|thorac|neck|shoulder|elbow|wrist|hand\b|knee|ankle|foot|hip\b|liver|abdom|kidney"
    r"|prostat|breast|mamm|heart|cardi|orbit|pituitar|mrcp|femur|thigh|pelvi",
    re.IGNORECASE,
)
_LUMBAR_CONCEPTS = frozenset({"lumbar", "lumbosacral", "spine", "thoracolumbar", "whole"})


class StudyVerdict(NamedTuple):
    """Whether to measure a study, or why not."""

    measure: bool
    code: str
    text: str


def study_verdict(study: Mapping[str, Any]) -> StudyVerdict:
    """Whether an ImagingStudy (parsed JSON) could be an MR of the lumbar spine and is there to be fetched."""
    status = study.get("status")
    if status in WITHDRAWN_STATUS:
        return StudyVerdict(measure=False, code="study-withdrawn", text=f"the study's status is {status}")
    if status == "registered":
        return StudyVerdict(measure=False, code="study-not-available", text="the study has no images yet")
    modalities = {code for code in _modalities(study) if code}
    if modalities and "MR" not in modalities:
        return StudyVerdict(measure=False, code="not-mr", text="the study has no MR series")
    if any(_is_lumbar(system, code) for system, code in _codes(study)):
        return StudyVerdict(measure=True, code="lumbar-mr", text="a code says lumbar spine")
    words = " ; ".join(_words(study))
    if _SPINE.search(words) and not _only_upper(words):
        return StudyVerdict(measure=True, code="lumbar-mr", text="a description says spine")
    if _ELSEWHERE.search(words):
        return StudyVerdict(measure=False, code="other-body-part", text="the study shows another part of the body")
    return StudyVerdict(measure=True, code="perhaps-lumbar-mr", text="nothing says which part of the body it shows")


def has_spine_t_score(observation: Mapping[str, Any]) -> bool:
    """Whether an Observation (parsed JSON), or a component of it, is coded as the lumbar spine's T-score."""
    parts = [observation, *_rows(observation.get("component"))]
    codings = (coding for part in parts for coding in _codings(part.get("code")))
    return any((found := lookup(*pair)) is not None and found.concept == "tscore_spine" for pair in codings)


def endpoint_ids(study: Mapping[str, Any]) -> list[str]:
    """Ids of the Endpoint resources that an ImagingStudy or its series name, contained ones not among them."""
    places = [study, *_rows(study.get("series"))]
    references = (row.get("reference") for place in places for row in _rows(place.get("endpoint")))
    found = (re.fullmatch(r"(?:https?://\S+/)?Endpoint/([A-Za-z0-9.-]{1,64})", str(text)) for text in references)
    return list(dict.fromkeys(match[1] for match in found if match))


def _only_upper(words: str) -> bool:
    """`MR cervical spine` is a spine, and not the one."""
    return bool(re.search(r"cervic|thorac|\bc[\s-]?spine|\bhws\b|\bbws\b", words, re.IGNORECASE)) and not re.search(
        r"lumb|\bl[\s-]?spine|\blws\b|whole|total|ganz|entire", words, re.IGNORECASE
    )


def _is_lumbar(system: str | None, code: str | None) -> bool:
    found = lookup(system, code)
    return found is not None and any(part in _LUMBAR_CONCEPTS for part in found.concept.split("_"))


def _modalities(study: Mapping[str, Any]) -> Iterator[str | None]:
    for place in (*_rows(study.get("modality")), *(row.get("modality") for row in _rows(study.get("series")))):
        if isinstance(place, Mapping):
            yield place.get("code")


def _codes(study: Mapping[str, Any]) -> Iterator[tuple[str | None, str | None]]:
    for concept in _rows(study.get("procedureCode")):
        yield from _codings(concept)
    for series in _rows(study.get("series")):
        site = series.get("bodySite")
        if isinstance(site, Mapping):
            yield site.get("system"), site.get("code")


def _words(study: Mapping[str, Any]) -> Iterator[str]:
    """Everything that people wrote about what the study shows."""
    yield str(study.get("description") or "")
    for concept in _rows(study.get("procedureCode")):
        yield str(concept.get("text") or "")
        yield from (str(coding.get("display") or "") for coding in _rows(concept.get("coding")))
    for series in _rows(study.get("series")):
        site = series.get("bodySite")
        yield str(site.get("display") or "") if isinstance(site, Mapping) else ""
        yield str(series.get("description") or "")


def _codings(concept: object) -> Iterator[tuple[str | None, str | None]]:
    if isinstance(concept, Mapping):
        for coding in _rows(concept.get("coding")):
            yield coding.get("system"), coding.get("code")


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
