"""The knobs of the phantom. What is not given is drawn from the seed, as a postmenopausal woman's spine may be."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from schemas.measurement import Level
from schemas.record import Record
from vbq.simulate.conditions import NONE, Conditions

FractureShape = Literal["wedge", "biconcave", "crush"]


class Fracture(Record):
    """A vertebral compression fracture: `loss` is the share of height lost where it is lowest (Genant)."""

    level: Level
    loss: float = Field(default=0.3, ge=0.05, le=0.7)
    shape: FractureShape = "wedge"
    acute: bool = Field(default=False, description="with edema: dark on T1")


class PhantomParameters(Record):
    """Everything that decides a phantom. Equal parameters give equal bytes."""

    seed: int = Field(ge=0)
    vbq: float = Field(ge=0.8, le=12, description="the ratio that the true regions of the mid-sagittal slice hold")
    slices: int = Field(ge=1, le=64)
    rows: int = Field(default=512, ge=128, le=1024)
    columns: int = Field(default=512, ge=128, le=1024)
    pixel_mm: float = Field(ge=0.25, le=2.5)
    slice_mm: float = Field(ge=1, le=8, description="thickness")
    gap_mm: float = Field(ge=0, le=4)
    noise: float = Field(ge=0, le=0.5, description="SD of the noise as a share of the marrow's mean signal at L1-L4")
    tilt_deg: float = Field(ge=-20, le=20, description="of the slices about the body's long axis")
    off_centre_mm: float = Field(ge=-15, le=15, description="of the stack from the midline")
    scoliosis_mm: float = Field(ge=-30, le=30, description="greatest sideways departure of the curve; + is left")
    lordosis: float = Field(ge=0, le=2, description="1 is 52 degrees between the upper endplates of L1 and S1")
    size: float = Field(ge=0.8, le=1.2, description="of the vertebrae, 1 is a body of L3 26 mm high, 33 mm deep")
    degeneration: float = Field(ge=0, le=1, description="0 healthy discs, 1 narrow, dark, bulging ones")
    listhesis_mm: float = Field(ge=0, le=12, description="of L4 on L5, forwards")
    fractures: list[Fracture] = Field(default_factory=list)
    modic: bool = Field(description="fatty endplate change at one lumbar disc")
    haemangioma: bool = Field(description="one in a thoracic body or in L5")
    canal_mm: float = Field(ge=9, le=26, description="depth of the bony canal")
    root_spread: float = Field(ge=0, le=1, description="share of nerve roots that float free of the sac's back")
    back_fat_mm: float = Field(ge=3, le=60)
    falloff_mm: float = Field(ge=15, le=1000, description="reach of the coil's elements; large is nearly even")
    saturation_band: bool = Field(description="the front of the abdomen is saturated")
    texture: float = Field(ge=0, le=0.3, description="SD of the marrow's mottling as a share of its signal")
    nerve: float = Field(ge=1, le=3, description="signal of cord and roots relative to CSF on T1")
    distractors: bool = Field(default=True, description="with a sagittal T2 and an axial T2 series")
    conditions: Conditions = Field(  # left out where there are none: the study's UID is made of this record
        default=NONE, exclude_if=lambda value: value == NONE, description="lesions, metal, variants, other images"
    )


def draw_parameters(seed: int, vbq: float, **given: Any) -> PhantomParameters:
    """Parameters for `seed`, with what is `given` in place of what would be drawn.

    Every knob is drawn whether it is given or not, so that giving one leaves the others as they were.
    Raises pydantic's ValidationError where a given value is out of its range.
    """
    rng = np.random.default_rng([seed, 1])

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 4)

    drawn: dict[str, Any] = {
        "slices": int(rng.integers(15, 20)),
        "pixel_mm": float(rng.choice([0.5859375, 0.625, 0.68359375])),
        "slice_mm": 4.0,
        "gap_mm": between(0.3, 0.6),
        "noise": between(0.02, 0.04),
        "tilt_deg": between(-1.5, 1.5),
        "off_centre_mm": between(-2.5, 2.5),
        "scoliosis_mm": between(-1.5, 1.5),
        "lordosis": between(0.75, 1.15),
        "size": between(0.93, 1.05),
        "degeneration": between(0.2, 0.75),
        "listhesis_mm": between(2.0, 5.0) if rng.random() < 0.08 else 0.0,
        "modic": bool(rng.random() < 0.15),
        "haemangioma": bool(rng.random() < 0.12),
        "canal_mm": between(17.0, 20.0),
        "root_spread": between(0.0, 0.35),
        "back_fat_mm": between(8.0, 24.0),
        "falloff_mm": between(75.0, 130.0),
        "saturation_band": bool(rng.random() < 0.7),
        "texture": between(0.03, 0.07),
        "nerve": between(1.3, 1.9),
    }
    return PhantomParameters(seed=seed, vbq=vbq, **(drawn | given))
