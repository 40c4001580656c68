"""The automatic regions on real images, where the shared data is there: volumes with readers' outlines, study-a."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateways.dicom.study import open_study
from schemas.errors import NotMeasurable
from schemas.measurement import Level, Measurement
from training.evaluate import judge
from vbq.imaging.bodies import Body
from vbq.imaging.measure import measure
from vbq.imaging.network import Network
from vbq.imaging.numbering import FROM_BELOW
from vbq.imaging.spine import Spine, find_spine
from vbq.imaging.volume import Slice

T1 = ("vb1-10",)
WITH_S1 = ("vb1-10", "vb1-11", "vb1-16")
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
THICKNESS = 4  # mm: the volumes are at 1 mm, studies are not
SAME_BODY_MM = 9.0
Labels = NDArray[np.uint8]


def volumes_table(shared: Path, network: Network) -> str:
    """Levels against the readers' outlines, on slices of 4 mm made from the volumes."""
    lines = [
        (
            "| volume | bodies found (IoU > .5) | Dice | error of the ROI's mean SI, % | slice off the middle, mm "
            "| levels numbered right | said to be in doubt |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted((shared / "labelled" / "t1-t2-volumes").glob("*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            lines.append(_volume_row(path.stem, archive["image"], archive["label"], int(archive["mid"]), network))
    return "\n".join(lines) + "\n"


def thick_slices(image: NDArray[np.generic], middle: int, pixel_mm: float = 1.0) -> tuple[list[Slice], list[int]]:
    """Slices of 4 mm made from a volume (rows, columns, slices at 1 mm), one of them about `middle`; their starts."""
    first = middle % THICKNESS - THICKNESS // 2
    starts = [k for k in range(first, image.shape[2] - THICKNESS + 1, THICKNESS) if k >= 0]
    stack = [image[:, :, k : k + THICKNESS].mean(axis=2).astype(np.float32) for k in starts]
    slices = [
        Slice(f"2.25.3.{n}", pixels, (float(start), 0.0, 0.0), SAGITTAL, (pixel_mm, pixel_mm), n)
        for n, (start, pixels) in enumerate(zip(starts, stack, strict=True))
    ]
    return slices, starts


def _volume_row(name: str, image: Labels, label: Labels, middle: int, network: Network) -> str:
    slices, starts = thick_slices(image, middle)
    kind = "T1" if name in T1 else "T2 or TIRM"
    try:
        spine = find_spine(slices, len(slices) // 2, network)
    except NotMeasurable as error:
        return f"| {name} ({kind}) | not measurable: {error.detail} | | | | | |"
    at = min(starts[spine.best] + THICKNESS // 2, image.shape[2] - 1)
    truth = label[:, :, at]
    shown = spine.predictions[spine.best].labels_on_slice(*image.shape[:2])
    result = judge(image[:, :, at], truth, shown, pixel=(1.0, 1.0), has_s1=name in WITH_S1)
    roi = f"{np.mean(result.roi_errors_percent):.2f}" if result.roi_errors_percent else ""
    right, asked = _numbered(spine, truth, name)
    doubts = ", ".join(reason.code for reason in spine.numbering.unconfirmed) or "no"
    return (
        f"| {name} ({kind}) | {result.found} of {result.bodies} | {result.dice:.3f} | {roi} | {abs(at - middle)} "
        f"| {right} of {asked} | {doubts} |"
    )


def true_levels(label: Labels, name: str) -> dict[Level, int]:
    """The reader's number of each body from L5 up; the lowest labelled is S1 in some volumes, L5 in the others."""
    numbers = sorted(set(np.unique(label)) - {0}, key=lambda n: -float(np.nonzero(label == n)[0].mean()))
    return dict(zip(FROM_BELOW, numbers[name in WITH_S1 :], strict=False))


def _numbered(spine: Spine, truth: Labels, name: str) -> tuple[int, int]:
    """(right, all) of L1 to L5 by the reader's count."""
    wanted = {level: n for level, n in true_levels(truth, name).items() if level in FROM_BELOW[:5]}
    right = sum(level in spine.levels and _hits(spine.levels[level], truth == n) for level, n in wanted.items())
    return right, len(wanted)


def _hits(body: Body, mask: NDArray[np.bool_]) -> bool:
    rows, columns = np.nonzero(mask)
    return bool(np.hypot(rows.mean() + 0.5 - body.centre[0], columns.mean() + 0.5 - body.centre[1]) < SAME_BODY_MM)


def real_study_table(shared: Path, network: Network) -> str:
    """What the measurement says of the real T1 study; no reader's VBQ exists for it."""
    folder = shared / "mri" / "study-a"
    if not folder.is_dir():
        return ""
    files = open_study(folder)
    result = measure(files.study, files.load_pixels, None, network=network)
    return "\n".join(["", "study-a (one real T1 study; read by eye it is 1.65 to 2.05):", "", *_told(result), ""])


def _told(result: Measurement) -> list[str]:
    low, high = result.interval or (float("nan"), float("nan"))
    least, greatest = result.slice_range or (float("nan"), float("nan"))
    value = f"{result.vbq:.2f}" if result.vbq is not None else "none"
    flags = ", ".join(flag.code for flag in result.flags)
    csf = json.dumps({level: round(region.mean) for level, region in result.csf.items()})
    return [
        f"- status {result.status}, VBQ {value}, 95 % interval {low:.2f} to {high:.2f}",
        f"- over the chosen slice and its neighbours {least:.2f} to {greatest:.2f}",
        f"- CSF means {csf}; flags: {flags or 'none'}",
    ]
