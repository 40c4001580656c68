"""Huffman-coded differences of JPEG lossless (ISO/IEC 10918-1 annexes C, F.2.2 and H.1.2.2), without a loop per pixel.

Where a code ends decides where the next one begins, so decoding looks sequential. But where a code that began at a
given bit would end depends on the next 16 bits alone: that is looked up for every bit of the data at once. Following
these jumps sixteen at a time (jump o jump o ... by repeated indexing) leaves a short loop, and the values of all codes
are then read together.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WINDOW_BYTES = 1 << 12  # tables of one window stay in the processor's cache
LONGEST = 32  # bits of a code and of what follows it
DOUBLINGS = 4
Values = npt.NDArray[np.int64]


class Codes(NamedTuple):
    """For every 16 bits that may come next: the category, and the bits of code and value (0: no code begins so)."""

    categories: npt.NDArray[np.int64]
    steps: npt.NDArray[np.uint8]


def codes_of(table: bytes) -> Codes:
    """The table of a DHT segment (16 counts, then categories), unrolled. Raises ValueError where it is none."""
    lengths, categories = np.zeros(65536, dtype=np.int64), np.zeros(65536, dtype=np.int64)
    code, used = 0, 16
    for length in range(1, 17):
        for _ in range(table[length - 1]):
            if used >= len(table) or table[used] > 16:
                raise ValueError("a code table is wrong")
            first, last = code << (16 - length), (code + 1) << (16 - length)
            if last > 65536:
                raise ValueError("a code table is overfull")
            lengths[first:last], categories[first:last] = length, table[used]
            code, used = code + 1, used + 1
        code <<= 1
    steps = lengths + np.where(categories < 16, categories, 0)  # category 16 has no further bits
    return Codes(categories, np.where(lengths > 0, steps, 0).astype(np.uint8))


def differences(data: bytes, count: int, codes: Codes) -> Values:
    """The first `count` differences of entropy-coded `data` (no stuffed bytes). Raises ValueError where it is short."""
    padded = data + bytes(WINDOW_BYTES + 16)
    found = np.empty(count, dtype=np.int64)
    base, at, have, last = 0, 0, 0, 0
    while have < count:
        if base >= len(data):
            raise ValueError("the image is cut short")
        starts, at = _window(padded, base, at, codes)
        starts = starts[: count - have] + 8 * base
        if len(starts):
            found[have : have + len(starts)], last = _values(padded, starts, codes)
            have += len(starts)
        if at < 0 and have < count:
            raise ValueError("a code that is in no table")
        base += WINDOW_BYTES
    if last > 8 * len(data):
        raise ValueError("the image is cut short")
    return found


def _values(padded: bytes, starts: Values, codes: Codes) -> tuple[Values, int]:
    """What the codes that begin at the bits `starts` say, and where the last one ends."""
    wide = np.ndarray((len(padded) - 7,), dtype=">u8", buffer=padded, strides=(1,))
    bits = wide[starts >> 3].astype(np.uint64)
    offset = (starts & 7).astype(np.uint64)
    peek = ((bits >> (np.uint64(48) - offset)) & np.uint64(0xFFFF)).astype(np.int64)
    categories, steps = codes.categories.take(peek), codes.steps.take(peek)
    more = np.where(categories < 16, categories, 0)
    extra = (bits >> (np.uint64(64) - offset - steps.astype(np.uint64))).astype(np.int64) & ((1 << more) - 1)
    negative = (extra < (1 << more) >> 1) & (more > 0)  # F.2.2.1: the first bit says the sign
    values = np.where(negative, extra - (1 << more) + 1, extra)
    return np.where(categories == 16, 32768, values), int(starts[-1]) + int(steps[-1])


def _window(padded: bytes, base: int, at: int, codes: Codes) -> tuple[Values, int]:
    """Starts of codes in one window, in its bits, from `at` on; and where the next window's first code begins.

    The latter is -1 where a start has no code.
    """
    end = 8 * WINDOW_BYTES
    wrong = end + LONGEST
    words = np.ndarray((WINDOW_BYTES,), dtype=">u4", buffer=padded, offset=base, strides=(1,)).astype(np.int64)
    steps = codes.steps.take((words[:, None] >> np.arange(16, 8, -1)) & 0xFFFF).ravel()
    jump = np.arange(wrong + 1)  # beyond the end every bit leads to itself
    jump[:end] += steps
    jump[:end][steps == 0] = wrong
    jumps = [jump]
    for _ in range(DOUBLINGS):
        jumps.append(jumps[-1].take(jumps[-1]))
    far, here, anchors = jumps[-1].data, at, []
    while here < end:
        anchors.append(here)
        here = far[here]
    starts = np.array(anchors, dtype=np.int64)
    for table in reversed(jumps[:-1]):
        starts = np.stack([starts, table.take(starts)], axis=1).ravel()
    return starts[starts < end], -1 if here == wrong else here - end
