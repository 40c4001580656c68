"""Smooth outlines: the few curves that the anatomy is drawn with. Points are (x, y) in millimetres, shape (n, 2)."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

# Catmull-Rom basis: rows are the powers of t, columns the four control points.
_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)

_CORNERS = 10  # of a blob


def _densify(control: NDArray[np.float64], steps: int) -> Points:
    """Evaluate segments whose four control points are control[:, 0..3], shape (segments, 4, 2)."""
    t = np.arange(steps) / steps
    powers = np.stack([np.ones(steps), t, t**2, t**3], axis=1)
    dense: Points = np.einsum("tp,pc,scx->stx", powers, _CATMULL_ROM, control).reshape(-1, 2)
    return dense


def closed_curve(points: Points, steps: int = 5) -> Points:
    """A closed Catmull-Rom curve through the points: (n * steps, 2)."""
    control = np.stack([np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2)], axis=1)
    return _densify(control, steps)


def open_curve(points: Points, steps: int = 5) -> Points:
    """An open Catmull-Rom curve from the first point to the last: ((n - 1) * steps + 1, 2)."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    segments = np.stack([padded[start : len(points) - 1 + start] for start in range(4)], axis=1)
    return np.concatenate([_densify(segments, steps), points[-1:]])


def ribbon(one_side: Points, other_side: Points) -> Points:
    """The outline of the band between two lines that run the same way."""
    return np.concatenate([one_side, other_side[::-1]])


def direction(angle_rad: float) -> Points:
    """Unit vector of an angle: 0 points posterior (right), positive turns it towards the head (up)."""
    return np.array([np.cos(angle_rad), -np.sin(angle_rad)])


def blob(
    rng: np.random.Generator,
    centre: Points,
    radii: tuple[float, float],
    angle_rad: float,
    irregularity: float = 0.15,
) -> Points:
    """An irregular ellipse; the first radius lies along `angle_rad`."""
    theta = np.arange(_CORNERS) * (2 * np.pi / _CORNERS)
    wobble = np.clip(1 + rng.normal(0, irregularity, _CORNERS), 0.5, 1.6)
    along, across = direction(angle_rad), direction(angle_rad + np.pi / 2)
    points = (radii[0] * wobble * np.cos(theta))[:, None] * along + (radii[1] * wobble * np.sin(theta))[
        :, None
    ] * across
    return closed_curve(centre + points)


def normals(line: Points) -> Points:
    """Unit normals of a line that runs from head to foot, pointing posterior (right)."""
    tangent = np.gradient(line, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    unit: Points = normal / (np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9)
    return unit
