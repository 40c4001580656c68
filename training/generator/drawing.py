"""Paint a spine and its surroundings, back to front, into maps of tissues, of bodies and of what fills the sac."""

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
from numpy.typing import NDArray

from training.generator.anatomy import L1, L5, S1, Body, Spine
from training.generator.canvas import Canvas
from training.generator.curves import Points, blob, closed_curve, normals, open_curve, ribbon


class Tissue(IntEnum):
    AIR = 0
    SUBCUTANEOUS = auto()
    SOFT = auto()
    MUSCLE = auto()
    RETROPERITONEAL_FAT = auto()
    BOWEL = auto()
    ORGAN = auto()
    FLUID = auto()
    VESSEL = auto()
    INTERSPINOUS = auto()
    CORTEX = auto()
    POSTERIOR_MARROW = auto()
    LIGAMENT = auto()
    EPIDURAL_FAT = auto()
    DURA = auto()
    SAC = auto()
    NERVE = auto()  # a root in its foramen
    ANNULUS = auto()
    NUCLEUS = auto()
    SACRAL_DISC = auto()
    MARROW = auto()
    SACRAL_MARROW = auto()
    VOID = auto()


@dataclass(frozen=True, eq=False)
class Maps:
    """What lies at each pixel of the fine canvas; all (side, side)."""

    tissue: NDArray[np.uint8]  # Tissue
    owner: NDArray[np.uint8]  # 0, or 1 + level for S1 and above, 100 + n for sacral segments: marrow and cortex alike
    canal: NDArray[np.bool_]  # inside the bony canal: sac, epidural fat, ligament
    disc: NDArray[np.bool_]
    nervous: NDArray[np.float32]  # share of conus or roots in the sac, 0-1
    skin_x_mm: Points  # the back's skin at each row; (side,)


def _outlook(rng: np.random.Generator, spine: Spine, size_mm: float) -> tuple[Points, Points, Points, Points]:
    """Rows, and along them the posterior wall, the anterior wall and the skin of the back (x, mm)."""
    rows = np.linspace(-25, size_mm + 25, 11)
    chain = [*spine.bodies[::-1], *spine.sacral]
    centres = np.array([one.centre for one in chain])
    behind = np.array([one.to_slice(np.array([one.depth_mm / 2, 0])) for one in chain])
    ahead = np.array([one.to_slice(np.array([-one.depth_mm / 2, 0])) for one in chain])
    order = np.argsort(centres[:, 1])
    wall = np.interp(rows, centres[order, 1], behind[order, 0])
    front = np.interp(rows, centres[order, 1], ahead[order, 0])
    smooth = np.convolve(np.pad(wall, 1, mode="edge"), np.ones(3) / 3, mode="valid")
    skin = smooth + rng.uniform(52, 110) + np.cumsum(rng.normal(0, 2.5, len(rows)))
    return rows, wall, front, np.maximum(skin, wall + 35)


def _surroundings(rng: np.random.Generator, canvas: Canvas, spine: Spine, size_mm: float) -> Points:
    """Trunk, fat, muscle, abdomen; returns the skin of the back as (n, 2) points."""
    rows, wall, front, skin = _outlook(rng, spine, size_mm)
    belly = wall - rng.uniform(95, 220) + np.cumsum(rng.normal(0, 4, len(rows)))

    def band(left: Points, right: Points, tissue: Tissue) -> None:
        outline = ribbon(np.stack([left, rows], 1), np.stack([right, rows], 1))
        canvas.fill(outline, tissue)

    def at(n: float) -> Points:
        return n + rng.normal(0, 2.5, len(rows))

    fat = np.clip(at(rng.uniform(4, 45)), 2, 48)
    band(belly, skin, Tissue.SUBCUTANEOUS)
    band(belly + np.clip(at(rng.uniform(4, 45)), 2, 60), skin - fat, Tissue.SOFT)
    band(wall - 3, skin - fat - rng.uniform(0, 3), Tissue.MUSCLE)
    if rng.random() < 0.6:  # fat planes within the back muscles
        for _ in range(rng.integers(2, 14)):
            y = rng.uniform(0, size_mm)
            x = np.interp(y, rows, wall) + rng.uniform(15, 60)
            tissue = Tissue.RETROPERITONEAL_FAT if rng.random() < 0.7 else Tissue.INTERSPINOUS
            canvas.fill(
                blob(rng, np.array([x, y]), (rng.uniform(4, 26), rng.uniform(0.8, 4)), rng.uniform(1, 2.1), 0.2), tissue
            )
    band(np.minimum(front - at(rng.uniform(2, 60)), wall), wall, Tissue.RETROPERITONEAL_FAT)
    kinds = [Tissue.BOWEL, Tissue.ORGAN, Tissue.FLUID, Tissue.RETROPERITONEAL_FAT, Tissue.SOFT, Tissue.AIR]
    for _ in range(rng.integers(2, 16)):
        tissue = kinds[rng.choice(6, p=[0.3, 0.25, 0.1, 0.15, 0.15, 0.05])]
        y = rng.uniform(0, size_mm)
        x = np.interp(y, rows, front) - rng.uniform(5, 130)
        canvas.fill(
            blob(rng, np.array([x, y]), (rng.uniform(4, 38), rng.uniform(4, 38)), rng.uniform(0, 3), 0.25), tissue
        )
    _pelvis(rng, canvas, spine)
    if rng.random() < 0.65:  # aorta or vena cava along the spine
        for _ in range(rng.integers(1, 3)):
            away, width = rng.uniform(2, 16), rng.uniform(5, 22)
            shown = (rows > rng.uniform(-30, 60)) & (rows < rng.uniform(120, 230))
            if shown.sum() >= 2:
                right = np.stack([front - away, rows], 1)[shown]
                canvas.fill(ribbon(right - np.array([width, 0]), right), Tissue.VESSEL)
    return np.stack([skin, rows], axis=1)


def _pelvis(rng: np.random.Generator, canvas: Canvas, spine: Spine) -> None:
    """In front of the sacrum: fat, and in it hollow organs with walls (rectum, bladder, uterus)."""
    first = spine.bodies[S1]
    if rng.random() < 0.6:
        for one in spine.sacral[: rng.integers(1, 5)]:
            reach = rng.uniform(8, 30)
            centre = one.centre - one.posterior * (one.depth_mm / 2 + reach * rng.uniform(0.2, 0.8))
            canvas.fill(blob(rng, centre, (reach, one.height_mm * 0.9), 0.0, 0.15), Tissue.RETROPERITONEAL_FAT)
    contents = [Tissue.BOWEL, Tissue.ORGAN, Tissue.FLUID, Tissue.SOFT, Tissue.AIR, Tissue.RETROPERITONEAL_FAT]
    walls = [Tissue.MUSCLE, Tissue.CORTEX, Tissue.SOFT, Tissue.LIGAMENT]
    for _ in range(rng.integers(0, 6)):
        centre = first.centre + np.array([rng.uniform(-80, 18), rng.uniform(25, 100)])
        outline = blob(rng, centre, (rng.uniform(7, 36), rng.uniform(7, 30)), rng.uniform(0, 3), 0.12)
        canvas.fill(outline, walls[rng.integers(4)])
        inner = centre + (outline - centre) * rng.uniform(0.7, 0.95)
        canvas.fill(inner, contents[rng.choice(6, p=[0.3, 0.25, 0.15, 0.15, 0.1, 0.05])])


def _posterior_elements(rng: np.random.Generator, canvas: Canvas, spine: Spine) -> None:
    """Spinous processes near the midline, laminae and facets beside it, with what lies between."""
    for body in spine.bodies[1:]:
        at = int(np.argmin(np.abs(spine.levels - body.level)))
        wall, lateral = spine.rear[at], spine.lateral_mm[at]
        down = -body.up
        midline = lateral < rng.uniform(3, 6)
        length = (rng.uniform(10, 17) if midline else rng.uniform(4, 9)) * spine.scale
        thick = (rng.uniform(5, 10) if midline else rng.uniform(5, 9)) * spine.scale
        droop = rng.uniform(-0.1, 0.7) + (0.4 if body.level > L1 else 0.0)
        if not midline:
            _facets(rng, canvas, spine, body, wall)
        start = wall + body.posterior * (length + rng.uniform(1, 4)) + down * rng.uniform(4, 13)
        angle = float(np.arctan2(-body.posterior[1], body.posterior[0])) - droop
        between = wall + body.posterior * rng.uniform(6, 16) - down * rng.uniform(2, 10)
        if rng.random() < 0.75:
            tissue = Tissue.INTERSPINOUS if rng.random() < 0.6 else Tissue.RETROPERITONEAL_FAT
            canvas.fill(
                blob(rng, between, (length * rng.uniform(0.6, 1), thick * rng.uniform(0.4, 0.8)), angle, 0.2), tissue
            )
        shape = blob(rng, start, (length, thick), angle, 0.14)
        rim = 1 + rng.uniform(0.5, 1.4) / thick
        canvas.fill(start + (shape - start) * rim, Tissue.CORTEX)
        canvas.fill(shape, Tissue.POSTERIOR_MARROW)


def _facets(rng: np.random.Generator, canvas: Canvas, spine: Spine, body: Body, wall: Points) -> None:
    """Beside the midline: two articular processes behind the canal with the joint between them, in fat."""
    down = -body.up
    slant = float(np.arctan2(-body.up[1], body.up[0])) + rng.uniform(-0.5, 0.2)
    around = wall + body.posterior * rng.uniform(4, 12) + down * rng.uniform(0, 8)
    if rng.random() < 0.6:
        size = (rng.uniform(8, 18), rng.uniform(5, 11))
        canvas.fill(blob(rng, around, size, slant, 0.25), Tissue.RETROPERITONEAL_FAT)
    for step in (rng.uniform(0, 3), rng.uniform(7, 11)):
        centre = wall + body.posterior * step * spine.scale + down * (rng.uniform(2, 9) + step)
        shape = blob(rng, centre, (rng.uniform(6, 12), rng.uniform(2.5, 5)), slant, 0.15)
        canvas.fill(centre + (shape - centre) * rng.uniform(1.15, 1.45), Tissue.CORTEX)
        canvas.fill(shape, Tissue.POSTERIOR_MARROW)


def _canal(rng: np.random.Generator, canvas: Canvas, sac: Canvas, spine: Spine) -> tuple[Points, Points]:
    """Epidural fat, ligament, dura and sac; returns the sac's front and rear lines."""
    normal = normals(spine.front)
    width = np.linalg.norm(spine.rear - spine.front, axis=1)
    half = rng.uniform(8.5, 12) * spine.scale  # half the sac's transverse width
    chord = np.sqrt(np.clip(1 - (spine.lateral_mm / half) ** 2, 0, 1))
    anterior = rng.uniform(0.3, 2.0) + rng.uniform(0, 5) * np.clip(1 - spine.levels, 0, 2) / 2 * rng.uniform(0, 2)
    posterior = np.clip(rng.uniform(0, 1.5) + rng.uniform(0, 4.5) * (rng.random(len(width)) < 0.5), 0, 0.4 * width)
    clear = np.clip(width - anterior - posterior, 0, None)
    depth = clear * chord
    front = spine.front + normal * (anterior + (clear - depth) / 2)[:, None]
    rear = front + normal * depth[:, None]
    front_dense, rear_dense = open_curve(front), open_curve(rear)
    open_sac = np.linalg.norm(rear_dense - front_dense, axis=1) > 1.5
    wall_front, wall_rear = open_curve(spine.front), open_curve(spine.rear)
    canvas.fill(
        ribbon(wall_front - 0.7 * normals(wall_front), wall_rear + rng.uniform(0.3, 3) * normals(wall_rear)),
        Tissue.LIGAMENT,
    )
    fat_share = rng.uniform(0, 1)
    fat = ribbon(wall_front + 0.5 * normals(wall_front), wall_rear - 0.3 * normals(wall_rear))
    canvas.fill(fat, Tissue.EPIDURAL_FAT if rng.random() < 0.7 else Tissue.LIGAMENT)
    for n in range(len(spine.front)):
        if rng.random() < fat_share:
            size = (rng.uniform(3, 10), rng.uniform(1, 3.5))
            angle = float(np.arctan2(-normal[n, 1], normal[n, 0])) + np.pi / 2
            canvas.fill(blob(rng, rear[n] + normal[n] * rng.uniform(0, 2), size, angle, 0.2), Tissue.EPIDURAL_FAT)
    dura = rng.uniform(0.3, 1.0)
    for first, last in _runs(open_sac):
        line_front, line_rear = front_dense[first:last], rear_dense[first:last]
        lining = normals(line_front) * dura
        canvas.fill(ribbon(line_front - lining, line_rear + lining), Tissue.DURA)
        canvas.fill(ribbon(line_front, line_rear), Tissue.SAC)
        sac.fill(ribbon(line_front, line_rear), 1)
    return front_dense, rear_dense


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, last) of every run of at least two True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 2]


def _nervous(rng: np.random.Generator, canvas: Canvas, spine: Spine, front: Points, rear: Points) -> None:
    """The conus down to about L1-L2 and the roots below it, drawn into the sac as shares of 255."""
    stations = np.interp(np.linspace(0, 1, len(front)), np.linspace(0, 1, len(spine.levels)), spine.levels)
    tip = rng.normal(L1 - 0.3, 0.8)
    side = front + (rear - front) * 0.5
    across = rear - front
    lateral = np.interp(np.linspace(0, 1, len(front)), np.linspace(0, 1, len(spine.levels)), spine.lateral_mm)
    rise = np.clip((stations - tip) / rng.uniform(0.5, 1.6), 0, 1) ** 0.6
    rise = rise * np.clip(1.2 - lateral / 6, 0, 1)
    centre = side + across * rng.uniform(-0.1, 0.18)
    half = across * (rng.uniform(0.17, 0.29) * rise)[:, None]
    for first, last in _runs(rise > 0.05):
        canvas.fill(ribbon((centre - half)[first:last], (centre + half)[first:last]), 255)
    below = np.flatnonzero(stations < tip + 1.0)
    if len(below) < 6:
        return
    settled = rng.uniform(0.0, 1.0)  # lying on the back the roots settle behind
    count = rng.integers(2, 10) if rng.random() < 0.75 else rng.integers(10, 28)
    for strength in np.sort(rng.uniform(50, 255, count)):
        start = rng.uniform(0.1, 0.9) * (1 - settled) + rng.uniform(0.55, 0.95) * settled
        drift = np.cumsum(rng.normal(0, 0.012, len(below))) + rng.normal(0, 0.12) * np.linspace(0, 1, len(below))
        share = np.clip(start + drift, 0.04, 0.96)
        line = front[below] + across[below] * share[:, None]
        stop = len(below) if rng.random() < 0.6 else rng.integers(5, len(below))
        canvas.stroke(line[:stop], int(strength), int(rng.choice([1, 2, 3], p=[0.45, 0.4, 0.15])))


def _foramina(rng: np.random.Generator, canvas: Canvas, spine: Spine) -> None:
    """Beside the sac: pedicles behind the upper half of each body, fat and a root between them."""
    edge = rng.uniform(9.5, 13) * spine.scale
    normal = normals(spine.front)
    for body in spine.bodies[1:]:
        at = int(np.argmin(np.abs(spine.levels - body.level)))
        if spine.lateral_mm[at] < edge:
            continue
        centre = body.to_slice(np.array([body.depth_mm / 2 + 7, body.height_mm * 0.22]))
        angle = float(np.arctan2(-body.posterior[1], body.posterior[0]))
        pedicle = blob(rng, centre, (rng.uniform(10, 14), body.height_mm * rng.uniform(0.2, 0.3)), angle, 0.08)
        canvas.fill(centre + (pedicle - centre) * 1.12, Tissue.CORTEX)
        canvas.fill(pedicle, Tissue.POSTERIOR_MARROW)
        if rng.random() < 0.8:
            root = spine.front[at] + normal[at] * rng.uniform(4, 9) - body.up * body.height_mm * rng.uniform(0.3, 0.5)
            canvas.fill(blob(rng, root, (rng.uniform(2, 4), rng.uniform(1.5, 3)), angle, 0.15), Tissue.NERVE)


def _discs(rng: np.random.Generator, canvas: Canvas, disc_only: Canvas, spine: Spine) -> None:
    for one in spine.discs:
        low, high = one.lower, one.upper

        def rim(body: Body, side: int, end: int, reach: float = one.reach) -> Points:
            return body.to_slice(np.array([reach * side * body.depth_mm / 2, end * body.height_mm / 2]))

        def corner(body: Body, side: int, end: int) -> Points:
            return rim(body, side, end) - end * body.up * 1.5  # it reaches under the body's rim, which is drawn over it

        back = (rim(low, 1, 1) + rim(high, 1, -1)) / 2 + low.posterior * one.posterior_bulge_mm * one.reach
        ahead = (rim(low, -1, 1) + rim(high, -1, -1)) / 2 - low.posterior * one.anterior_bulge_mm * one.reach
        deep = 0.28
        points = np.array(
            [
                corner(low, -1, 1),
                ahead,
                corner(high, -1, -1),
                high.to_slice(np.array([0, -high.height_mm * (0.5 - deep)])),
                corner(high, 1, -1),
                back,
                corner(low, 1, 1),
                low.to_slice(np.array([0, low.height_mm * (0.5 - deep)])),
            ]
        )
        outline = closed_curve(points)
        canvas.fill(outline, Tissue.ANNULUS)
        disc_only.fill(outline, 1)
        centre = points.mean(axis=0)
        if not one.degenerated or rng.random() < 0.4:
            canvas.fill(centre + (outline - centre) * one.nucleus, Tissue.NUCLEUS)


def _bodies(rng: np.random.Generator, canvas: Canvas, owner: Canvas, disc_only: Canvas, spine: Spine) -> None:
    cortex = rng.uniform(0.3, 1.4)
    free = S1 if spine.transition.s1_is_free else L5
    for one in spine.sacral:
        outline = one.to_slice(one.outline)
        canvas.fill(outline, Tissue.CORTEX)
        owner.fill(outline, 100 - one.level)
        disc_only.fill(outline, 0)
        canvas.fill(one.to_slice(_shrunk(one, cortex * rng.uniform(0.3, 1))), Tissue.SACRAL_MARROW)
    for one in spine.bodies:
        outline = one.to_slice(one.outline)
        canvas.fill(outline, Tissue.CORTEX)
        owner.fill(outline, 1 + one.level)
        disc_only.fill(outline, 0)
        canvas.fill(one.to_slice(_shrunk(one, cortex)), Tissue.SACRAL_MARROW if one.level < free else Tissue.MARROW)
        if one.level > S1 and rng.random() < 0.06:  # Schmorl: disc tissue through the endplate, still inside the body
            end = rng.choice([-1, 1])
            at = np.array([rng.uniform(-0.25, 0.25) * one.depth_mm, end * one.height_mm * rng.uniform(0.36, 0.46)])
            radius = rng.uniform(2, 5)
            centre = one.to_slice(at)
            node = blob(rng, centre, (radius * 1.3, radius), 0.0, 0.15)
            canvas.fill(centre + (node - centre) * 1.3, Tissue.CORTEX)
            canvas.fill(node, Tissue.ANNULUS)


def _shrunk(body: Body, by_mm: float) -> Points:
    """The local outline drawn in by about `by_mm` on every side."""
    factor = np.array([1 - 2 * by_mm / body.depth_mm, 1 - 2 * by_mm / body.height_mm])
    shrunk: Points = body.outline * factor
    return shrunk


def draw_maps(rng: np.random.Generator, spine: Spine, side: int, pixel_mm: float) -> Maps:
    """All maps of a spine on a canvas of `side` pixels of `pixel_mm`."""
    canvas, owner, disc, sac, nervous = (Canvas(side, pixel_mm) for _ in range(5))
    skin = _surroundings(rng, canvas, spine, side * pixel_mm)
    _posterior_elements(rng, canvas, spine)
    front, rear = _canal(rng, canvas, sac, spine)
    lit = canvas.array()
    _nervous(rng, nervous, spine, front, rear)
    _foramina(rng, canvas, spine)
    canal_tissue = np.isin(lit, [Tissue.EPIDURAL_FAT, Tissue.DURA, Tissue.SAC])
    # the sacrum's rudimentary discs show as a band between its segments; below a free S1 lies a true one
    for one in spine.sacral[int(spine.transition.s1_is_free) : 3]:
        reach = one.to_slice(
            np.array([[-0.4, 0.3], [0.4, 0.3], [0.4, 0.75], [-0.4, 0.75]]) * [one.depth_mm, one.height_mm]
        )
        canvas.fill(reach, Tissue.SACRAL_DISC if spine.sacral_disc_mm > 0.5 else Tissue.SACRAL_MARROW)
        owner.fill(reach, 100 - one.level)
    _discs(rng, canvas, disc, spine)
    _bodies(rng, canvas, owner, disc, spine)
    final = canvas.array()
    behind = np.isin(final, [Tissue.EPIDURAL_FAT, Tissue.DURA, Tissue.SAC])
    rows = (np.arange(side) + 0.5) * pixel_mm
    return Maps(
        tissue=final,
        owner=owner.array(),
        canal=behind & canal_tissue & _beside_sac(spine, side, pixel_mm),
        disc=disc.array().astype(bool),
        nervous=np.where(sac.array() > 0, nervous.array().astype(np.float32) / 255, 0).astype(np.float32),
        skin_x_mm=np.interp(rows, skin[:, 1], skin[:, 0]),
    )


def _beside_sac(spine: Spine, side: int, pixel_mm: float) -> NDArray[np.bool_]:
    """Inside the canal's walls, at levels where the slice still lies within the canal (not in a foramen)."""
    canvas = Canvas(side, pixel_mm)
    inside = np.interp(
        np.linspace(0, 1, 5 * (len(spine.front) - 1) + 1), np.linspace(0, 1, len(spine.front)), spine.lateral_mm
    )
    front, rear = open_curve(spine.front), open_curve(spine.rear)
    for first, last in _runs(inside < 10 * spine.scale):
        canvas.fill(ribbon(front[first:last], rear[first:last]), 1)
    return canvas.array() > 0
