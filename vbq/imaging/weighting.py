"""Is this series T1-weighted without fat suppression? By physics (TR, TE, TI, sequence) first, by words second.

Ranges for spin echo at 1.5-3 T: T1 TR 300-1200 ms with TE to 30 ms; T1 FLAIR TR 1200-3500 ms, TI 600-1400 ms, TE to
40 ms (VBQ studies used TR 400-850, TE 8-20). Short-TI inversion (TI 90-300 ms) nulls fat.
"""

import re
from typing import NamedTuple

from schemas.measurement import Reason
from vbq.imaging.volume import SeriesHeader

T1_WORDS = re.compile(r"(?<![a-z0-9])t1(?![0-9])|t1w|t1[-_ ]?(?:tse|fse|se|flair)", re.IGNORECASE)
OTHER_WORDS = re.compile(
    r"(?<![a-z0-9])(?:t2|t2w|pd|pdw|stir|tirm|dwi|adc|dti|swi|mra|tof|myelo|ciss|fiesta|haste|medic|merge)",
    re.IGNORECASE,
)
FAT_WORDS = re.compile(
    r"(?<![a-z0-9])(?:fs|fatsat|fat[-_ ]?sat|fat[-_ ]?sup\w*|spair|spir|stir|tirm|water|chess|fsat"
    r"|fettsat\w*|sat[-_ ]?gra\w*|wats|we|proset)(?![a-z0-9])|t1w?fs(?![a-z0-9])"
    r"|dixon.*[-_ ]w(?![a-z0-9/])",
    re.IGNORECASE,
)
FAT_SATURATED_OPTIONS = frozenset({"FS", "FAT_SAT", "FATSAT", "SFS"})
DIXON_PARTS = frozenset(
    {"WATER", "FAT", "W", "F", "FAT_FRACTION", "FF", "PDFF"}
    | {"OPP_PHASE", "OUT_PHASE", "OPPOSED_PHASE", "OUT_OF_PHASE", "OP", "OOP", "OUTPHASE"}
)
DIXON_WORDS = re.compile(
    r"(?<![a-z])(?:opp(?:osed)?|out)[-_ ]*(?:of[-_ ]*)?ph(?:ase)?(?![a-z])|(?<![a-z])fat[-_ ]?frac"
    r"|(?:dixon|flex|ideal).*[-_ :](?:opp|op|out|oop|f|w|fat|water)(?![a-z0-9/])|^\s*(?:fat|water)\s*:",
    re.IGNORECASE,
)


class Weighting(NamedTuple):
    """Whether the series is T1 without fat suppression, how sure (a score), and why."""

    t1: bool
    score: float
    reasons: list[Reason]


def weighting_of(header: SeriesHeader) -> Weighting:
    """Judge one series' contrast; every judgement has its reason."""
    words = " ".join(part for part in (header.description, header.protocol) if part)
    suppressed = _fat_suppressed(header, header.description or "")
    if suppressed is not None:
        return Weighting(False, 0.0, [suppressed])
    if len(header.echo_times_ms) > 1:
        return _no("several-echo-times", "the series mixes several echo times")
    tr, te = header.repetition_time_ms, header.echo_time_ms
    if tr is not None and te is not None and tr > 0 and te > 0:
        return _by_physics(header, tr, te)
    # The description is nearer to the series than the protocol, which several series may share.
    if OTHER_WORDS.search(header.description or ""):
        return _no("other-weighting", "the description names another weighting than T1")
    if T1_WORDS.search(words):
        text = "T1 by its description alone: TR and TE are not in the header"
        return Weighting(True, 1.0, [Reason(code="t1-by-description", text=text)])
    return _no("weighting-unknown", "neither TR and TE nor the description say that it is T1-weighted")


def _by_physics(header: SeriesHeader, tr: float, te: float) -> Weighting:
    ti = header.inversion_times_ms[0] if header.inversion_times_ms else None
    described = header.description or ""
    timing = f"TR {tr:.0f} ms, TE {te:.1f} ms"
    gradient = "GR" in header.scanning_sequence and "SE" not in header.scanning_sequence
    if gradient:
        return _no("gradient-echo", f"a gradient echo ({timing}), not a spin echo as in the method")
    if te > 40:
        return _no("t2-timing", f"{timing}: too long an echo time for T1")
    if 300 <= tr <= 1200 and te <= 30:
        reasons = [Reason(code="t1-timing", text=f"{timing}: a T1-weighted spin echo")]
        if OTHER_WORDS.search(described) and not T1_WORDS.search(described):
            return _no("description-contradicts", f"{timing} fits T1, but the description names another weighting")
        return Weighting(True, 3.0 + 0.5 * bool(T1_WORDS.search(described)), reasons)
    if 1200 < tr <= 3500 and ti is not None and 600 <= ti <= 1400:
        return Weighting(True, 2.0, [Reason(code="t1-flair", text=f"{timing}, TI {ti:.0f} ms: T1 FLAIR")])
    if T1_WORDS.search(described) and tr < 2200:
        text = f"{timing}: outside the usual T1 range, but the description says T1"
        return Weighting(True, 0.5, [Reason(code="t1-unusual-timing", text=text)])
    return _no("not-t1-timing", f"{timing}: not a T1-weighted spin echo")


def _fat_suppressed(header: SeriesHeader, described: str) -> Reason | None:
    inversion = header.inversion_times_ms[0] if header.inversion_times_ms else None
    by_time = inversion is not None and 90 <= inversion <= 300
    if by_time or FAT_SATURATED_OPTIONS & set(header.scan_options) or FAT_WORDS.search(described):
        return Reason(code="fat-suppressed", text="fat is suppressed, so marrow has not the signal that VBQ means")
    if DIXON_PARTS & set(header.image_types) or DIXON_WORDS.search(described):
        return Reason(code="dixon-part", text="a water, fat or opposed-phase image, not plain T1")
    return None


def _no(code: str, text: str) -> Weighting:
    return Weighting(False, 0.0, [Reason(code=code, text=text)])
