"""From the headers of a series' instances to one SeriesHeader: what they agree on, and what differs."""

from collections.abc import Iterable, Sequence

import numpy as np

from gateways.dicom.headers import Instance
from gateways.dicom.limits import DicomLimits
from gateways.dicom.pixels import obstacle
from gateways.dicom.stacks import mixed_frames_of_reference
from schemas.measurement import Reason
from vbq.imaging.volume import Orientation, SeriesHeader, normal_of

SAME_DIRECTION = 0.9998  # cosine of about one degree


def series_header(uid: str, instances: Sequence[Instance], limits: DicomLimits) -> SeriesHeader:
    """Summarise a series. Its obstacles are those that no instance is free of."""
    first = instances[0]
    obstacles = [obstacle(instance, limits) for instance in instances]
    blocked = sorted({(row.code, row.text) for row in obstacles if row}) if all(obstacles) else []
    blocked += [
        (row.code, row.text) for row in (mixed_frames_of_reference(instances), _too_large(instances, limits)) if row
    ]

    def text(name: str) -> str | None:
        return next((row.texts[name] for row in instances if name in row.texts), None)

    def numbers(name: str) -> tuple[float, ...]:
        return tuple(sorted({round(row.numbers[name], 3) for row in instances if name in row.numbers}))

    def codes(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(code for row in instances for code in row.codes[name]))

    flips, fields = numbers("FlipAngle"), numbers("MagneticFieldStrength")
    taken = [row for row in instances if "AcquisitionTime" in row.texts]
    dated = bool(taken) and all(row.texts.get("AcquisitionDate") for row in taken)
    moments = [(row.texts["AcquisitionDate"] if dated else "", row.texts["AcquisitionTime"]) for row in taken]
    date, time = min(moments, default=(None, None))
    volumes = numbers("ContrastBolusVolume")
    return SeriesHeader(
        uid=uid,
        modality=first.modality,
        description=text("SeriesDescription"),
        protocol=text("ProtocolName"),
        number=first.series_number,
        body_parts=codes("BodyPartExamined"),
        acquisition_date=date or None,
        acquisition_time=time,
        repetition_times_ms=numbers("RepetitionTime"),
        echo_times_ms=numbers("EchoTime"),
        inversion_times_ms=numbers("InversionTime"),
        flip_angle_deg=flips[0] if flips else None,
        scanning_sequence=codes("ScanningSequence"),
        sequence_variant=codes("SequenceVariant"),
        sequence_name=text("SequenceName"),
        scan_options=codes("ScanOptions"),
        contrast_agents=tuple(
            dict.fromkeys(row.texts["ContrastBolusAgent"] for row in instances if "ContrastBolusAgent" in row.texts)
        ),
        contrast_volume_ml=max(volumes, default=None),
        image_types=codes("ImageType"),
        echo_numbers=tuple(int(value) for value in numbers("EchoNumbers")),
        orientations=_distinct(row.orientation for row in instances),
        slices=len(instances),
        rows=first.rows or None,
        columns=first.columns or None,
        pixel_spacing_mm=first.pixel_spacing_mm,
        slice_spacing_mm=_spacing(instances),
        field_strength_t=_tesla(fields[0]) if fields else None,
        manufacturer=text("Manufacturer"),
        model_name=text("ManufacturerModelName"),
        photometric=tuple(dict.fromkeys(row.texts.get("PhotometricInterpretation", "") for row in instances)),
        frames=max(row.frames for row in instances),
        sop_instance_uids=tuple(row.slice_uid for row in instances),
        obstacles=tuple(Reason(code=code, text=why) for code, why in blocked),
    )


def _too_large(instances: Sequence[Instance], limits: DicomLimits) -> Reason | None:
    if sum(row.rows * row.columns for row in instances) <= limits.series_pixels:
        return None
    text = f"its {len(instances)} slices have more than {limits.series_pixels >> 20} million pixels in all"
    return Reason(code="series-too-large", text=text)


def _distinct(orientations: Iterable[Orientation | None]) -> tuple[Orientation, ...]:
    found: list[Orientation] = []
    for one in orientations:
        if one is not None and not any(float(normal_of(one) @ normal_of(other)) > SAME_DIRECTION for other in found):
            found.append(one)
    return tuple(found)


def _spacing(instances: Sequence[Instance]) -> float | None:
    """Median distance between neighbouring positions along the normal, mm; None where there are not two."""
    orientation = next((row.orientation for row in instances if row.orientation), None)
    positions = [row.position_mm for row in instances if row.position_mm]
    if orientation is None or len(positions) < 2:
        return None
    along = np.unique(np.round(np.asarray(positions) @ normal_of(orientation), 2))
    return round(float(np.median(np.diff(along))), 3) if len(along) > 1 else None


def _tesla(value: float) -> float | None:
    """Some makers write gauss (15000) into MagneticFieldStrength, which is in tesla."""
    value = value / 10_000 if value > 100 else value
    return value if 0 < value < 25 else None
