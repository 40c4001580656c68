"""The network: a small U-Net whose decoder narrows before it widens the image, to keep the fine levels cheap."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.generator.labels import CLASSES
from vbq.imaging.network_input import CHANNELS

WIDTHS = (16, 32, 64, 96, 96, 96)  # channels at 1.2, 2.4 ... 38.4 mm
STRIDE = 2 ** (len(WIDTHS) - 1)  # rows and columns must be multiples of this


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class SegmentationNet(nn.Module):
    """(batch, 3, rows, columns) to logits (batch, 6, rows, columns)."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.ModuleList(
            _block(inputs, outputs) for inputs, outputs in zip((CHANNELS, *WIDTHS[:-1]), WIDTHS, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Conv2d(deep, fine, 1) for fine, deep in pairwise(WIDTHS))
        self.decode = nn.ModuleList(_block(2 * width, width) for width in WIDTHS[:-1])
        self.classify = nn.Conv2d(WIDTHS[0], len(CLASSES), 1)

    def forward(self, image: Tensor) -> Tensor:
        skips: list[Tensor] = []
        features = image
        for depth, block in enumerate(self.encode):
            features = block(functional.max_pool2d(features, 2) if depth else features)
            skips.append(features)
        for depth in range(len(WIDTHS) - 2, -1, -1):
            wider = functional.interpolate(self.narrow[depth](features), scale_factor=2.0, mode="nearest")
            features = self.decode[depth](torch.cat([wider, skips[depth]], dim=1))
        logits: Tensor = self.classify(features)
        return logits
