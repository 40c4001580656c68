"""The options of `vbq simulate study` for what is wrong, unusual or in the way."""

from collections.abc import Callable
from typing import Any, get_args

import click
from pydantic import ValidationError

from schemas.measurement import Level
from vbq.simulate.conditions import DISCS, PARTS, SEQUENCES_OF_MAIN, TAGS, VARIANTS, Conditions, Modic

LEVEL = click.Choice([level for level in get_args(Level) if level != "S1"])


def read_modic(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[Modic]:
    """DISC[:TYPE], e.g. L3/L4 or L3/L4:1; wrong usage where a value is no such change."""
    try:
        parts = [dict(zip(("disc", "type"), value.split(":"), strict=False)) for value in values]
        return [Modic.model_validate({**part, "type": int(part.get("type", "2"))}) for part in parts]
    except (ValidationError, ValueError) as error:
        text = f"not an endplate change; write a disc ({', '.join(DISCS)}) and a type from 1 to 3, e.g. L3/L4:1"
        raise click.BadParameter(text, context, parameter) from error


OPTIONS = (
    click.option("--metal", type=LEVEL, multiple=True, help="Pedicle screws and rods at a level; repeatable."),
    click.option("--schmorl", type=LEVEL, multiple=True, help="A node in a level's upper endplate; repeatable."),
    click.option(
        "--modic", multiple=True, callback=read_modic, metavar="DISC[:TYPE]",
        help="Endplate change beside a disc, type 1 (edema), 2 (fat, the default) or 3 (sclerosis), e.g. L3/L4:1.",
    ),
    click.option("--haemangioma", type=LEVEL, multiple=True, help="A large haemangioma in a level; repeatable."),
    click.option("--collapsed", type=click.Choice(DISCS), multiple=True, help="A disc worn to a third; repeatable."),
    click.option("--variant", type=click.Choice(VARIANTS), help="Of the lumbosacral junction."),
    click.option(
        "--listhesis-level", type=click.Choice(["L2", "L3", "L4", "L5"]), default="L4", show_default=True,
        help="The level that slips on the one below, by --listhesis-mm.",
    ),
    click.option(
        "--view-up-mm", type=click.FloatRange(-150, 150), default=0.0,
        help="Move the field of view to the head: 70 cuts off S1, -90 cuts off L1 (of 300 mm).",
    ),
    click.option("--chemical-shift-px", type=click.FloatRange(-6, 6), default=0.0, help="Fat lies too low by so much."),
    click.option("--gain", type=click.FloatRange(0.2, 40), default=1.0, help="Of the receiver; 14 cuts off."),
    click.option(
        "--sequence", type=click.Choice(SEQUENCES_OF_MAIN), default="t1", show_default=True,
        help="Of the main series; t1-gd is after gadolinium. With another than t1 there is no VBQ.",
    ),
    click.option("--plane", type=click.Choice(["sagittal", "axial"]), default="sagittal", show_default=True,
                 help="Of the main series; axial is the only series of its study."),
    click.option("--part", type=click.Choice(PARTS), default="lumbar", show_default=True, help="Of the body."),
    click.option(
        "--tags", type=click.Choice(TAGS), default="honest", show_default=True,
        help="The main series says what it is, nothing (bare), or that it is lumbar T1 whatever it is (lumbar-t1).",
    ),
)  # fmt: skip
NAMES = frozenset(Conditions.model_fields)


def condition_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all of them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def split_conditions(given: dict[str, Any]) -> tuple[Conditions, dict[str, Any]]:
    """The conditions among a command's arguments, and the rest of them."""
    own = {name: value for name, value in given.items() if name in NAMES}
    return Conditions.model_validate(own), {name: value for name, value in given.items() if name not in NAMES}
