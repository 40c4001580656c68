"""What the gate is tried on: one phantom with one thing wrong, and what may come of it."""

from dataclasses import dataclass
from typing import Any, Literal

from vbq.simulate.conditions import Conditions, Modic
from vbq.simulate.parameters import Fracture, PhantomParameters, draw_parameters

Outcome = Literal["refused", "confirm", "flagged", "plain"]
ANYTHING: frozenset[Outcome] = frozenset(("refused", "confirm", "flagged", "plain"))
REFUSED: frozenset[Outcome] = frozenset(("refused",))
NOT_IN_SILENCE: frozenset[Outcome] = frozenset(("refused", "confirm", "flagged"))
A_PERSON: frozenset[Outcome] = frozenset(("refused", "confirm"))
PLAIN: dict[str, Any] = {"listhesis_mm": 0.0, "modic": False, "haemangioma": False, "scoliosis_mm": 0.5}
"""Nothing else is wrong."""
COARSE: dict[str, Any] = {"rows": 320, "columns": 320, "pixel_mm": 0.98, "slices": 11, "distractors": False}


@dataclass(frozen=True)
class Case:
    """`allowed`: what a study may come out as; a wrong level or an error over 10 % is never allowed in silence."""

    name: str
    knobs: dict[str, Any]
    allowed: frozenset[Outcome] = ANYTHING

    def parameters(self, seed: int) -> PhantomParameters:
        """Phantom `seed` with this condition and nothing else wrong; the VBQ goes from 2.2 to 5.2 with the seed."""
        vbq = 2.2 + 0.6 * (seed % 6)
        return draw_parameters(seed, vbq, **(COARSE | PLAIN | self.knobs))


def _with(**conditions: Any) -> dict[str, Any]:
    return {"conditions": Conditions(**conditions)}


def _broken(shape: str, *levels: str, acute: bool = False) -> dict[str, Any]:
    rows = [{"level": level, "loss": 0.35, "shape": shape, "acute": acute} for level in levels]
    return {"fractures": [Fracture.model_validate(row) for row in rows]}


CASES = (
    Case("nothing", {}),
    Case("metal at L3", _with(metal=["L3"]), NOT_IN_SILENCE),
    Case("metal at L4, L5", _with(metal=["L4", "L5"]), A_PERSON),
    Case("metal at L2 to L4", _with(metal=["L2", "L3", "L4"]), A_PERSON),
    Case("Schmorl node in L2", _with(schmorl=["L2"])),
    Case("Schmorl nodes in L1, L3", _with(schmorl=["L1", "L3"])),
    *(Case(f"Modic {kind} at L3/L4", _with(modic=[Modic(disc="L3/L4", type=kind)])) for kind in (1, 2, 3)),
    Case("haemangioma in L2", _with(haemangioma=["L2"])),
    Case("wedge fracture of L1", _broken("wedge", "L1"), NOT_IN_SILENCE),
    Case("biconcave fracture of L3", _broken("biconcave", "L3"), NOT_IN_SILENCE),
    Case("crush fracture of L2", _broken("crush", "L2"), NOT_IN_SILENCE),
    Case("fresh fracture of L2", _broken("wedge", "L2", acute=True), NOT_IN_SILENCE),
    Case("fractures of L1 to L3", _broken("wedge", "L1", "L2", "L3"), A_PERSON),
    Case("discs worn all over", {"degeneration": 1.0}),
    Case("collapsed disc L5/S1", _with(collapsed=["L5/S1"])),
    Case("collapsed discs L4/L5, L5/S1", _with(collapsed=["L4/L5", "L5/S1"])),
    Case("sacralised L5", _with(variant="sacralised-l5"), A_PERSON),
    Case("lumbarised S1", _with(variant="lumbarised-s1"), A_PERSON),
    Case("L5 merged with the sacrum", _with(variant="merged-sacrum"), A_PERSON),
    Case("listhesis of L4, 6 mm", {"listhesis_mm": 6.0}, NOT_IN_SILENCE),
    Case("listhesis of L3, 9 mm", {"listhesis_mm": 9.0, **_with(listhesis_level="L3")}, A_PERSON),
    Case("view cuts off S1", _with(view_up_mm=70.0), A_PERSON),
    Case("view cuts off L5", _with(view_up_mm=100.0), A_PERSON),
    Case("view cuts off L1", _with(view_up_mm=-92.0), A_PERSON),
    Case("view cuts off L2", _with(view_up_mm=-120.0), A_PERSON),
    Case("scoliosis 10 mm", {"scoliosis_mm": 10.0}),
    Case("scoliosis 20 mm", {"scoliosis_mm": 20.0}, NOT_IN_SILENCE),
    Case("scoliosis 30 mm", {"scoliosis_mm": 30.0}, A_PERSON),
    Case("lordosis 1.9", {"lordosis": 1.9}),
    Case("chemical shift 2 pixels", _with(chemical_shift_px=2.0)),
    Case("chemical shift -3 pixels", _with(chemical_shift_px=-3.0)),
    Case("after gadolinium", _with(sequence="t1-gd"), REFUSED),
    Case("T2", _with(sequence="t2"), REFUSED),
    Case("T2, tagged as T1", _with(sequence="t2", tags="lumbar-t1"), REFUSED),
    Case("STIR", _with(sequence="stir"), REFUSED),
    Case("STIR, tagged as T1", _with(sequence="stir", tags="lumbar-t1"), REFUSED),
    Case("T1 without timing and words", _with(tags="bare"), REFUSED),
    Case("axial T1", _with(plane="axial"), REFUSED),
    Case("axial T1, described as sagittal", _with(plane="axial", tags="lumbar-t1"), REFUSED),
    Case("thoracic", _with(part="thoracic"), REFUSED),
    Case("thoracic, tagged as lumbar", _with(part="thoracic", tags="lumbar-t1"), A_PERSON),
    Case("cervical", _with(part="cervical"), REFUSED),
    Case("cervical, tagged as lumbar", _with(part="cervical", tags="lumbar-t1"), A_PERSON),
    Case("knee", _with(part="knee"), REFUSED),
    Case("knee, tagged as lumbar", _with(part="knee", tags="lumbar-t1"), REFUSED),
    Case("signal cut off", _with(gain=16.0), REFUSED),
    Case("3 slices", {"slices": 3}, REFUSED),
    Case("1 slice", {"slices": 1}, REFUSED),
)
