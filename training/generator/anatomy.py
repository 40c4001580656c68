"""The shape of one lumbar spine in a sagittal slice, drawn at random: bodies, sacrum, discs, canal.

Millimetres; x grows towards the back (right), y towards the feet (down). Sizes follow published adult means
(vertebral depth 26-37 mm, height 20-30 mm, discs 5-12 mm, sac 10-17 mm) widened on purpose: what the network has
never seen it does not find.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from training.generator.curves import Points, closed_curve, direction, normals

S1, L5, L1 = 0, 1, 5
LEVELS = 11  # S1 up to T8: more than any field of view holds

# From S1 upward: tilt of the body (degrees, anterior end down), height and depth (mm), disc above it (mm).
_TILT = np.array([38, 17, 4, -5, -11, -13, -12, -9, -5, -1, 3], dtype=np.float64)
_HEIGHT = np.array([28, 27, 27.2, 27, 26.3, 25.3, 24, 22.5, 21.5, 20.7, 20])
_DEPTH = np.array([32, 35, 35, 34.5, 33.5, 32, 30.5, 29, 28, 27, 26])
_DISC = np.array([8.5, 9.8, 10, 9.3, 8.7, 7.8, 6.5, 5.5, 5, 4.6, 4.4])
# Turn of each sacral segment against the one above it (degrees): back first, then forward again.
_SACRAL_TURN = ((-2, 16), (-8, 14), (-20, 6), (-30, 0))
# Posterior over anterior height: L5 is a wedge, L4 a slight one.
_POSTERIOR_SHARE = {L5: (0.75, 1.0), 2: (0.88, 1.02)}


@dataclass(frozen=True, eq=False)
class Body:
    """One vertebral body or sacral segment. `outline` is local: first column posterior, second up, in mm."""

    level: int  # 0 = S1, 1 = L5 ... 5 = L1, 6 = T12; negative for S2 and below
    centre: Points
    posterior: Points
    up: Points
    height_mm: float
    depth_mm: float
    outline: Points

    def to_slice(self, local: Points) -> Points:
        """Local (posterior, up) coordinates to slice coordinates."""
        return self.centre + local[..., :1] * self.posterior + local[..., 1:] * self.up

    def corner(self, side: int, end: int) -> Points:
        """A corner of the body: side -1 anterior, +1 posterior; end -1 lower, +1 upper."""
        return self.to_slice(np.array([side * self.depth_mm / 2, end * self.height_mm / 2]))


@dataclass(frozen=True, eq=False)
class Disc:
    lower: Body
    upper: Body
    anterior_bulge_mm: float
    posterior_bulge_mm: float
    nucleus: float  # share of the depth that the nucleus takes
    degenerated: bool
    reach: float = 1.0  # share of the bodies' depth that it spans; less where two bodies have grown together


@dataclass(frozen=True)
class Transition:
    """What the lumbosacral junction is drawn like, and which answer is right.

    A squared body over a disc of the full depth counts as a vertebra, a narrowing one over a remnant as sacrum
    (types 4 and 1 to 3 of O'Driscoll et al., Skeletal Radiol 1996;25:225-230; the readers of SPIDER, too, leave S1
    out where a remnant lies below it). Where one sign speaks for either, either answer is allowed.
    """

    kind: str = ""  # "sacralised" (L5 joins the sacrum), "lumbarised" (S1 leaves it) or neither
    doubtful: bool = False  # either answer is right for the transitional body
    taper: float = 1.0  # of the transitional body, else of S1: 1 narrows downwards as sacral segments do, 0 is square
    reach: float = 1.0  # of the disc below a sacralised L5
    disc_mm: float = 0.0  # of the disc below the transitional body
    turn_deg: float = 0.0  # tilt of S1 over that of a sacralised L5

    @property
    def s1_is_free(self) -> bool:
        """S1 is a vertebra with a disc below it."""
        return self.kind == "lumbarised" and not self.doubtful


@dataclass(frozen=True, eq=False)
class Spine:
    bodies: tuple[Body, ...]  # S1 first, upward
    sacral: tuple[Body, ...]  # S2 downward
    discs: tuple[Disc, ...]  # L5-S1 first (S1-S2 where S1 is free), upward
    front: Points  # the canal's anterior wall, head to foot
    rear: Points  # the canal's posterior wall, same stations
    lateral_mm: Points  # distance of the slice from the midline at each station of `front`; shape (n,)
    levels: Points  # fractional level at each station; shape (n,)
    transition: Transition
    sacral_disc_mm: float
    scale: float


def draw_transition(kind: str, rng: np.random.Generator) -> Transition:
    """The junction of one spine; `rng` is its own, so that spines of other kinds stay as they were."""
    share = rng.random()
    if not kind:  # a square S1 without a disc below it is sacrum
        return Transition(taper=rng.uniform(0.1, 0.5) if share < 0.12 else 1.0)
    if kind == "lumbarised":
        clear = share < 0.65
        taper = rng.uniform(0, 0.3) if clear else 1.0
        return Transition(kind, not clear, taper, disc_mm=rng.uniform(3, 9) if clear else rng.uniform(4, 8))
    turn = rng.uniform(-2, 16)
    if share < 0.6:
        return Transition(kind, False, 0.0, rng.uniform(0.9, 1.0), rng.uniform(2, 6.5), turn)
    if share < 0.8:
        return Transition(kind, True, 0.0, rng.uniform(0.6, 0.85), rng.uniform(1.5, 4), turn)
    return Transition(kind, True, rng.uniform(0.5, 1), rng.uniform(0.3, 0.6), rng.uniform(0.6, 2), turn)  # merged


def body_outline(rng: np.random.Generator, level: int, height: float, depth: float, narrowing: float = 0.0) -> Points:
    """Local outline of a body with waists, concave or broken endplates and osteophytes; closed, dense.

    `narrowing` is 1 for segments of the sacrum, which narrow downwards, and 0 for vertebrae.
    """
    sacral = level <= S1
    h, d = height / 2, depth / 2
    waist_front, waist_back = np.abs(rng.normal(0.08, 0.04)) * d, np.abs(rng.normal(0.05, 0.04)) * d
    sink_low, sink_high = np.abs(rng.normal(0.05, 0.06, 2)) * h
    front, back = np.clip(1 + rng.normal(0, 0.035, 2), 0.88, 1.1)
    if level in _POSTERIOR_SHARE:
        back *= rng.uniform(*_POSTERIOR_SHARE[level])
    if not sacral:
        if rng.random() < 0.07:  # wedge
            front *= rng.uniform(0.55, 0.9)
        if rng.random() < 0.03:
            back *= rng.uniform(0.7, 0.95)
        if rng.random() < 0.08:  # biconcave or one broken endplate
            sink_low += rng.uniform(0.1, 0.45) * h
        if rng.random() < 0.08:
            sink_high += rng.uniform(0.1, 0.45) * h
    drop = rng.uniform(0, 1)  # which endplate a wedge comes from
    top_front, bottom_front = h - 2 * h * (1 - front) * drop, -h + 2 * h * (1 - front) * (1 - drop)
    top_back, bottom_back = h - 2 * h * (1 - back) * drop, -h + 2 * h * (1 - back) * (1 - drop)
    spur = np.where(rng.random(4) < 0.25, rng.uniform(0, 4.0, 4), np.clip(rng.normal(0, 0.7, 4), -1.2, 1.5))
    skew = rng.uniform(-0.3, 0.3, 2) * d

    def endplate(at_front: float, at_back: float, sink: float, sign: int, shift: float) -> Points:
        x = np.array([-0.62, -0.25, 0.2, 0.62]) * d + shift * np.array([0.2, 1, 1, 0.2])
        straight = np.interp(x, [-d, d], [at_front, at_back])
        depth_at = 1 - np.clip(np.abs(x - shift) / d, 0, 1) ** 2.2
        return np.stack([x, straight - sign * sink * depth_at], axis=1)

    top = endplate(top_front, top_back, sink_high, 1, skew[0])
    bottom = endplate(bottom_front, bottom_back, sink_low, -1, skew[1])
    points = np.concatenate(
        [
            [[-d - spur[0], top_front - 0.04 * h]],
            top,
            [[d + spur[1] * 0.5, top_back - 0.04 * h]],
            [[d - waist_back, top_back - 0.5 * h], [d - waist_back, bottom_back + 0.5 * h]],
            [[d + spur[2] * 0.5, bottom_back + 0.04 * h]],
            bottom[::-1],
            [[-d - spur[3], bottom_front + 0.04 * h]],
            [[-d + waist_front, bottom_front + 0.5 * h], [-d + waist_front, top_front - 0.5 * h]],
        ]
    )
    if sacral or narrowing:  # at the front more than at the back
        taper = narrowing * (h - points[:, 1]) / (2 * h) * rng.uniform(0.08, 0.3) * depth
        points[:, 0] += taper * np.where(points[:, 0] < 0, 1.0, -rng.uniform(0, 0.3))
    return closed_curve(points)


def _stack_bodies(
    rng: np.random.Generator, start: Points, scale: float, transition: Transition
) -> list[tuple[Body, float]]:
    """Bodies from S1 upward, each with the height of the disc above it."""
    lordosis = rng.uniform(0.2, 1.35)
    tilt = _TILT * lordosis + rng.uniform(-9, 9) + np.cumsum(rng.normal(0, 1.4, LEVELS)) + rng.normal(0, 1.2, LEVELS)
    tilt[:3] += rng.uniform(-1, 1, 3) * [12, 10, 5]  # the lumbosacral angle varies most
    tilt[5:] -= np.arange(6) * rng.uniform(-2.5, 1.0) * (rng.random() < 0.3)  # thoracolumbar kyphosis
    height = _HEIGHT * scale * (1 + rng.normal(0, 0.035, LEVELS))
    depth = _DEPTH * scale * rng.uniform(0.9, 1.12) * (1 + rng.normal(0, 0.03, LEVELS))
    disc = _DISC * scale * rng.uniform(0.7, 1.2) * np.clip(1 + rng.normal(0, 0.18, LEVELS), 0.3, 1.5)
    disc[:6] *= np.where(rng.random(6) < 0.16, rng.uniform(0.15, 0.6, 6), 1.0)
    crush = rng.random(LEVELS) < 0.03
    crush[S1] = False
    height = np.where(crush, height * rng.uniform(0.45, 0.8, LEVELS), height)
    slip = np.where(rng.random(LEVELS) < 0.05, rng.uniform(2, 10, LEVELS), 0.0) * rng.choice([1, 1, 1, -0.6], LEVELS)
    slip[[S1, *range(L1, LEVELS)]] = 0
    if transition.kind == "sacralised":
        disc[0] = transition.disc_mm
        tilt[1] = tilt[0] - transition.turn_deg
    stacked: list[tuple[Body, float]] = []
    centre = start
    for level in range(LEVELS):
        angle = np.deg2rad(tilt[level])
        posterior, up = direction(angle), direction(angle + np.pi / 2)
        if stacked:
            below, gap = stacked[-1]
            middle = below.up + up
            middle /= np.linalg.norm(middle)
            centre = below.centre + below.up * below.height_mm / 2 + middle * gap + up * height[level] / 2
            centre = centre - posterior * slip[level]
        narrowing = transition.taper if level == (L5 if transition.kind == "sacralised" else S1) else float(level == S1)
        outline = body_outline(rng, level, height[level], depth[level], narrowing)
        stacked.append((Body(level, centre, posterior, up, height[level], depth[level], outline), disc[level]))
    return stacked


def _sacral_segments(rng: np.random.Generator, first: Body, tilt_rad: float, gap_mm: float) -> list[Body]:
    """S2 to S5 below S1, curving back."""
    segments: list[Body] = []
    above, angle = first, tilt_rad
    for step in range(1, 5):
        angle += np.deg2rad(rng.uniform(*_SACRAL_TURN[step - 1]))
        posterior, up = direction(angle), direction(angle + np.pi / 2)
        height, depth = first.height_mm * (1 - 0.12 * step), first.depth_mm * (1 - 0.19 * step)
        centre = above.centre - above.up * above.height_mm / 2 - up * (height / 2 + gap_mm * (1 - 0.2 * step))
        centre = centre + posterior * (above.depth_mm - depth) / 2 * rng.uniform(0.2, 0.7)
        above = Body(-step, centre, posterior, up, height, depth, body_outline(rng, -step, height, depth, 1.0))
        segments.append(above)
    return segments


def _lateral_offsets(rng: np.random.Generator, levels: Points) -> Points:
    """How far the slice lies beside the midline at each level: mostly near it, sometimes a scoliotic sweep."""
    kind = rng.random()
    if kind < 0.62:
        base = rng.normal(0, 1.8)
    elif kind < 0.85:
        base = rng.uniform(3, 9)
    else:
        base = rng.uniform(8, 17)
    sweep = rng.normal(0, 0.35) if rng.random() < 0.75 else rng.uniform(-3, 3)
    bow = 0.0 if rng.random() < 0.75 else rng.uniform(0, 8)
    x = base + sweep * (levels - 3) + bow * np.sin(levels / rng.uniform(1.5, 4) + rng.uniform(0, 6))
    return np.abs(x)


def draw_spine(rng: np.random.Generator, start: Points) -> Spine:
    """A spine whose S1 lies at `start` (mm)."""
    scale = rng.uniform(0.85, 1.15)
    kind = str(rng.choice(["", "sacralised", "lumbarised"], p=[0.84, 0.09, 0.07]))
    transition = draw_transition(kind, rng.spawn(1)[0])
    stacked = _stack_bodies(rng, start, scale, transition)
    bodies = [body for body, _ in stacked]
    first = bodies[S1]
    sacral_disc = transition.disc_mm if kind == "lumbarised" else rng.choice([0.0, rng.uniform(0.8, 4.2)], p=[0.2, 0.8])
    tilt = float(np.arctan2(-first.posterior[1], first.posterior[0]))
    sacral = _sacral_segments(rng, first, tilt, float(sacral_disc))
    discs = [
        Disc(
            lower,
            upper,
            anterior_bulge_mm=rng.uniform(-1.5, 3.0),
            posterior_bulge_mm=rng.uniform(-1.5, 2.0) + (rng.uniform(1, 5) if rng.random() < 0.15 else 0),
            nucleus=rng.uniform(0.5, 0.8),
            degenerated=bool(rng.random() < 0.35),
            reach=transition.reach if lower.level == S1 else 1.0,
        )
        for lower, upper in pairwise([*sacral[: int(transition.s1_is_free)], *bodies])
    ]
    gap = rng.uniform(0.3, 1.5)
    chain = [*bodies[::-1], *sacral[:2]]
    front = np.concatenate(
        [
            np.stack(
                [one.to_slice(np.array([one.depth_mm / 2 + gap, share * one.height_mm])) for share in (0.35, -0.35)]
            )
            for one in chain
        ]
    )
    levels = np.repeat([float(one.level) for one in chain], 2) + np.tile([0.25, -0.25], len(chain))
    width = np.full(len(front), rng.uniform(13, 21) * scale) * (1 + rng.normal(0, 0.06, len(front)))
    width *= np.clip(1 + 0.03 * (levels - 3) * rng.uniform(-1, 1), 0.8, 1.2)
    if rng.random() < 0.4:  # stenosis
        at = rng.integers(8, len(front) - 6)
        width[at : at + 2] *= rng.uniform(0.4, 0.85)
    width[-5:] *= np.array([0.9, 0.75, 0.55, 0.35, 0.15])
    rear = front + normals(front) * width[:, None]
    lateral = _lateral_offsets(rng, levels)
    return Spine(
        tuple(bodies),
        tuple(sacral),
        tuple(discs),
        front,
        rear,
        lateral,
        levels,
        transition,
        float(sacral_disc),
        scale,
    )
