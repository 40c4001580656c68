"""docs/accuracy.md from the rows of the phantoms and the text on real images."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = dict[str, Any]
Floats = NDArray[np.float64]
Keep = Callable[[Row], bool]

ABOUT = """# Accuracy of the automatic measurement

Made by `./run python -m benchmarks.accuracy`; the rows are in `docs/accuracy/phantoms.csv`.

Phantoms are synthetic. Their truth is what ovals of pure marrow and pure CSF hold on average over all noise, placed by
knowing the anatomy on the slice nearest to the canal's midline (`vbq/simulate`). On one noisy image the same ovals hold
a share of chance, as CSF is dark and pure ovals are small; agreement with that value is given too. Phantoms vary in
field of view, tilt, noise, coil falloff, contrast, degeneration, nerve roots, listhesis, fractures and scoliosis, more
widely than `vbq simulate study` draws by itself (`benchmarks/accuracy_phantoms.py`). Metal, lesions, transitional
anatomy and other sequences are in [suitability](suitability.md).

Seeds from 3,000,000 on were never looked at while the measurement was made; 0 to 200 were. Others were reported for
earlier versions: 211 from 1,000,000 on for 0.2.0, 500 from 2,000,000 on for 0.3.0, of which 2000035 was then taken
apart (below). The network was trained on drawings by another generator (`training/`), which shares the anatomy's plan
but no code and no image with these phantoms. Decided after looking at the real volumes below: that a slip is told by
the corners of the facing endplates, how a body's axis is found, the limits of `vbq/imaging/junction.py`, `sacrum.py`.

What this cannot show: agreement with readers. No T1 image with a reader's VBQ is public.
"""

UNFLAGGED = """### What no flag catches

In about one phantom of forty the automatic CSF regions and the true ones lie in different pockets of the sac, one
before the nerve roots and one behind, 4 to 7 mm apart at two levels. Both hold CSF. The coil is brighter behind, so the
two differ by its slope times that distance, by 5 to 10 %. That had happened in seed 2000035 of the set of 0.3.0, which
was 12.3 % off its noisy image without a flag: 4.3 % by the pocket, 3.4 % and 2.8 % by noise in either region. Among
seeds 100 to 179 it is 116 and 168. None of the signs tried on these told such phantoms from the others (share of the
sac that is CSF, room for the oval, where it lies in the sac, spread of the candidates' signal, agreement of the
levels), so none is used; the interval allows for it on average, with the levels' places taken to go together as they do
on those seeds.
"""
READER = "- For comparison, not measured here: a reader takes minutes; the large 3-D networks take minutes on a CPU.\n"


def page(rows: list[Row], real: str, speed: str) -> str:
    """The whole page."""
    if not rows:
        return ABOUT + "\nNo phantom has been measured yet.\n"
    seeds = [int(row["seed"]) for row in rows]
    about = f"{ABOUT}\nReported: seeds {min(seeds)} to {max(seeds)}, measured by {rows[0].get('made_by', 'unknown')}.\n"
    parts = [about, _summary(rows), _flagged(rows), UNFLAGGED, _strata(rows), _failures(rows), _findings(rows)]
    if real:
        parts.append(
            "## Real images\n\nLevels and regions on real volumes (Zukic 2014, Chu 2015), never trained on, cut into "
        )
        parts[-1] += "slices of 4 mm. vb1-10 is the only T1 among them here.\n\n" + real
    if speed:
        how = "18 slices of 512 x 512, RLE; by `./run python -m benchmarks.measure_speed`. "
        how += "The load average tells how quiet the machine was."
        parts.append(f"\n## Speed\n\n{how}\n\n{speed}{READER}")
    return "\n".join(parts).rstrip() + "\n"


def _scored(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["vbq"] not in ("", None)]


def _errors(rows: list[Row], truth: str = "true") -> Floats:
    """Percent of the truth."""
    return np.array([100 * (float(row["vbq"]) / float(row[truth]) - 1) for row in rows])


def icc(first: Floats, second: Floats) -> float:
    """ICC(2,1), absolute agreement of two measurements of each subject (McGraw and Wong 1996)."""
    data = np.stack([first, second], axis=1)
    n, k = data.shape
    grand = data.mean()
    between = k * ((data.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    raters = n * ((data.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    residual = data - data.mean(axis=1, keepdims=True) - data.mean(axis=0, keepdims=True) + grand
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error + k * (raters - error) / n))


def _line(name: str, rows: list[Row], truth: str = "true") -> str:
    scored = _scored(rows)
    if len(scored) < 3:
        return f"| {name} | {len(rows)} | {len(scored)} | | | | | |"
    errors = _errors(scored, truth)
    bias, sd = float(errors.mean()), float(errors.std(ddof=1))
    true, got = (np.array([float(row[key]) for row in scored]) for key in (truth, "vbq"))
    inside = np.mean([float(row["low"]) <= float(row[truth]) <= float(row["high"]) for row in scored])
    return (
        f"| {name} | {len(rows)} | {len(scored)} | {bias:+.2f} | {bias - 1.96 * sd:+.1f} to {bias + 1.96 * sd:+.1f} "
        f"| {icc(true, got):.3f} | {np.abs(errors).max():.1f} | {inside:.0%} |"
    )


HEAD = (
    "| phantoms | n | with a VBQ | bias, % | limits of agreement, % | ICC | worst, % | truth in the 95 % interval |\n"
    "|---|---|---|---|---|---|---|---|"
)


def _summary(rows: list[Row]) -> str:
    scored = _scored(rows)
    counts = Counter(str(row["status"]) for row in rows)
    off = np.array([int(row["slices_off"]) for row in scored])
    off_mm = np.array([float(row["mm_off"]) for row in scored])
    wrong = [row for row in rows if int(row["levels_wrong"] or 0)]
    silent = [row for row in wrong if row["status"] == "measured"]
    seconds = [float(row["cpu_seconds"]) for row in rows]
    statuses = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.most_common())
    aims = (
        "Aims: bias under 1 %, limits of agreement within 6 %, ICC at least .97; nothing wrong without a flag.\n\n"
        if rows
        else ""
    )
    plain = [row for row in rows if row["status"] == "measured"]
    unflagged = [row for row in plain if not row["flags"]]
    return "\n".join(
        [
            "## Phantoms: VBQ against the truth",
            "",
            aims + HEAD,
            _line("all", rows),
            _line("status measured", plain),
            _line("measured, no flag", unflagged),
            _line("all, against the noisy image", rows, "true_noisy"),
            _line("measured, no flag, against the noisy image", unflagged, "true_noisy"),
            "",
            f"- {_interval_words(scored)}",
            f"- Status: {statuses}.",
            (
                f"- Slice: the true one in {np.mean(off == 0):.1%}, the next in {np.mean(off == 1):.1%}, farther in "
                f"{np.mean(off > 1):.1%} (at most {off_mm.max():.0f} mm)."
            ),
            f"- Levels: a body under another's name in {len(wrong)} of {len(rows)}, without a word in {len(silent)}.",
            f"- Errors over 10 %: {_over_ten(scored)}; against the noisy image {_over_ten(scored, 'true_noisy')}.",
            f"- CPU seconds a study (choose, segment, measure; machine shared): median {np.median(seconds):.2f}.",
            "",
        ]
    )


def _flagged(rows: list[Row]) -> str:
    """What each flag and each reason to confirm is worth: errors and coverage of the interval where it is raised."""
    codes = Counter(code for row in rows for code in _codes(row))
    lines = ["### By what was said", "", HEAD, _line("nothing", [row for row in rows if not _codes(row)])]
    lines += [_line(code, [row for row in rows if code in _codes(row)]) for code, _ in codes.most_common()]
    return "\n".join([*lines, ""])


def _codes(row: Row) -> set[str]:
    """Codes of flags, and of reasons where a person must confirm."""
    return set(str(row["flags"] or "").split()) | set(str(row["reasons"] or "").split())


def _interval_words(scored: list[Row]) -> str:
    """How wide the intervals are, and whether the wide ones are those that are needed."""
    wide = np.array([100 * (float(row["high"]) / float(row["vbq"]) - 1) for row in scored])
    errors = np.abs(_errors(scored))[np.argsort(wide, kind="stable")]
    narrow, rest = errors[: len(errors) // 2], errors[len(errors) // 2 :]
    return (
        f"The 95 % interval reaches {np.median(wide):.1f} % up in the middle, {np.quantile(wide, 0.9):.1f} % in one of "
        f"ten. In the half with the narrower intervals the error is {narrow.mean():.1f} % on average "
        f"(at most {narrow.max():.1f}), in the other half {rest.mean():.1f} % (at most {rest.max():.1f})."
    )


def _over_ten(scored: list[Row], truth: str = "true") -> str:
    off = [row for row, error in zip(scored, _errors(scored, truth), strict=True) if abs(error) > 10]
    flagged = sum(bool(row["flags"]) or row["status"] != "measured" for row in off)
    return f"{len(off)} of {len(scored)}, {flagged} of them flagged or to be confirmed"


def _strata(rows: list[Row]) -> str:
    def number(row: Row, name: str) -> float:
        return float(row[name] or 0)

    strata: list[tuple[str, Keep]] = [
        ("noise under 5 % of the marrow", lambda row: number(row, "noise") < 0.05),
        ("noise 5 to 8 %", lambda row: number(row, "noise") >= 0.05),
        ("view under 310 mm", lambda row: number(row, "view_mm") < 310),
        ("view 340 mm and more", lambda row: number(row, "view_mm") >= 340),
        ("coil reach under 100 mm", lambda row: number(row, "falloff_mm") < 100),
        ("degeneration over .7", lambda row: number(row, "degeneration") > 0.7),
        ("roots spread over .4", lambda row: number(row, "root_spread") > 0.4),
        ("tilt over 2 degrees", lambda row: abs(number(row, "tilt_deg")) > 2),
        ("scoliosis 3 to 15 mm", lambda row: abs(number(row, "scoliosis_mm")) > 3),
        ("listhesis", lambda row: number(row, "listhesis_mm") > 0),
        ("fracture", lambda row: bool(row["fractured"])),
    ]
    lines = ["### By what varies", "", HEAD]
    lines += [_line(name, [row for row in rows if keep(row)]) for name, keep in strata]
    return "\n".join([*lines, ""])


def _failures(rows: list[Row]) -> str:
    lines = ["### Not measured, or to be confirmed, and why", "", "| status | reason | phantoms |", "|---|---|---|"]
    counts = Counter(
        (str(row["status"]), code)
        for row in rows
        if row["status"] != "measured"
        for code in str(row["reasons"]).split()
    )
    lines += [f"| {status.replace('_', ' ')} | {code} | {count} |" for (status, code), count in counts.most_common()]
    flags = Counter(code for row in rows for code in set(str(row["flags"]).split()))
    lines += ["", "Flags on phantoms: " + ", ".join(f"{code} {count}" for code, count in flags.most_common()) + ".", ""]
    return "\n".join(lines)


def _findings(rows: list[Row]) -> str:
    broken = [row for row in rows if float(row["loss"] or 0) >= 0.25]
    caught = sum(str(row["fractured"]) in str(row["suspected"]).split() for row in broken)
    sound = [row for row in rows if not row["fractured"]]
    false = sum(bool(row["suspected"]) for row in sound)
    return "\n".join(
        [
            "### Suspected fractures (a finding for a person, not a diagnosis)",
            "",
            (
                f"Fractures of a quarter of the height or more: {caught} of {len(broken)} suspected at their level. "
                f"Phantoms without a fracture: {false} of {len(sound)} have a body suspected."
            ),
            "",
        ]
    )
