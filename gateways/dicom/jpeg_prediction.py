"""Undoing the prediction of JPEG lossless (ISO/IEC 10918-1 annex H.1.2.1), modulo 2^16.

The first row goes by its left neighbour, the first column by the one above, the rest by one of seven predictors.
"""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.int64]


def predicted(differences: Values, predictor: int, first: int) -> Values:
    """Samples (rows, columns) from differences of the same shape; `first` is what the first one is predicted as."""
    out = differences.copy()
    out[0, 0] += first
    if predictor == 1:
        out[:, 0] = np.cumsum(out[:, 0])
        return np.cumsum(out, axis=1) & 0xFFFF
    if predictor == 2:
        out[0] = np.cumsum(out[0])
        return np.cumsum(out, axis=0) & 0xFFFF
    if predictor == 4:  # left + up - corner: sums along both axes, since the first row and column begin so too
        return np.cumsum(np.cumsum(out, axis=0), axis=1) & 0xFFFF
    out[0] = np.cumsum(out[0])
    out[:, 0] = np.cumsum(out[:, 0])
    return _by_diagonals(out & 0xFFFF, differences, predictor)


def _by_diagonals(out: Values, differences: Values, predictor: int) -> Values:
    """Predictors 3 and 5 to 7: a diagonal (from lower left to upper right) needs only the two before it."""
    rows, columns = out.shape
    flat, given = out.reshape(-1), differences.reshape(-1)
    step = columns - 1  # from a sample to the one below and left of it, in memory
    for diagonal in range(2, rows + columns - 1):
        top, bottom = max(1, diagonal - columns + 1), min(rows - 1, diagonal - 1)
        if top > bottom:
            continue
        start, stop = top * columns + diagonal - top, bottom * columns + diagonal - bottom + 1
        here = slice(start, stop, step or None)
        left = flat[start - 1 : stop - 1 : step or None]
        up = flat[start - columns : stop - columns : step or None]
        corner = flat[start - columns - 1 : stop - columns - 1 : step or None]
        if predictor == 3:
            guess = corner
        elif predictor == 5:
            guess = left + ((up - corner) >> 1)
        elif predictor == 6:
            guess = up + ((left - corner) >> 1)
        else:
            guess = (left + up) >> 1
        flat[here] = (given[here] + guess) & 0xFFFF
    return out
