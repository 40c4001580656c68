"""Counting concordant pairs with a Fenwick tree: n log n instead of n squared."""

import numpy as np
from numba import njit

from vbq.cohort.arrays import Bools, Floats, Ints


@njit(cache=True)
def _add(tree: Ints, place: int) -> None:
    place += 1
    while place < len(tree):
        tree[place] += 1
        place += place & (-place)


@njit(cache=True)
def _below(tree: Ints, place: int) -> int:
    """How many were added at ranks under `place`."""
    total = 0
    while place > 0:
        total += tree[place]
        place -= place & (-place)
    return total


@njit(cache=True)
def pair_counts(rank: Ints, time: Floats, event: Bools, order: Ints) -> Floats:
    """(3, n) concordant, discordant, tied pairs of each row. order: decreasing time, censored first among equals.

    Forwards every event meets those who outlive it; backwards every row meets the events that it outlives.
    """
    n = len(rank)
    size = rank.max() + 2
    counts = np.zeros((3, n))
    tree = np.zeros(size, dtype=np.int64)
    start = 0
    while start < n:
        stop = start
        while stop < n and time[order[stop]] == time[order[start]]:
            if not event[order[stop]]:
                _add(tree, rank[order[stop]])
            stop += 1
        seen = _below(tree, size - 1)
        for i in range(start, stop):
            row = order[i]
            if event[row]:
                less = _below(tree, rank[row])
                upto = _below(tree, rank[row] + 1)
                counts[0, row] += less
                counts[1, row] += seen - upto
                counts[2, row] += upto - less
        for i in range(start, stop):
            if event[order[i]]:
                _add(tree, rank[order[i]])
        start = stop
    tree[:] = 0
    stop = n
    while stop > 0:
        start = stop
        while start > 0 and time[order[start - 1]] == time[order[stop - 1]]:
            start -= 1
        for pass_ in range(2):
            if pass_ == 1:
                for i in range(start, stop):
                    if event[order[i]]:
                        _add(tree, rank[order[i]])
            seen = _below(tree, size - 1)
            for i in range(start, stop):
                row = order[i]
                # an event meets earlier events only; a censored row also those of its own time
                if event[row] == (pass_ == 0):
                    less = _below(tree, rank[row])
                    upto = _below(tree, rank[row] + 1)
                    counts[0, row] += seen - upto
                    counts[1, row] += less
                    counts[2, row] += upto - less
        stop = start
    return counts
