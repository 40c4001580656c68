"""What the demo shows: tables and panels for the terminal, all of them from stored results."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.assessment import Assessment
from schemas.clinical import ClinicalInput
from schemas.measurement import BODY_LEVELS, CSF_LEVELS, Measurement

Json = Mapping[str, Any]
SECONDS = 1000.0


def measurement_table(measured: Measurement, truth: Json | None) -> Table:
    """Level by level: what was measured, and what the phantom really holds where that is known."""
    table = Table(title="Measurement" + (" against the phantom's truth" if truth else ""), title_justify="left")
    for column in ("region", "mean SI", "SD", "area mm\N{SUPERSCRIPT TWO}", "truth", "difference"):
        table.add_column(column, justify="left" if column == "region" else "right")
    for kind, levels, regions in (("", BODY_LEVELS, measured.levels), ("CSF ", CSF_LEVELS, measured.csf)):
        known = (truth or {}).get("csf" if kind else "levels", {})
        for level in levels:
            if level in regions:
                region = regions[level]
                true_mean = known.get(level, {}).get("mean")
                table.add_row(f"{kind}{level}", f"{region.mean:.1f}", f"{region.sd:.1f}", f"{region.area_mm2:.0f}",
                              *_against(region.mean, true_mean, ".1f"))  # fmt: skip
    table.add_section()
    vbq = measured.vbq if measured.vbq is not None else float("nan")
    low, high = measured.interval or (float("nan"), float("nan"))
    table.add_row("[bold]VBQ[/] (ratio)", f"[bold]{vbq:.3f}[/]", f"{low:.2f} to {high:.2f}", "",
                  *_against(vbq, (truth or {}).get("vbq"), ".3f"))  # fmt: skip
    return table


def _against(value: float, true_value: float | None, digits: str) -> tuple[str, str]:
    if true_value is None:
        return "not known", ""
    return f"{true_value:{digits}}", f"{(value / true_value - 1) * 100:+.2f} %"


def _shown(row: ClinicalInput) -> str:
    if isinstance(row.value, bool):
        return "yes" if row.value else "no"
    text = f"{row.value:g}" if isinstance(row.value, int | float) else str(row.value)
    return f"{text} {row.unit}".strip()


def inputs_table(assessment: Assessment) -> Table:
    """Every input with its date and source, and what was seen but does not count."""
    table = Table(title="Inputs", title_justify="left")
    for column in ("input", "value", "date", "how", "source", "note"):
        table.add_column(column)
    for row in assessment.inputs:
        table.add_row(row.label, _shown(row), str(row.date or "no date"), row.how, row.source, row.note or "")
    if assessment.ignored:
        table.add_section()
        for ignored in assessment.ignored:
            cells = (ignored.about, "ignored", str(ignored.date or ""), ignored.code, ignored.source, ignored.text)
            table.add_row(*cells, style="dim")
    return table


def risk_panel(assessment: Assessment) -> Panel:
    """The number, its interval, and who says so."""
    model = assessment.model
    if assessment.risk is None:
        missing = f"  missing: {', '.join(assessment.missing)}" if assessment.missing else ""
        reasons = "\n".join(reason.text for reason in assessment.reasons)
        body = Text(f"state: {assessment.state}{missing}\n{reasons}")
    else:
        risk = assessment.risk
        body = Text.assemble(
            (f"{risk.risk:.1%}", "bold"),
            f"  ({risk.level:.0%} interval {risk.lower:.1%} to {risk.upper:.1%})  new or worsened vertebral fracture"
            f" within {risk.horizon_years:g} years; class: {risk.risk_class}",
            f"\nmodel {model.id} {model.version}, digest {model.digest[:12]}; {assessment.software}",
        )
    return Panel(body, title="Risk (research use, not a cleared medical device)", title_align="left")


def resource_panel(resource: Json) -> Panel:
    """The RiskAssessment as it is stored and sent."""
    return Panel(
        json.dumps(resource, indent=1, ensure_ascii=False), title="RiskAssessment (FHIR R4)", title_align="left"
    )


def card_panel(hook: str, cards: Sequence[Json]) -> RenderableType:
    """The cards of one hook as a clinician reads them."""
    if not cards:
        return Panel("no card: this hook stays quiet where the risk is low", title=hook, title_align="left")
    colour = {"info": "cyan", "warning": "yellow", "critical": "red"}
    parts: list[RenderableType] = []
    for card in cards:
        parts.append(Text(card["summary"], style=f"bold {colour[card['indicator']]}"))
        if card.get("detail"):
            parts.append(Markdown(card["detail"]))
        links = ", ".join(f"{link['label']}: {link['url']}" for link in card.get("links", []))
        parts.append(Text(f"{card['source']['label']}   {links}", style="dim"))
    return Panel(Group(*parts), title=hook, title_align="left")


def timing_table(seconds: Mapping[str, float]) -> Table:
    """How long each step took, in milliseconds of wall clock."""
    table = Table(title="How long each step took", title_justify="left")
    table.add_column("step")
    table.add_column("ms", justify="right")
    for step, value in seconds.items():
        table.add_row(step, f"{value * SECONDS:,.1f}")
    return table


def show(console: Console, *parts: RenderableType) -> None:
    """Print the parts one below the other."""
    for part in parts:
        console.print(part)
        console.print()
