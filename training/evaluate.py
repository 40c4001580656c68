"""Measure ONNX weights on real volumes: `python -m training.evaluate --volumes DIR [--t1 NAME ...] [--out F]`.

DIR holds npz files with `image` and `label` (rows, columns, slices), `mid` and `spacing_mm`; a label is one number per
vertebral body. The lowest label is S1 in files named in --with-s1. What is compared, per slice and body from L5 up:

found       intersection over union with the best component of the vertebral-body class above .5
Dice        of all bodies of the slice together (S1 left out on both sides)
ROI error   mean signal in the body drawn in by 3 mm, network's outline against the reader's, in percent
L5          the lowest component of the vertebral-body class is the reader's L5
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, distance_transform_edt, label

from training.drawn import drawn_table
from vbq.imaging.network import VERTEBRAL_BODY, WEIGHTS, Network, load_network

_MARGIN_MM = 3.0
_SMALLEST_BODY_MM2 = 150.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SliceResult:
    bodies: int
    found: int
    dice: float
    roi_errors_percent: tuple[float, ...]
    l5_right: bool
    false_bodies: int  # components that touch no labelled body


def components(mask: Mask, pixel_mm: tuple[float, float]) -> list[Mask]:
    """Connected pieces of a mask large enough for a body, lowest first."""
    area = pixel_mm[0] * pixel_mm[1]
    parts, count = label(binary_opening(mask, iterations=2))
    pieces = [parts == n + 1 for n in range(count)]
    large = [one for one in pieces if one.sum() * area > _SMALLEST_BODY_MM2]
    return sorted(large, key=lambda one: -float(np.nonzero(one)[0].mean()))


def _overlap(a: Mask, b: Mask) -> float:
    """Intersection over union."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def _roi_mean(image: NDArray[np.uint8], body: Mask, pixel_mm: tuple[float, float]) -> float | None:
    inner = distance_transform_edt(body, sampling=pixel_mm) > _MARGIN_MM
    return float(image[inner].mean()) if inner.sum() > 20 else None


def judge(
    image: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    pixel: tuple[float, float],
    has_s1: bool,
) -> SliceResult:
    """Compare the labels of one slice with the reader's; all arrays (rows, columns) with pixels of `pixel` mm."""
    names = sorted(set(np.unique(truth)) - {0}, key=lambda n: -float(np.nonzero(truth == n)[0].mean()))
    bodies = [truth == n for n in (names[1:] if has_s1 else names)]
    sacrum = truth == names[0] if has_s1 else np.zeros(truth.shape, dtype=bool)
    pieces = components(labels == VERTEBRAL_BODY, pixel)
    found, errors = 0, []
    for body in bodies:
        best = max(pieces, key=lambda piece: _overlap(piece, body), default=None)
        if best is None or _overlap(best, body) <= 0.5:
            continue
        found += 1
        said, meant = _roi_mean(image, best, pixel), _roi_mean(image, body, pixel)
        if said is not None and meant:
            errors.append(100 * abs(said / meant - 1))
    everything = np.any(bodies, axis=0)
    # readers stop at some body near the top edge: what the network says above it is neither right nor wrong
    top = int(np.nonzero(everything)[0].min())
    mine = (labels == VERTEBRAL_BODY) & ~sacrum & (np.arange(len(labels)) >= top)[:, None]
    dice = 2 * float((mine & everything).sum()) / max(float(mine.sum() + everything.sum()), 1)
    l5 = bool(pieces and _overlap(pieces[0], bodies[0]) > 0.3)
    stray = sum(
        1 for piece in pieces if not (piece & (everything | sacrum)).any() and np.nonzero(piece)[0].mean() > top
    )
    return SliceResult(len(bodies), found, dice, tuple(errors), l5, stray)


def judge_volume(network: Network, path: Path, with_s1: bool, reach_mm: float) -> list[SliceResult]:
    """The middle slice of a volume and its neighbours within `reach_mm`."""
    with np.load(path, allow_pickle=False) as archive:
        image, truth = archive["image"], archive["label"]
        middle, spacing = int(archive["mid"]), archive["spacing_mm"]
    reach = int(reach_mm / float(spacing[2]))
    results = []
    for index in range(max(0, middle - reach), min(image.shape[2], middle + reach + 1)):
        picture = image[:, :, index]
        pixel = (float(spacing[0]), float(spacing[1]))
        labels = network.predict(picture, pixel).labels_on_slice(*picture.shape)
        results.append(judge(picture, truth[:, :, index], labels, pixel=pixel, has_s1=with_s1))
    return results


def table(title: str, results: list[SliceResult]) -> str:
    """One row of the Markdown table."""
    bodies, found = sum(r.bodies for r in results), sum(r.found for r in results)
    errors = np.array([e for r in results for e in r.roi_errors_percent] or [np.nan])
    dice = float(np.mean([r.dice for r in results]))
    l5 = f"{sum(r.l5_right for r in results)} of {len(results)}"
    stray = sum(r.false_bodies for r in results)
    return (
        f"| {title} | {len(results)} | {found} of {bodies} ({100 * found / bodies:.1f} %) | {dice:.3f} "
        f"| {errors.mean():.2f} (max {errors.max():.1f}) | {l5} | {stray} |"
    )


HEAD = (
    "| set | slices | bodies found (IoU > .5) | Dice | error of the ROI's mean SI, % | lowest body is L5 | stray |\n"
    "|---|---|---|---|---|---|---|"
)


def report(network: Network, folder: Path, t1: list[str], with_s1: list[str], reach_mm: float) -> str:
    """The Markdown table: T1 and T2, middle slices and all slices within `reach_mm`, then each volume."""
    paths = sorted(folder.glob("*.npz"))
    near = {path.stem: judge_volume(network, path, path.stem in with_s1, reach_mm) for path in paths}
    middle = {name: [results[len(results) // 2]] for name, results in near.items()}
    rows = [HEAD]
    for title, wanted in (("T1", True), ("T2 and others", False)):
        for what, sets in (("middle slice", middle), (f"within {reach_mm:.0f} mm", near)):
            chosen = [r for name, results in sets.items() if (name in t1) == wanted for r in results]
            if chosen:
                rows.append(table(f"{title}, {what}", chosen))
    rows += [table(f"{name}, within {reach_mm:.0f} mm", results) for name, results in near.items()]
    return "\n".join(rows)


def main(arguments: list[str]) -> None:
    layout = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(prog="training.evaluate", description=__doc__, formatter_class=layout)
    parser.add_argument("--volumes", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--t1", nargs="*", default=["vb1-10"])
    parser.add_argument("--with-s1", nargs="*", default=["vb1-10", "vb1-11", "vb1-16"])
    parser.add_argument("--drawn", type=int, default=0, help="also measure on this many drawn slices")
    parser.add_argument("--reach-mm", type=float, default=5.0)
    parser.add_argument(
        "--out", type=Path, help="a Markdown file whose part below the line '<!-- table -->' is replaced"
    )
    a = parser.parse_args(arguments)
    network = load_network(a.weights)
    text = report(network, a.volumes, a.t1, a.with_s1, a.reach_mm)
    if a.drawn:
        text += "\n\n" + drawn_table(network, a.drawn)
    print(text)
    if a.out:
        before = a.out.read_text().split("<!-- table -->")[0] if a.out.exists() else "# Evaluation\n\n"
        a.out.write_text(f"{before}<!-- table -->\n\n{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
