"""One stack out of a series that holds several: echoes, parts of a Dixon scan, or several frames of reference."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from gateways.dicom.headers import Instance
from schemas.measurement import Reason
from vbq.imaging.volume import Floats, normal_of

SAME_PLANE = 0.9998  # cosine of about one degree
MOST = 0.75  # of the images, so that the rest are strays
MOST_PLANES = 16
IN_PHASE = frozenset({"IP", "IN_PHASE", "INPHASE"})


def one_stack(rows: Sequence[Instance]) -> tuple[list[Instance], list[Reason]]:
    """The instances that may be measured together, and what was left out: the in-phase images, the shortest echo."""
    kept, about_odd = without_strays(rows)
    kept, about_phase = in_phase(kept)
    kept, about_echoes = first_echo(kept)
    return kept, [remark for remark in (about_odd, about_phase, about_echoes) if remark is not None]


def without_strays(rows: Sequence[Instance]) -> tuple[list[Instance], Reason | None]:
    """The images of the plane that most of them share, without a few of a localizer that were filed among them.

    Where there is no such plane, all of them: the series is judged as it is.
    """
    planes: list[tuple[Floats, list[Instance]]] = []
    for row in rows:
        if row.orientation is None or "LOCALIZER" in row.codes.get("ImageType", ()):
            continue
        normal = normal_of(row.orientation)
        home = next((members for other, members in planes if float(normal @ other) > SAME_PLANE), None)
        if home is not None:
            home.append(row)
        elif len(planes) < MOST_PLANES:
            planes.append((normal, [row]))
    kept = max((members for _, members in planes), key=len, default=[])
    here = {id(row) for row in kept}
    strays = {id(row) for row in rows if id(row) not in here and row.orientation is not None}
    if not strays or len(kept) < MOST * len(rows):
        return list(rows), None
    text = f"{len(strays)} images of another plane, or of a localizer, lie in the series; they were left out"
    return [row for row in rows if id(row) not in strays], Reason(code="stray-images", text=text)


def in_phase(rows: Sequence[Instance]) -> tuple[list[Instance], Reason | None]:
    """The in-phase images of a Dixon scan whose parts share a series; all instances otherwise."""
    found = [row for row in rows if IN_PHASE & set(row.codes.get("ImageType", ()))]
    if not found or len(found) == len(rows) or not _repeat(rows):
        return list(rows), None
    text = "the series holds fat, water or opposed-phase images beside the in-phase ones; the in-phase ones count"
    return found, Reason(code="dixon-parts", text=text)


def first_echo(rows: Sequence[Instance]) -> tuple[list[Instance], Reason | None]:
    """The instances of the shortest echo, where slices were taken at several echoes; all of them otherwise.

    The shorter the echo, the more T1 there is in the image; what it is weighted to is judged later by its own times.
    """
    echoes: dict[float, list[Instance]] = defaultdict(list)
    for row in rows:
        echo = row.numbers.get("EchoTime", row.numbers.get("EchoNumbers"))
        if echo is None:
            return list(rows), None
        echoes[round(echo, 1)].append(row)
    if len(echoes) < 2 or not _repeat(rows):
        return list(rows), None
    text = f"the series holds {len(echoes)} echoes of its slices; the shortest one counts"
    return echoes[min(echoes)], Reason(code="several-echoes", text=text)


def _repeat(rows: Sequence[Instance]) -> bool:
    """Whether more than one image lies at most positions: echoes of the same slices, not slices at different echoes."""
    places = Counter(tuple(round(value, 1) for value in row.position_mm) for row in rows if row.position_mm)
    return bool(places) and sum(count > 1 for count in places.values()) > len(places) / 2


def mixed_frames_of_reference(rows: Sequence[Instance]) -> Reason | None:
    """Why the positions of a series cannot be compared, None where they can."""
    count = len({row.frame_of_reference for row in rows if row.frame_of_reference})
    if count < 2:
        return None
    text = f"its images have {count} frames of reference, so their positions cannot be compared; send one scan alone"
    return Reason(code="mixed-frames-of-reference", text=text)
