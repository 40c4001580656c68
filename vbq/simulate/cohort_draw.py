"""The start of a synthetic cohort: each outcome group drawn to the printed means, SDs and counts."""

import numpy as np

from vbq.cohort.arrays import Floats
from vbq.cohort.errors import NoFit
from vbq.simulate.cohort_targets import (
    CORRELATIONS,
    DXA_COUNTS,
    EVENTS,
    FOLLOW_UP,
    HISTORY,
    LONGEST_FOLLOW_UP,
    MARGINALS,
    OSTEOPENIC_WITH_HISTORY,
    OTHERS,
    SHORTEST_FOLLOW_UP,
    T_SCORE,
    Marginal,
)

TRIES = 4000
T_LOWEST, T_HIGHEST = -7.5, 3.5


def standardised(x: Floats, mean: float, sd: float) -> Floats:
    """X moved and stretched to a mean and a sample SD."""
    result: Floats = mean + (x - x.mean()) / x.std(ddof=1) * sd
    return result


def prints_as(x: Floats, mean: float, sd: float, decimals: int) -> bool:
    """Whether mean and SD of x round to the printed ones."""
    half = 0.5 * 10.0**-decimals
    return abs(float(x.mean()) - mean) < half and abs(float(x.std(ddof=1)) - sd) < half


def draw_column(rng: np.random.Generator, z: Floats, m: Marginal, moments: tuple[float, float]) -> Floats:
    """One covariate of one group from its copula scores z (n,), keeping their order as far as rounding lets it."""
    mean, sd = moments
    scores = z
    for attempt in range(TRIES):
        shape = scores
        if m.shape == "skewed":
            shape = np.exp(np.sqrt(np.log1p((sd / mean) ** 2)) * scores)
        inside = standardised(shape, mean, sd)
        for _ in range(20):  # what the limits cut off is made good by the rest
            inside = standardised(np.clip(inside, m.low, m.high), mean, sd)
        x: Floats = np.round(np.clip(inside, m.low, m.high), m.decimals).astype(np.float64)
        if prints_as(x, mean, sd, m.printed):
            return x
        noise = 0.15 if attempt < TRIES // 2 else 0.5
        scores = z + rng.normal(0, noise, len(z))
    raise NoFit(f"no values of {m.name} with the printed mean and SD were found; try another --seed")


def draw_t_scores(
    rng: np.random.Generator, z: Floats, moments: tuple[float, float], counts: tuple[int, int, int]
) -> Floats:
    """T-scores with the printed moments and exact counts: at most -2.5, between, at least -1."""
    mean, sd = moments
    low, middle, _ = counts
    order = np.argsort(z)
    for _ in range(TRIES):
        x = standardised(np.sort(rng.standard_normal(len(z))), mean, sd)
        for _ in range(60):
            bands = (
                np.clip(x[:low], T_LOWEST, -2.5),
                np.clip(x[low : low + middle], -2.4, -1.1),
                np.clip(x[low + middle :], -1.0, T_HIGHEST),
            )
            y: Floats = np.round(np.concatenate(bands), 1).astype(np.float64)
            if prints_as(y, mean, sd, 2):
                result: Floats = np.empty(len(z), dtype=np.float64)
                result[order] = y
                return result
            x = np.sort(standardised(np.concatenate(bands) + rng.normal(0, 0.02, len(z)), mean, sd))
    raise NoFit("no T-scores with the printed moments and classes were found; try another --seed")


def copula(rng: np.random.Generator, n: int) -> Floats:
    """(n, 10) normal scores of the marginals and the T-score with the assumed correlations."""
    names = [*(m.name for m in MARGINALS), "t_score"]
    R = np.eye(len(names))
    for (a, b), r in CORRELATIONS.items():
        i, j = names.index(a), names.index(b)
        R[i, j] = R[j, i] = r
    scores: Floats = rng.standard_normal((n, len(names))) @ np.linalg.cholesky(R).T
    return scores


def draw_history(rng: np.random.Generator, t_score: Floats, total: int, osteopenic: int) -> Floats:
    """`total` women with a history of fracture, `osteopenic` of them osteopenic by T-score."""
    between = (t_score > -2.5) & (t_score < -1.0)
    history = np.zeros(len(t_score))
    history[rng.choice(np.flatnonzero(between), osteopenic, replace=False)] = 1
    history[rng.choice(np.flatnonzero(~between), total - osteopenic, replace=False)] = 1
    return history


def draw_follow_up(rng: np.random.Generator) -> Floats:
    """(137,) years to the final radiograph: five or more, skewed, no two alike, equal moments in both groups."""
    n = EVENTS + OTHERS
    span = LONGEST_FOLLOW_UP - SHORTEST_FOLLOW_UP
    for _ in range(TRIES):
        extra = rng.gamma(0.87, 1.61, 4 * n)
        extra = SHORTEST_FOLLOW_UP + extra[extra < span][:n]
        parts = [standardised(extra[:EVENTS], *FOLLOW_UP[0]), standardised(extra[EVENTS:], *FOLLOW_UP[1])]
        x: Floats = np.round(np.concatenate(parts), 2).astype(np.float64)
        if x.min() < SHORTEST_FOLLOW_UP - 0.4:
            continue
        x = np.maximum(x, np.round(SHORTEST_FOLLOW_UP + rng.uniform(0, 0.06, n), 2))
        x = _apart(x, rng)
        if all(prints_as(part, *m, 1) for part, m in zip((x[:EVENTS], x[EVENTS:]), FOLLOW_UP, strict=True)):
            return x
    raise NoFit("no follow-up times with the printed moments were found; try another --seed")


def _apart(x: Floats, rng: np.random.Generator) -> Floats:
    """Equal times moved apart by days."""
    taken: set[float] = set()
    result = x.copy()
    for i in rng.permutation(len(x)):
        while round(float(result[i]), 2) in taken:
            result[i] += 0.01
        result[i] = round(float(result[i]), 2)
        taken.add(float(result[i]))
    return result


def draw_groups(rng: np.random.Generator) -> dict[str, Floats]:
    """Columns (137,), the women with the event first."""
    groups: list[dict[str, Floats]] = []
    for g, n in enumerate((EVENTS, OTHERS)):
        Z = copula(rng, n)
        columns = {
            m.name: draw_column(rng, Z[:, j], m, m.event if g == 0 else m.other) for j, m in enumerate(MARGINALS)
        }
        normal, osteopenia, osteoporosis = DXA_COUNTS[g]
        shifted = OSTEOPENIC_WITH_HISTORY[g]
        counts = (osteoporosis - shifted, osteopenia + shifted, normal)
        columns["t_score"] = draw_t_scores(rng, Z[:, -1], T_SCORE[g], counts)
        columns["history_vf"] = draw_history(rng, columns["t_score"], HISTORY[g], shifted)
        groups.append(columns)
    joined = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    joined["event"] = np.repeat([1.0, 0.0], [EVENTS, OTHERS])
    joined["follow_up"] = draw_follow_up(rng)
    return joined
