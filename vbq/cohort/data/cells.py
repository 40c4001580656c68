"""What cells that should be numbers hold instead, and what to do about it. Words about them, never the cells."""

import re
from collections.abc import Sequence
from typing import NamedTuple

WORDS = (
    "yes no y n true false t f ja nein oui non si present absent positive negative pos neg alive dead male female "
    "event censored none"
)


class Kind(NamedTuple):
    """Cells of one kind: a pattern that each matches whole, what they are, what to do."""

    pattern: str
    what: str
    advice: str


GENERAL = Kind(
    "",
    "text where a number is expected",
    "correct those cells, or leave them empty if the value is not known",
)
KINDS = (
    Kind(
        r"[+-]?\d+,\d+",
        "decimal commas",
        "read the file with --decimal comma, or save it with decimal points",
    ),
    Kind(
        r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[./-]\d{1,2}[./-](\d{2}|\d{4})( .*)?|\d{4}/\d{1,2}/\d{1,2}.*",
        "dates where a number is expected",
        "write the time between two dates as a number, such as the years from the images to the event",
    ),
    Kind(
        r"-?\d+ days?\b.*",
        "durations where a number is expected",
        "write them as numbers of years, months or days",
    ),
    Kind(
        "|".join(WORDS.split()),
        "words where a number is expected",
        "write 1 for yes and 0 for no, or translate them with a --map file (values: {yes: 1, no: 0})",
    ),
    Kind(
        r"[+-]?\d{1,3}([,' \u00a0\u2019\u202f]\d{3})+(\.\d+)?|[+-]?\d{1,3}(\.\d{3})+,\d+",
        "separators between thousands",
        "write the numbers without them",
    ),
    Kind(r"[\u2212\u2013]\d+([.,]\d+)?", "a typographic minus sign", "replace it by a hyphen"),
    Kind(
        r"[<>\u2264\u2265].*",
        "limits of a measurement (such as <3), not numbers",
        "decide on a number for them, or leave those cells empty",
    ),
    Kind(
        r"#(N/A|DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!)",
        "error values of a spreadsheet",
        "mend the formula, or leave those cells empty",
    ),
    Kind(
        r"[+-]?\d+([.,]\d+)?\s*([^\W\d_]|[%\u00b0(*/]).*",
        "a unit or other text behind the number",
        "write the number alone; a --map file says in which unit a column is",
    ),
)


def kind_of(cells: Sequence[str]) -> Kind:
    """The first kind that all of the cells are of; else that they are text."""
    texts = [cell.strip() for cell in cells]
    for kind in KINDS:
        pattern = re.compile(kind.pattern, re.IGNORECASE)
        if all(pattern.fullmatch(text) for text in texts):
            return kind
    return GENERAL
