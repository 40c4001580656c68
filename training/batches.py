"""Batches: drawn slices and, now and then, a real labelled one, each changed a little every time it is shown."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.feed import Pool
from training.generator.labels import Targets
from training.spider import SpiderSlices
from vbq.imaging.network_input import normalise

ROWS, COLUMNS = 224, 160  # of a training crop: the spine is tall


def _vary(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Noise, blur and tone, mild: the pool shows every slice several times."""
    top = float(np.percentile(image, 99)) + 1e-6
    image = image / top
    if rng.random() < 0.5:
        image = np.abs(image + rng.normal(0, rng.uniform(0, 0.025), image.shape))
    if rng.random() < 0.2:
        image = gaussian_filter(image, rng.uniform(0.2, 0.6))
    return np.asarray(np.maximum(image, 0) ** rng.uniform(0.8, 1.25), dtype=np.float32)


def draw_batch(
    rng: np.random.Generator, pool: Pool, spider: SpiderSlices | None, size: int, spider_share: float
) -> tuple[NDArray[np.float32], Targets]:
    """Network inputs (size, 3, 224, 160) and targets (size, 224, 160)."""
    inputs, answers = [], []
    for _ in range(size):
        if spider is not None and rng.random() < spider_share:
            image, targets = spider.draw(rng)
        else:
            index = int(rng.integers(pool.filled))
            image, targets = pool.images[index].astype(np.float32), pool.targets[index]
        left = int(rng.integers(0, image.shape[1] - COLUMNS + 1))
        inputs.append(normalise(_vary(rng, image))[:, :, left : left + COLUMNS])
        answers.append(targets[:, left : left + COLUMNS])
    return np.stack(inputs), np.stack(answers)
