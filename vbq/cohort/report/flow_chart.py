"""The flow chart: one box under the other, and beside the arrows who fell out and why."""

from html import escape
from textwrap import wrap

from vbq.cohort.building.flow import Flow, Step
from vbq.cohort.report.svg import opening

BOX_WIDTH, BOX_HEIGHT, LINE, GAP = 230.0, 40.0, 14.0, 26.0
SIDE_LEFT, SIDE_WIDTH, SIDE_LETTERS = 262.0, 250.0, 44
MIDDLE = 8 + BOX_WIDTH / 2


def flow_chart(counts: list[tuple[str, int]], built: Flow | None) -> str:
    """Boxes from the store (`built`) or the file to the events."""
    steps = list(built.steps) if built is not None else []
    steps += [Step(step=label, n=n) for label, n in counts]
    out: list[str] = []
    y = 8.0
    for number, step in enumerate(steps):
        if number:
            y += _arrow(out, y, _sentences(step))
        out.append(f'<rect x="8" y="{y:g}" width="{BOX_WIDTH:g}" height="{BOX_HEIGHT:g}" fill="#f4f6f8" {_EDGE}/>')
        label = escape(f"{step.step}: {step.n}")
        out.append(f'<text x="{MIDDLE:g}" y="{y + 24:g}" text-anchor="middle">{label}</text>')
        y += BOX_HEIGHT
    width = SIDE_LEFT + SIDE_WIDTH + 8 if any(step.left_out for step in steps) else BOX_WIDTH + 16
    return "\n".join([opening(width, y + 8, "Flow of the cohort"), *out, "</svg>"])


_EDGE = 'stroke="#1f4e79"'


def _sentences(step: Step) -> list[str]:
    if not step.left_out:
        return []
    total = sum(row.n for row in step.left_out)
    lines = [f"left out: {total}"]
    for row in step.left_out:
        first, *rest = wrap(f"{row.n} {row.text}", SIDE_LETTERS) or [str(row.n)]
        lines += [first, *(f"   {more}" for more in rest)]
    return lines


def _arrow(out: list[str], y: float, lines: list[str]) -> float:
    """Draw the arrow down from `y` and its side box; the height that they take."""
    tall = len(lines) * LINE + 12
    height = max(GAP, tall + 12) if lines else GAP
    end = y + height
    out.append(f'<path d="M{MIDDLE:g} {y:g}V{end - 4:g}" stroke="#333"/>')
    out.append(f'<path d="M{MIDDLE - 4:g} {end - 8:g}l4 8l4 -8z" fill="#333"/>')
    if lines:
        top = y + 4
        across = top + tall / 2
        out.append(f'<path d="M{MIDDLE:g} {across:g}H{SIDE_LEFT:g}" stroke="#333"/>')
        out.append(
            f'<rect x="{SIDE_LEFT:g}" y="{top:g}" width="{SIDE_WIDTH:g}" height="{tall:g}" fill="#fff" stroke="#999"/>'
        )
        for place, text in enumerate(lines):
            at = top + 17 + place * LINE
            out.append(f'<text x="{SIDE_LEFT + 8:g}" y="{at:g}" xml:space="preserve">{escape(text)}</text>')
    return height
