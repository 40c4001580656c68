"""The spine in a stack: the network run on the slices near the middle, bodies numbered, canal found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.measurement import Level
from vbq.imaging.bodies import Body, find_bodies
from vbq.imaging.canal import Midline, find_midline, sac_thickness
from vbq.imaging.canonical import SagittalView, sagittal_view
from vbq.imaging.network import Network, Prediction
from vbq.imaging.numbering import Numbering, number_bodies
from vbq.imaging.volume import Slice

REACH_MM = 26.0  # the canal's half width, and how far off the first guess may be
LOOKS_APART_MM = 0.8  # where slices lie closer, as in a resampled volume, some are left out: time must have a bound
ENDS_BELOW = 0.30  # of the thickest sac: beyond, the canal has ended


@dataclass(frozen=True, eq=False)
class Spine:
    """What was found. Keys of `predictions` and `views` are places in the stack."""

    views: dict[int, SagittalView]
    predictions: dict[int, Prediction]
    numbering: Numbering
    bodies: list[Body]
    midline: Midline | None
    along_mm: NDArray[np.float64]
    best: int
    runner_up: int | None
    scores: dict[int, float]
    """Minus the distance (mm) from the sac's midline, mean over L1 to L4."""

    @property
    def levels(self) -> dict[Level, Body]:
        return self.numbering.levels


def find_spine(slices: Sequence[Slice], start: int, network: Network) -> Spine:
    """Look at slice `start` and its neighbours until the canal ends on both sides.

    Raises NotMeasurable where the field of view is not that of a lumbar study.
    """
    along = np.array([one.along_normal_mm for one in slices])
    apart = float(np.median(np.abs(np.diff(along)))) if len(slices) > 1 else LOOKS_APART_MM
    looker = _Looker(slices, network, stride=max(1, round(LOOKS_APART_MM / max(apart, 1e-3))))
    looker.look(start)
    for step in (-looker.stride, looker.stride):
        if 0 <= start + step < len(slices):
            looker.look(start + step)
    bodies = looker.bodies(start)
    near = start
    if len(bodies) >= 2:
        _to_the_ends_of_the_canal(looker, bodies, along, start)
    numbering, midline = looker.numbered(near, bodies), None
    for _ in range(3):
        midline = find_midline(looker.predictions, numbering.levels, along) if numbering.levels else None
        if midline is None or not midline.at_mm:
            midline = None
            break
        closest = _closest(along, looker.predictions, midline.mean_mm)
        if closest == near:
            break
        near = closest
        bodies = looker.bodies(near)
        numbering = looker.numbered(near, bodies)
    scores = _scores(along, looker.predictions, midline)
    ranked = sorted(scores, key=lambda k: -scores[k])
    best = ranked[0] if ranked else near
    return Spine(
        views=looker.views,
        predictions=looker.predictions,
        numbering=numbering,
        bodies=bodies,
        midline=midline,
        along_mm=along,
        best=best,
        runner_up=ranked[1] if len(ranked) > 1 else None,
        scores=scores,
    )


def _to_the_ends_of_the_canal(
    looker: "_Looker", bodies: Sequence[Body], along: NDArray[np.float64], start: int
) -> None:
    def thickness(k: int) -> float:
        values = [sac_thickness(looker.predictions[k], body) for body in bodies[-5:]]
        return float(np.percentile(values, 75))

    seen = {k: thickness(k) for k in looker.predictions}
    for step in (-looker.stride, looker.stride):
        k = start + step
        while 0 <= k < len(along) and abs(along[k] - along[start]) <= REACH_MM:
            if k not in looker.predictions:
                looker.look(k)
                seen[k] = thickness(k)
            if seen[k] < ENDS_BELOW * max(seen.values()):
                break
            k += step


class _Looker:
    """Runs the network once per slice; after the first slice only on the columns that hold the spine.

    `stride`: every how many slices it looks, counted from the first one.
    """

    def __init__(self, slices: Sequence[Slice], network: Network, *, stride: int) -> None:
        self._slices, self._network, self.stride = slices, network, stride
        self.views: dict[int, SagittalView] = {}
        self.predictions: dict[int, Prediction] = {}
        self._columns: tuple[float, float] | None = None

    def look(self, k: int) -> None:
        view = sagittal_view(self._slices[k])
        prediction = self._network.predict(view.pixels, view.spacing_mm, self._columns)
        if self._columns is None:
            self._columns = prediction.spine_columns_mm()
        self.views[k], self.predictions[k] = view, prediction

    def _mean(self, k: int) -> NDArray[np.float32]:
        """The map of slice k with a share of its neighbours': one slice's gap in a body does not count."""
        near = [(k, 2.0), *((other, 1.0) for other in (k - self.stride, k + self.stride) if other in self.predictions)]
        total = sum(weight for _, weight in near)
        mixed = sum(self.predictions[other].probabilities * np.float32(weight / total) for other, weight in near)
        return np.asarray(mixed, dtype=np.float32)

    def bodies(self, k: int) -> list[Body]:
        return find_bodies(self._mean(k), self.predictions[k].pixel_mm)

    def numbered(self, k: int, bodies: list[Body]) -> Numbering:
        return number_bodies(bodies, self._mean(k), self.predictions[k].pixel_mm)


def _closest(along: NDArray[np.float64], among: dict[int, Prediction], at_mm: float) -> int:
    return min(among, key=lambda k: abs(along[k] - at_mm))


def _scores(along: NDArray[np.float64], among: dict[int, Prediction], midline: Midline | None) -> dict[int, float]:
    if midline is None:
        return {}
    return {k: -abs(float(along[k]) - midline.mean_mm) for k in sorted(among)}
