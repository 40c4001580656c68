"""Which series is measured: the lumbar spine, sagittal, T1, without contrast agent. Every verdict is kept."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from schemas.measurement import Reason, SeriesVerdict
from vbq.imaging.volume import SeriesHeader, normal_of
from vbq.imaging.weighting import weighting_of

SAGITTAL_COSINE = 0.87  # within 30 degrees of the left-right axis: scoliosis tilts a plane less than that
COARSE_MM = 2.0
# English, German, French, Spanish, Italian, Portuguese, Dutch, Nordic, Slavic and Chinese words that consoles show.
AGENT_WORDS = (
    r"(?:gd|gad\w*|k\.?m\.?|ce|mdc|civ|[ck]ontrast\w*|контраст\w*|inj\w*|enh\w*|dotarem|magnevist|clariscan|prohance"
    r"|multihance|omniscan|vueway|elucirem|primovist)"
)
CONTRAST_WORDS = re.compile(
    rf"(?<![a-z0-9]){AGENT_WORDS}(?![a-z0-9])|(?<![a-z0-9])post(?![a-z])|(?<![a-z])post[-_ ]?{AGENT_WORDS}"
    r"|t1w?(?:gd|km|ce|c)(?![a-z0-9-])|\+\s*(?:c|gd|km|ce)\b|(?<![a-z])c\+|(?<![a-z0-9])(?:w/?c|c/c)(?![a-z0-9])"
    r"|造影|增强",
    re.IGNORECASE,
)
WITH_AND_WITHOUT = re.compile(r"(?<![a-z0-9])w(?:ith)?[-_ /&+]*(?:and)?[-_ /&+]*w(?:ith)?/?o", re.IGNORECASE)
NO_CONTRAST_WORDS = re.compile(
    r"(?<![a-z0-9/&])(?:non|no|without|w/?o|pre|vor|ohne|sans|avant|sin|sem|senza|zonder|uten|utan|uden|bez|без)[-_ ]*"
    rf"(?:iv[-_ ]*)?{AGENT_WORDS}(?![a-z0-9])|非造影|非增强|無造影|无造影",
    re.IGNORECASE,
)
NO_AGENT = frozenset(
    {"", "NONE", "NO", "N", "0", "NIL", "NEIN", "NON", "WITHOUT", "NO CONTRAST", "NATIVE", "NOT GIVEN"}
)
DERIVED_TYPES = frozenset(
    {
        "LOCALIZER",
        "SUBTRACT",
        "SUBTRACTION",
        "PROJECTION IMAGE",
        "MIP",
        "MPR",
        "PHASE",
        "P",
        "ADC",
        "R",
        "I",
        "REAL",
        "IMAGINARY",
    }
)
LOCALIZER_WORDS = re.compile(
    r"(?<![a-z])(?:loc|localis\w*|localiz\w*|scout|survey|3[-_ ]?plane|calib\w*)(?![a-z])", re.IGNORECASE
)
ELSEWHERE_WORDS = re.compile(
    r"(?<![a-z])(?:[ct][-_ ]?spine|cervical|thoracic|hws|bws|brain|head|knee|hip|shoulder|pelvis"
    r"|sacro[-_ ]?iliac|si[-_ ]joints?)(?![a-z])",
    re.IGNORECASE,
)
ELSEWHERE_PARTS = frozenset(
    {"CSPINE", "TSPINE", "HEAD", "BRAIN", "KNEE", "SHOULDER", "HIP", "NECK", "BREAST", "HEART", "PROSTATE"}
)


OF_CONTRAST = frozenset({"contrast-agent", "after-contrast"})


class Choice(NamedTuple):
    """The chosen series, None where none will do; verdicts in the order of the study's series."""

    header: SeriesHeader | None
    verdicts: list[SeriesVerdict]


def choose_series(
    series: Sequence[SeriesHeader], *, sop_instance_uid: str | None = None, any_contrast: bool = False
) -> Choice:
    """Choose by orientation, weighting, contrast agent, body part and usefulness; the highest score, then the first.

    With `any_contrast` weighting and contrast agent do not count against a series: levels show on all of them.

    Where a reader's regions name a slice, a suitable series that holds it comes first.
    """
    injected = [row for row in series if _agent(row)]
    judged = [_judge(row, injected, any_contrast=any_contrast) for row in series]
    suitable = [index for index, judgement in enumerate(judged) if judgement.suitable]
    best = max(
        suitable,
        key=lambda i: (sop_instance_uid in series[i].sop_instance_uids, judged[i].score, -(series[i].number or 0), -i),
        default=None,
    )
    equal = [i for i in suitable if best is not None and judged[i].score == judged[best].score]
    if best is not None and len(equal) > 1 and sop_instance_uid not in series[best].sop_instance_uids:
        text = f"of {len(equal)} equally good series the one with the lowest number"
        judged[best].reasons.append(Reason(code="first-of-equals", text=text))
    verdicts = [_verdict(row, judged[index], chosen=index == best) for index, row in enumerate(series)]
    return Choice(series[best] if best is not None else None, verdicts)


def no_series(choice: Choice) -> Reason:
    """Why no series will do, with what spoke against each (numbered as in the study)."""
    against = "; ".join(
        f"series {number}: {', '.join(reason.text for reason in verdict.reasons)}"
        for number, verdict in enumerate(choice.verdicts, start=1)
    )
    count = len(choice.verdicts)
    text = f"none of {count} series is a readable sagittal T1 series without contrast agent ({against})"
    return Reason(code="no-suitable-series", text=text)


class Judgement(NamedTuple):
    """Whether a series may be measured, how good it is, and why."""

    suitable: bool
    score: float
    reasons: list[Reason]


def _judge(header: SeriesHeader, injected: Sequence[SeriesHeader], *, any_contrast: bool) -> Judgement:
    against = [reason for reason in (*header.obstacles, *_against(header, injected)) if reason]
    if any_contrast:
        against = [reason for reason in against if reason.code not in OF_CONTRAST]
    weighting = weighting_of(header)
    if not weighting.t1 and not any_contrast:
        against += weighting.reasons
    if against:
        return Judgement(False, 0.0, against)
    score, reasons = weighting.score, list(weighting.reasons)
    reasons.append(Reason(code="sagittal", text=f"sagittal, {header.slices} slices"))
    score += 1.0 if "PRIMARY" in header.image_types or not header.image_types else 0.0
    score += 1.0 if 7 <= header.slices <= 60 else 0.0
    score += 0.5 if (header.pixel_spacing_mm or (9.0, 9.0))[0] <= 1.0 else 0.0
    score += 0.5 if any("SPINE" in part for part in header.body_parts) else 0.0
    if header.modality is None:
        score -= 0.5
        reasons.append(Reason(code="modality-not-stated", text="the header names no modality"))
    if header.slices < 3:
        reasons.append(Reason(code="few-slices", text="too few slices to tell which one is mid-sagittal"))
    return Judgement(True, max(score, 0.1), reasons)


def _against(header: SeriesHeader, injected: Sequence[SeriesHeader]) -> list[Reason]:
    """Everything but the weighting that speaks against a series."""
    described = header.description or ""
    found: list[tuple[bool, str, str]] = [
        (header.modality not in (None, "MR"), "not-mr", "not a magnetic resonance series"),
        (len(header.orientations) == 0, "no-orientation", "no orientation in the header"),
        (len(header.orientations) > 1, "mixed-orientations", "the images lie in several planes"),
        (len(header.orientations) == 1 and not is_sagittal(header), "not-sagittal", "not sagittal"),
        (bool(DERIVED_TYPES & set(header.image_types)), "derived", "a localizer, a projection or a derived image"),
        (bool(LOCALIZER_WORDS.search(described)), "localizer", "a localizer by its description"),
        (_agent(header), "contrast-agent", "taken after a contrast agent"),
        (_after(header, injected), "after-contrast", "taken after a series with contrast agent"),
        (_elsewhere(header), "elsewhere", "another part of the body"),
        (
            bool(header.photometric) and not any("MONOCHROME" in p or not p for p in header.photometric),
            "colour",
            "a colour image",
        ),
        ("MONOCHROME1" in header.photometric, "inverted", "stored inverted (MONOCHROME1), not as signal intensities"),
        (_coarse(header), "coarse", f"pixels larger than {COARSE_MM:g} mm"),
    ]
    return [Reason(code=code, text=text) for holds, code, text in found if holds]


def is_sagittal(header: SeriesHeader) -> bool:
    """Whether the slices' normal lies within 30 degrees of the left-right axis."""
    return all(abs(float(normal_of(one)[0])) >= SAGITTAL_COSINE for one in header.orientations)


def _agent(header: SeriesHeader) -> bool:
    if any(agent.strip().upper() not in NO_AGENT for agent in header.contrast_agents):
        return True
    if (header.contrast_volume_ml or 0) > 0:
        return True
    described = NO_CONTRAST_WORDS.sub(" ", header.description or "")
    return bool(CONTRAST_WORDS.search(described) or WITH_AND_WITHOUT.search(header.description or ""))


def _after(header: SeriesHeader, injected: Sequence[SeriesHeader]) -> bool:
    """Whether a series began after one with contrast agent did; days count where both headers give them."""

    def later(one: SeriesHeader) -> bool:
        if not (header.acquisition_time and one.acquisition_time):
            return False
        if header.acquisition_date and one.acquisition_date:
            began = header.acquisition_date, header.acquisition_time
            return began > (one.acquisition_date, one.acquisition_time)
        return header.acquisition_time > one.acquisition_time

    return any(later(one) for one in injected)


def _elsewhere(header: SeriesHeader) -> bool:
    return bool(ELSEWHERE_PARTS & set(header.body_parts)) or bool(ELSEWHERE_WORDS.search(header.description or ""))


def _coarse(header: SeriesHeader) -> bool:
    return header.pixel_spacing_mm is not None and max(header.pixel_spacing_mm) > COARSE_MM


def _verdict(header: SeriesHeader, judgement: Judgement, *, chosen: bool) -> SeriesVerdict:
    return SeriesVerdict(
        series_uid=header.uid,
        description=header.description,
        modality=header.modality,
        slices=header.slices,
        chosen=chosen,
        score=judgement.score,
        reasons=judgement.reasons,
    )
