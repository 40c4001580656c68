"""Text from outside inside GitHub Flavored Markdown: it must stay text, and no client may find HTML in it.

CDS Hooks clients were seen to render raw HTML in a card's detail, so < and > become entities rather than escapes.
"""

import re
from typing import Final

_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SPECIAL = re.compile(r"([\\`*_\[\]|~#@!])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")  # line ends, bidi overrides
# What would begin a list, a rule or a heading at the start of a line.
_BLOCK_START = re.compile(r"([0-9]{1,9}(?=[.)])|)([-+=.)])(?=[\s=-]|$)")
_HARMLESS = re.compile(r"[A-Za-z][A-Za-z0-9 .,;()%µ+-]*+(?::(?!//)[A-Za-z0-9 .,;()%µ+-]*+)*+")


def plain(text: str) -> str:
    """`text` on one line, without control characters."""
    return " ".join(_CONTROL.sub(" ", text).split())


def escaped(text: str) -> str:
    """`text` so that Markdown shows it literally: no emphasis, link, image, table, mention, bare URL or HTML."""
    if _HARMLESS.fullmatch(text) and "www" not in text and "  " not in text and text == text.strip():
        return text
    literal = _SPECIAL.sub(r"\\\1", plain(text).translate(_ENTITIES))
    if start := _BLOCK_START.match(literal):
        literal = f"{start[1]}\\{literal[start.end(1) :]}"
    return literal.replace("://", ":\\//").replace("www.", "www\\.").replace("WWW.", "WWW\\.")


def shortened(text: str, limit: int) -> str:
    """`text` on one line and at most `limit` characters long."""
    line = plain(text)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"
