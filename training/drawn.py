"""Dice of each class on drawn slices that were never trained on, by contrast: what real volumes cannot tell (CSF)."""

import numpy as np
from numpy.typing import NDArray

from training.generator.labels import CLASSES, as_labels, certain
from training.generator.sample import PIXEL_MM, draw_sample
from training.generator.tissue import Contrast
from vbq.imaging.network import CSF, Network

FIRST_SEED = 10**12 + 10_000  # beyond the seeds of the training and of its own validation

_COLUMNS = ("drawn slices", "number", *(name.replace("_", " ") for name in CLASSES[1:]), "purity of CSF")
HEAD = f"| {' | '.join(_COLUMNS)} |\n{'|---' * len(_COLUMNS)}|"


def _row(title: str, counts: NDArray[np.int64], number: int) -> str:
    """`counts` is (classes, 3): pixels in truth and answer, in truth, in the answer."""
    both, truth, said = counts.T
    dice = 2 * both / np.maximum(truth + said, 1)
    purity = both[CSF] / max(int(said[CSF]), 1)
    return f"| {title} | {number} | " + " | ".join(f"{one:.3f}" for one in dice[1:]) + f" | {purity:.3f} |"


def drawn_table(network: Network, number: int) -> str:
    """The Markdown table; `purity of CSF` is the share of the pixels called CSF that are."""
    counts = {contrast: np.zeros((len(CLASSES), 3), dtype=np.int64) for contrast in Contrast}
    drawn = dict.fromkeys(Contrast, 0)
    for seed in range(FIRST_SEED, FIRST_SEED + number):
        sample = draw_sample(seed)
        said = network.predict(sample.image, (PIXEL_MM, PIXEL_MM)).probabilities.argmax(axis=0)
        truth, sure = as_labels(sample.targets), certain(sample.targets)
        drawn[sample.contrast] += 1
        for one in range(len(CLASSES)):
            a, b = (truth == one) & sure, (said == one) & sure
            counts[sample.contrast][one] += (a & b).sum(), a.sum(), b.sum()
    rows = [_row(contrast.value, counts[contrast], drawn[contrast]) for contrast in Contrast if drawn[contrast]]
    return "\n".join([HEAD, *rows])
