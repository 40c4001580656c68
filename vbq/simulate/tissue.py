"""What the phantom is made of, and how bright each of it is. Relative units: fat on T1 is 1 before coil falloff."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

Contrast = Mapping["Tissue", float]


class Tissue(Enum):
    """Everything that can fill a pixel."""

    AIR = "air"
    SUBCUTANEOUS_FAT = "subcutaneous fat"
    DEEP_FAT = "deep fat"
    EPIDURAL_FAT = "epidural fat"
    MUSCLE = "muscle"
    VISCERA = "viscera"
    BOWEL = "bowel"
    FLUID = "fluid"
    VESSEL = "vessel"
    MARROW = "marrow"
    SACRAL_MARROW = "sacral marrow"
    EDEMA = "marrow edema"
    FATTY_LESION = "fatty lesion"
    VEIN = "basivertebral vein"
    CORTEX = "cortex"
    LIGAMENT = "ligament"
    FLAVUM = "ligamentum flavum"
    ANNULUS = "annulus"
    NUCLEUS = "nucleus"
    CSF = "CSF"
    NERVE = "nerve"


def t1_contrast(*, marrow: float, csf: float, nerve: float) -> Contrast:
    """T1 TSE. `nerve` is the brightness of cord and roots relative to CSF."""
    return MappingProxyType(
        {
            Tissue.AIR: 0.0,
            Tissue.SUBCUTANEOUS_FAT: 1.0,
            Tissue.DEEP_FAT: 0.92,
            Tissue.EPIDURAL_FAT: 0.95,
            Tissue.MUSCLE: 0.27,
            Tissue.VISCERA: 0.33,
            Tissue.BOWEL: 0.25,
            Tissue.FLUID: 0.14,
            Tissue.VESSEL: 0.05,
            Tissue.MARROW: marrow,
            Tissue.SACRAL_MARROW: 1.08 * marrow,
            Tissue.EDEMA: 0.24,
            Tissue.FATTY_LESION: max(0.85, 1.25 * marrow),
            Tissue.VEIN: 0.6 * marrow,
            Tissue.CORTEX: 0.03,
            Tissue.LIGAMENT: 0.06,
            Tissue.FLAVUM: 0.2,
            Tissue.ANNULUS: 0.17,
            Tissue.NUCLEUS: 0.3,
            Tissue.CSF: csf,
            Tissue.NERVE: min(nerve * csf, 0.85 * marrow),
        }
    )


def t2_contrast(*, hydration: float) -> Contrast:
    """T2 TSE. `hydration` (0-1) is how bright the nucleus of a healthy disc still is."""
    return MappingProxyType(
        {
            Tissue.AIR: 0.0,
            Tissue.SUBCUTANEOUS_FAT: 0.85,
            Tissue.DEEP_FAT: 0.75,
            Tissue.EPIDURAL_FAT: 0.75,
            Tissue.MUSCLE: 0.13,
            Tissue.VISCERA: 0.25,
            Tissue.BOWEL: 0.45,
            Tissue.FLUID: 1.0,
            Tissue.VESSEL: 0.03,
            Tissue.MARROW: 0.36,
            Tissue.SACRAL_MARROW: 0.4,
            Tissue.EDEMA: 0.6,
            Tissue.FATTY_LESION: 0.6,
            Tissue.VEIN: 0.55,
            Tissue.CORTEX: 0.03,
            Tissue.LIGAMENT: 0.05,
            Tissue.FLAVUM: 0.12,
            Tissue.ANNULUS: 0.08,
            Tissue.NUCLEUS: 0.12 + 0.6 * hydration,
            Tissue.CSF: 1.0,
            Tissue.NERVE: 0.42,
        }
    )


def stir_contrast(*, hydration: float) -> Contrast:
    """STIR: fat is nulled, fluid is bright. `hydration` as for T2."""
    nulled = {
        Tissue.SUBCUTANEOUS_FAT: 0.04,
        Tissue.DEEP_FAT: 0.05,
        Tissue.EPIDURAL_FAT: 0.05,
        Tissue.MARROW: 0.1,
        Tissue.SACRAL_MARROW: 0.1,
        Tissue.EDEMA: 0.6,
        Tissue.FATTY_LESION: 0.05,
        Tissue.VEIN: 0.5,
        Tissue.MUSCLE: 0.2,
    }
    return MappingProxyType({**t2_contrast(hydration=hydration), **nulled})


ENHANCED_MARROW = 1.2  # fatty marrow of older women enhances little


def enhanced(native: Contrast) -> Contrast:
    """T1 after gadolinium: slow veins and well-supplied tissue brighten, CSF and fat do not."""
    gain = {
        Tissue.VEIN: 2.6,
        Tissue.MARROW: ENHANCED_MARROW,
        Tissue.SACRAL_MARROW: ENHANCED_MARROW,
        Tissue.EDEMA: 2.4,
        Tissue.MUSCLE: 1.25,
        Tissue.VISCERA: 1.9,
        Tissue.VESSEL: 6.0,
        Tissue.FLAVUM: 1.3,
        Tissue.ANNULUS: 1.1,
    }
    return MappingProxyType({tissue: value * gain.get(tissue, 1.0) for tissue, value in native.items()})


FAT_SHARE = MappingProxyType(
    {
        Tissue.SUBCUTANEOUS_FAT: 1.0,
        Tissue.DEEP_FAT: 0.95,
        Tissue.EPIDURAL_FAT: 0.95,
        Tissue.MARROW: 0.6,
        Tissue.SACRAL_MARROW: 0.65,
        Tissue.FATTY_LESION: 0.9,
        Tissue.VEIN: 0.3,
    }
)
"""Of a tissue's signal; the rest is water, which has no chemical shift."""


def fat_of(contrast: Contrast) -> Contrast:
    """The part of a contrast that comes from fat."""
    return MappingProxyType({tissue: value * FAT_SHARE.get(tissue, 0.0) for tissue, value in contrast.items()})


def water_of(contrast: Contrast) -> Contrast:
    """The rest."""
    return MappingProxyType({tissue: value * (1 - FAT_SHARE.get(tissue, 0.0)) for tissue, value in contrast.items()})


MARROWS = frozenset({Tissue.MARROW, Tissue.SACRAL_MARROW, Tissue.VEIN})


def without_marrow(contrast: Contrast) -> Contrast:
    """The same with black marrow: the part of an image that does not change when the marrow's signal does."""
    return MappingProxyType({tissue: 0.0 if tissue in MARROWS else value for tissue, value in contrast.items()})


def marrow_alone(contrast: Contrast) -> Contrast:
    """The same with everything but marrow black."""
    return MappingProxyType({tissue: value if tissue in MARROWS else 0.0 for tissue, value in contrast.items()})


def only(tissue: Tissue) -> Contrast:
    """1 for `tissue`, 0 for all else: an image of it is the share of each pixel that it fills."""
    return MappingProxyType({other: float(other is tissue) for other in Tissue})
