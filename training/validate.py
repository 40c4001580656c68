"""How the network does while it trains: Dice per class on fixed drawn slices, and on SPIDER people held back."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.generator.labels import BODY, CANAL, CLASSES, CSF, DISC, Targets, bit, certain
from training.generator.sample import draw_sample
from training.spider import SpiderSlices
from vbq.imaging.network_input import normalise

_FIRST_SEED = 10**12  # far from every seed the training can reach
_DRAWN = 40

Case = tuple[NDArray[np.float32], Targets]


def drawn_cases() -> list[Case]:
    """The fixed drawn slices, prepared for the network."""
    samples = (draw_sample(_FIRST_SEED + n) for n in range(_DRAWN))
    return [(normalise(one.image), one.targets) for one in samples]


def spider_cases(spider: SpiderSlices) -> list[Case]:
    """Every held-back SPIDER slice, prepared for the network."""
    plain = (spider.plain(n) for n in range(len(spider.slices)))
    return [(normalise(image), targets) for image, targets in plain]


def predict(net: nn.Module, image: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class of each pixel of one prepared slice."""
    with torch.inference_mode():
        logits = net(torch.from_numpy(image)[None].contiguous(memory_format=torch.channels_last))
    labels: NDArray[np.int64] = logits[0].argmax(0).numpy()
    return labels


def drawn_dice(net: nn.Module, cases: list[Case]) -> dict[str, float]:
    """Dice of each class but the background over all drawn slices together, on pixels whose answer is certain."""
    overlap, total = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    for image, targets in cases:
        guess, sure = predict(net, image), certain(targets)
        for one in range(len(CLASSES)):
            truth, said = (targets == bit(one)) & sure, (guess == one) & sure
            overlap[one] += 2 * (truth & said).sum()
            total[one] += truth.sum() + said.sum()
    return {f"dice_{CLASSES[one]}": round(overlap[one] / max(total[one], 1), 4) for one in range(1, len(CLASSES))}


def spider_dice(net: nn.Module, cases: list[Case]) -> dict[str, float | None]:
    """Dice of body, disc and canal with CSF on SPIDER, where the masks speak; None without any case."""
    groups = {"body": (BODY,), "disc": (DISC,), "canal_csf": (CANAL, CSF)}
    overlap, total = dict.fromkeys(groups, 0), dict.fromkeys(groups, 0)
    for image, targets in cases:
        guess = predict(net, image)
        for name, members in groups.items():
            mask = bit(*members)
            truth = (targets & ~np.uint8(mask)) == 0
            sure = truth | ((targets & mask) == 0)
            said = np.isin(guess, members) & sure
            overlap[name] += 2 * int((truth & said).sum())
            total[name] += int(truth.sum() + said.sum())
    return {f"spider_{name}": round(overlap[name] / total[name], 4) if total[name] else None for name in groups}
