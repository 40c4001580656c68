"""Numbers of a subscription's events: which came, which are missing. Pure.

The sender counts its events from 1. Notifications come late, twice and in any order; a number that was passed over is
missing until it comes or somebody closes the gap.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

MOST_SPANS: Final = 200
Span = tuple[int, int]  # first and last, both included
Spans = tuple[Span, ...]


class Numbers(NamedTuple):
    """`top`: the highest number that came or was announced. `missing`: what did not come, ascending, not touching."""

    top: int = 0
    missing: Spans = ()

    def after(self, numbers: Iterable[int], announced: int | None = None) -> "Numbers":
        """After a notification with these event `numbers`, which says that there were `announced` events in all."""
        came = [number for number in numbers if number > 0]
        top = max([self.top, announced or 0, *came])
        missing = self.missing if top == self.top else (*self.missing, (self.top + 1, top))
        return Numbers(top, bounded(without(missing, [(number, number) for number in came])))

    def closed(self, spans: Spans) -> "Numbers":
        """After the gaps `spans` were closed in another way."""
        return Numbers(self.top, without(self.missing, spans))


def without(spans: Iterable[Span], taken: Iterable[Span]) -> Spans:
    """`spans` (ascending) less everything in `taken`; spans that touch become one."""
    left: list[Span] = []
    holes = _joined(sorted(taken))
    for first, last in spans:
        start = first
        for low, high in holes:
            if high < start or low > last:
                continue
            if low > start:
                left.append((start, low - 1))
            start = high + 1
        if start <= last:
            left.append((start, last))
    return _joined(left)


def bounded(spans: Spans) -> Spans:
    """At most MOST_SPANS: the narrowest distances between gaps are counted as missing too, which costs a look."""
    found = list(spans)
    while len(found) > MOST_SPANS:
        at = min(range(len(found) - 1), key=lambda index: found[index + 1][0] - found[index][1])
        found[at : at + 2] = [(found[at][0], found[at + 1][1])]
    return tuple(found)


def count(spans: Spans) -> int:
    """How many numbers the spans hold."""
    return sum(last - first + 1 for first, last in spans)


def _joined(spans: Iterable[Span]) -> Spans:
    found: list[Span] = []
    for first, last in spans:
        if found and found[-1][1] + 1 >= first:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)
