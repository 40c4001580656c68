"""What a hospital's studies hold besides a plain lumbar spine: lesions, metal, variants, other sequences and regions.

None of it is drawn by chance: what is not asked for is not there, and the phantom is the one of the other parameters.
"""

from typing import Literal, get_args

from pydantic import Field

from schemas.measurement import Level
from schemas.record import Record

DiscName = Literal["T12/L1", "L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1"]
Variant = Literal["sacralised-l5", "lumbarised-s1", "merged-sacrum"]
MainSequence = Literal["t1", "t1-gd", "t2", "stir"]
Part = Literal["lumbar", "thoracic", "cervical", "knee"]
Tags = Literal["honest", "bare", "lumbar-t1"]

DISCS: tuple[DiscName, ...] = get_args(DiscName)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
SEQUENCES_OF_MAIN: tuple[MainSequence, ...] = get_args(MainSequence)
PARTS: tuple[Part, ...] = get_args(Part)
TAGS: tuple[Tags, ...] = get_args(Tags)


class Modic(Record):
    """Endplate change on both sides of a disc. On T1 type 1 (edema) is dark, 2 (fat) bright, 3 (sclerosis) black."""

    disc: DiscName
    type: Literal[1, 2, 3] = 2


class Conditions(Record):
    """What is wrong, unusual or in the way."""

    metal: list[Level] = Field(default_factory=list, description="pedicle screws and rods, with voids and pile-up")
    schmorl: list[Level] = Field(default_factory=list, description="a node in the upper endplate")
    modic: list[Modic] = Field(default_factory=list)
    haemangioma: list[Level] = Field(default_factory=list, description="a large one")
    collapsed: list[DiscName] = Field(  # left out where there are none, so that older studies keep their UIDs
        default_factory=list, exclude_if=lambda value: not value, description="discs worn to a third"
    )
    variant: Variant | None = Field(default=None, description="of the lumbosacral junction")
    listhesis_level: Literal["L2", "L3", "L4", "L5"] = Field(default="L4", description="that slips on the one below")
    view_up_mm: float = Field(default=0.0, ge=-150, le=150, description="the field of view is moved to the head")
    chemical_shift_px: float = Field(default=0.0, ge=-6, le=6, description="fat lies this many pixels too low")
    gain: float = Field(default=1.0, ge=0.2, le=40, description="over 1: the signal reaches the end of the 12 bits")
    sequence: MainSequence = Field(default="t1", description="of the main series")
    plane: Literal["sagittal", "axial"] = Field(default="sagittal", description="of the main series")
    part: Part = Field(default="lumbar", description="of the body")
    tags: Tags = Field(default="honest", description="bare: no timing, no words; lumbar-t1: says so whatever it is")

    @property
    def spoilt(self) -> frozenset[Level]:
        """Levels in which a reader draws no oval."""
        return frozenset((*self.metal, *self.schmorl, *self.haemangioma))

    @property
    def measurable(self) -> bool:
        """Whether the main series has a VBQ at all: a lumbar spine on sagittal T1 without contrast agent."""
        return (self.sequence, self.plane, self.part) == ("t1", "sagittal", "lumbar")


NONE = Conditions()
