"""The segmentation network at work: a slice and its spacing in, class probabilities out.

A session is made by `load_network` and handed down; importing this file loads nothing. Slices are sagittal with the
patient's back to the right and the head up.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from schemas.errors import ModelRefused, NotMeasurable
from vbq.imaging.network_input import CHANNELS, PIXEL_MM, normalise

CLASSES = ("background", "vertebral_body", "sacrum", "disc", "canal", "csf")
BACKGROUND, VERTEBRAL_BODY, SACRUM, DISC, CANAL, CSF = range(len(CLASSES))

WEIGHTS = Path(__file__).parent / "weights" / "lumbar.onnx"
_BLOCK = 32  # rows and columns of the input are multiples of this
_MIN_VIEW_MM, _MAX_VIEW_MM = 100.0, 800.0
_MARGIN_MM = 24.0

Array = NDArray[np.float32]
Run = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Class probabilities of one slice on the network's grid.

    `probabilities` is (6, rows, columns), summing to 1 over the classes; its pixels are `pixel_mm` (rows, columns)
    large, and its outer edges are those of the slice, so that a point at share s of the slice lies at share s of it.
    """

    probabilities: Array
    pixel_mm: tuple[float, float]

    def on_slice(self, rows: int, columns: int) -> Array:
        """The probabilities on the slice's own pixels: (6, rows, columns)."""
        size = (columns, rows)
        planes = [Image.fromarray(one).resize(size, Image.Resampling.BILINEAR) for one in self.probabilities]
        return np.stack([np.asarray(one, dtype=np.float32) for one in planes])

    def labels_on_slice(self, rows: int, columns: int) -> NDArray[np.uint8]:
        """The most probable class of each of the slice's own pixels: (rows, columns)."""
        labels: NDArray[np.uint8] = self.on_slice(rows, columns).argmax(axis=0).astype(np.uint8)
        return labels

    def spine_columns_mm(self) -> tuple[float, float] | None:
        """Both ends of what is not background, with a margin, in mm from the left edge; None where all is."""
        seen = (self.probabilities[BACKGROUND] < 0.5).sum(axis=0) * self.pixel_mm[0] > 2.0
        if not seen.any():
            return None
        columns = np.flatnonzero(seen)
        left, right = columns[0] * self.pixel_mm[1], (columns[-1] + 1) * self.pixel_mm[1]
        return max(0.0, float(left) - _MARGIN_MM), float(right) + _MARGIN_MM


@dataclass(frozen=True, eq=False)
class Network:
    """`run` takes (1, 3, rows, columns) and gives (1, 6, rows, columns); both sides multiples of 32."""

    run: Run

    def predict(
        self,
        pixels: NDArray[np.floating] | NDArray[np.integer],
        spacing_mm: tuple[float, float],
        columns_mm: tuple[float, float] | None = None,
    ) -> Prediction:
        """Class probabilities of a slice.

        `pixels` is (rows, columns), any scale; `spacing_mm` is (between rows, between columns). With `columns_mm`
        (from `Prediction.spine_columns_mm` of a neighbouring slice) the network looks at those columns alone, which
        costs a third, and calls the rest background.

        Raises NotMeasurable where the spacing or the field of view is not that of a lumbar study.
        """
        image, pixel_mm = _on_network_grid(pixels, spacing_mm)
        prepared = normalise(image)
        first, last = _block_window(image.shape[1], pixel_mm[1], columns_mm)
        rows, columns = image.shape[0], last - first
        padding = ((0, 0), (0, -rows % _BLOCK), (0, -columns % _BLOCK))
        padded = np.pad(prepared[:, :, first:last], padding, mode="edge")
        seen = self.run(np.ascontiguousarray(padded[None]))[0, :, :rows, :columns]
        probabilities = np.zeros((len(CLASSES), *image.shape), dtype=np.float32)
        probabilities[BACKGROUND] = 1
        probabilities[:, :, first:last] = seen
        return Prediction(probabilities, pixel_mm)


def _on_network_grid(
    pixels: NDArray[np.floating] | NDArray[np.integer], spacing_mm: tuple[float, float]
) -> tuple[Array, tuple[float, float]]:
    """The slice at about 1.2 mm, area-weighted, and the pixel that this gave exactly."""
    if pixels.ndim != 2:
        raise NotMeasurable(f"a slice has two dimensions, this one {pixels.ndim}", code="not-a-slice")
    sides_mm = [count * step for count, step in zip(pixels.shape, spacing_mm, strict=True)]
    if not all(math.isfinite(side) and _MIN_VIEW_MM <= side <= _MAX_VIEW_MM for side in sides_mm):
        raise NotMeasurable(
            f"the field of view must be {_MIN_VIEW_MM:.0f} to {_MAX_VIEW_MM:.0f} mm each way; check the pixel spacing",
            code="field-of-view",
        )
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    values = np.maximum(values - min(0.0, float(values.min())), 0)
    rows, columns = (max(_BLOCK, round(side / PIXEL_MM)) for side in sides_mm)
    resized = Image.fromarray(values).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32), (sides_mm[0] / rows, sides_mm[1] / columns)


def _block_window(columns: int, pixel_mm: float, wanted_mm: tuple[float, float] | None) -> tuple[int, int]:
    """[first, last) of the columns to look at, widened to whole blocks where the slice allows it."""
    if wanted_mm is None:
        return 0, columns
    first = int(np.clip(math.floor(wanted_mm[0] / pixel_mm), 0, columns - 1))
    last = int(np.clip(math.ceil(wanted_mm[1] / pixel_mm), first + 1, columns))
    missing = -(last - first) % _BLOCK
    first = max(0, first - missing // 2)
    last = min(columns, first + math.ceil((last - first) / _BLOCK) * _BLOCK)
    return first, last


def load_network(weights: Path = WEIGHTS, threads: int = 1) -> Network:
    """A network from an ONNX file; one session serves all slices and may be shared between threads.

    Raises ModelRefused where the file is missing, unreadable or made for other classes.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not weights.is_file():
        raise ModelRefused(f"no network weights at {weights.name}; reinstall the package", code="weights-missing")
    try:
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
    except (errors.Fail, errors.InvalidGraph, errors.InvalidProtobuf, errors.RuntimeException) as broken:
        raise ModelRefused(f"{weights.name} is not an ONNX model that can be run", code="weights-broken") from broken
    made_for = session.get_modelmeta().custom_metadata_map
    inputs = session.get_inputs()
    if made_for.get("classes", "").split() != list(CLASSES) or len(inputs) != 1 or inputs[0].shape[1] != CHANNELS:
        raise ModelRefused(f"{weights.name} was made for other classes than this version knows", code="weights-foreign")

    def run(image: Array) -> Array:
        (probabilities,) = session.run(["probabilities"], {"image": image})
        return np.asarray(probabilities, dtype=np.float32)

    return Network(run)
