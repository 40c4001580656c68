"""What a reader's label says: which vertebra, and whether it is the bone or the CSF beside it.

Labels come as free text ("L1", "L2 vertebra", "Liquor L3", "LWK 4", "CSF") and as codes. A label that names two levels
("L1/2") means a disc or nothing to us; nothing is ever guessed from it.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from schemas.codes import SNOMED_CT, lookup
from schemas.measurement import Level

Kind = Literal["body", "csf", "other"]
LEVELS: tuple[Level, ...] = get_args(Level)
CSF_CODE = "65216001"  # SNOMED CT: Cerebrospinal fluid (in DICOM's own context groups)
THORACIC_CODES: dict[str, Level] = {"12989004": "T11", "23215003": "T12"}  # DICOM CID 7603

_START, _END = r"(?<![A-Za-z0-9])", r"(?![0-9])"
_LEVEL = re.compile(
    rf"(?:{_START}|(?<=csf))(?:(?P<letter>T|TH|L|S)[\s_.-]*0?"
    r"|(?P<german>BWK|LWK|SWK|BW|LW|(?:Brust|Lenden)wirbel(?:k(?:ö|oe)rper)?)[\s_.-]*0?)"
    rf"(?P<number>\d{{1,2}}){_END}",
    re.IGNORECASE,
)
_RANGE = re.compile(rf"{_START}(?:L|T|TH|LWK|BWK|S|腰椎?|胸椎?)\s*\d{{1,2}}\s*[-/]\s*(?:L|S|T|TH)?\s*\d", re.IGNORECASE)
_WORDS = re.compile(
    r"(?P<ordinal>first|second|third|fourth|fifth|1st|2nd|3rd|4th|5th)\s+(?P<part>lumbar|sacral)"
    r"|(?P<part_2>lumbar|sacral|lombaire|lombare)(?:\s+(?:vertebra|body))?\s+(?P<number>\d)(?!\d)",
    re.IGNORECASE,
)
_GERMAN = re.compile(
    r"(?<![A-Za-z0-9])(?P<number>\d{1,2})\.\s*(?:(?P<part>[BLS])WK?|(?P<word>Brust|Lenden|Sakral)wirbel)", re.IGNORECASE
)  # 1. LWK, 2. Lendenwirbel
_CHINESE = re.compile(
    r"(?P<part>[腰胸])椎?体?\s*(?P<number>1?\d|[一二三四五])(?!\d)|第\s*(?P<nth>1?\d|[一二三四五])\s*(?P<part_2>[腰胸])椎"
)
_CHINESE_NUMBERS = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5}
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
_CSF = re.compile(
    r"(?<![A-Za-z])(?:csf|liquor|lcr|lcs)(?:(?![A-Za-z])|(?=[LT]\d))|(?<![A-Za-z])fluid(?![A-Za-z])|cerebro-?\s?spinal|spinal\s+fluid|céphalo-?rachidien|脑脊液|腦脊液",
    re.IGNORECASE,
)
_OTHER = re.compile(
    rf"{_START}(?:disc|disk|discus|bandscheibe|ivd|canal|sac|cord|conus|muscle|psoas|fat|noise|air|background)(?![A-Za-z])"
    r"|duralsack|spinalkanal|wirbelkanal|myelon|cauda|muskel|fettgewebe|椎间盘|椎間盤",
    re.IGNORECASE,
)


class Label(NamedTuple):
    """`kind` is None where the label names neither bone nor CSF nor anything else that we know."""

    kind: Kind | None
    level: Level | None


def read_label(texts: Iterable[str], codes: Iterable[tuple[str, str]] = ()) -> Label:
    """What labels and codes, (coding scheme, value), of one region say together."""
    texts = [unicodedata.normalize("NFKC", text) for text in texts if text]  # full-width letters, hard spaces
    levels = {level for text in texts for level in _levels_in(text)}
    is_csf = any(_CSF.search(text) for text in texts)
    for scheme, value in codes:
        if scheme not in ("SCT", "SRT", "SNM3", SNOMED_CT):
            continue
        known = lookup(SNOMED_CT, value)
        if value in THORACIC_CODES:
            levels.add(THORACIC_CODES[value])
        elif known is not None and known.concept.startswith("vertebra_"):
            levels.update(level for level in LEVELS if known.concept == f"vertebra_{level}")
        is_csf |= value == CSF_CODE
    if any(_OTHER.search(text) or _RANGE.search(text) for text in texts) or len(levels) > 1:
        return Label("other", None)
    level = next(iter(levels), None)
    if is_csf:
        return Label("csf", level)
    return Label("body" if level else None, level)


def _levels_in(text: str) -> set[Level]:
    found = set()
    for match in _LEVEL.finditer(text):
        prefix = (match["letter"] or match["german"]).upper()
        letter = {"B": "T", "T": "T", "L": "L", "S": "S"}[prefix[0]]
        found.add(f"{letter}{int(match['number'])}")
    for match in _WORDS.finditer(text):
        part = (match["part"] or match["part_2"])[0].upper()
        ordinal = (match["ordinal"] or "").lower()
        found.add(f"{part}{match['number'] or _ORDINALS.get(ordinal) or ordinal[0]}")
    for match in _GERMAN.finditer(text):
        part = (match["part"] or match["word"])[0].upper()
        found.add(f"{'T' if part == 'B' else part}{int(match['number'])}")
    for match in _CHINESE.finditer(text):
        number = match["number"] or match["nth"]
        letter = {"腰": "L", "胸": "T"}[match["part"] or match["part_2"]]
        found.add(f"{letter}{_CHINESE_NUMBERS.get(number) or int(number)}")
    return {level for level in LEVELS if level in found}
