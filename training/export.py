"""Write the ONNX file that ships: `python -m training.export CHECKPOINT ONNX [--half CHECKPOINT16]`.

The running average of the weights, batch normalisation folded into the convolutions, softmax included, rows and
columns free (multiples of 32). --half also writes the averaged weights as 16 bit, the small checkpoint that is
committed so that another machine can go on from it.
"""

import argparse
import sys
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training import checkpoint
from training.generator.labels import CLASSES
from training.net import STRIDE, SegmentationNet
from vbq.imaging.network_input import CHANNELS, PIXEL_MM

_OPSET = 18


class _WithSoftmax(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        return torch.softmax(self.net(image), dim=1)


def _fold(net: SegmentationNet) -> None:
    """Replace each convolution and its batch normalisation by one convolution."""
    for block in (*net.encode, *net.decode):
        assert isinstance(block, nn.Sequential)
        for at, layer in enumerate(list(block)):
            if isinstance(layer, nn.Conv2d):
                normalisation = block[at + 1]
                assert isinstance(normalisation, nn.BatchNorm2d)
                block[at], block[at + 1] = fuse_conv_bn_eval(layer, normalisation), nn.Identity()


def export(source: Path, target: Path) -> None:
    """The averaged weights of checkpoint `source` as the ONNX file `target`."""
    arrays = checkpoint.read(source)
    net = SegmentationNet()
    net.load_state_dict(checkpoint.unpack("average", arrays))
    net.eval()
    _fold(net)
    example = torch.zeros(1, CHANNELS, 7 * STRIDE, 5 * STRIDE)
    free = {
        2: torch.export.Dim("row_blocks", min=1, max=64) * STRIDE,
        3: torch.export.Dim("column_blocks", min=1, max=64) * STRIDE,
    }
    program = torch.onnx.export(
        _WithSoftmax(net).eval(),
        (example,),
        input_names=["image"],
        output_names=["probabilities"],
        dynamic_shapes=(free,),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    steps = int(arrays["progress"][0])
    del model.metadata_props[:]
    for key, value in (("classes", " ".join(CLASSES)), ("pixel_mm", str(PIXEL_MM)), ("steps", str(steps))):
        model.metadata_props.add(key=key, value=value)
    for node in model.graph.node:  # the exporter notes source paths of this machine; they do not belong in the file
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def halve(source: Path, target: Path) -> None:
    """A small copy of a checkpoint: the averaged weights as 16 bit, no optimiser."""
    arrays = checkpoint.read(source)
    average = checkpoint.pack("average", checkpoint.unpack("average", arrays), half=True)
    checkpoint.write(target, {**average, "progress": arrays["progress"]})


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="training.export", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--half", type=Path)
    a = parser.parse_args(arguments)
    export(a.source, a.target)
    if a.half:
        halve(a.source, a.half)


if __name__ == "__main__":
    main(sys.argv[1:])
