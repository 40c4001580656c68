"""Measure one study: series, slice, regions, score. Clinical obstacles become a status with reasons, never an error."""

from collections.abc import Sequence
from typing import NamedTuple

from schemas.errors import NotMeasurable, Rejected
from schemas.measurement import (
    Acquisition,
    Comparison,
    Ellipse,
    Level,
    Measurement,
    Reason,
    Region,
    RegionSet,
    SliceRef,
)
from vbq.imaging.confirm import confirmed
from vbq.imaging.network import Network
from vbq.imaging.quality import acquisition_flags, flags_of, slice_flags
from vbq.imaging.regions import pixels_of, region_of
from vbq.imaging.series import Choice, choose_series, no_series
from vbq.imaging.slices import MidSagittal, OrderedSlices, mid_sagittal, order_slices
from vbq.imaging.unaided import ALGORITHM as AUTOMATIC
from vbq.imaging.unaided import find_levels, measure_unaided
from vbq.imaging.vbq import Score, score
from vbq.imaging.volume import Floats, LoadPixels, Series, SeriesHeader, Slice, Study

ALGORITHM = "vbq-reader-regions 0.1.0"
"""Name and version of this way of measuring; the version moves when the same input would give another number."""
READERS_DIFFER = 0.15  # two readers' scores differ by less in 95 of 100 studies or so (ICC .95, SD .5 of 2.8)


def measure(
    study: Study,
    load_pixels: LoadPixels,
    rois: RegionSet | None,
    *,
    regions_source: str | None = None,
    flags: Sequence[Reason] = (),
    network: Network | None = None,
    levels_only: bool = False,
) -> Measurement:
    """Measure VBQ in `study` with a reader's regions, else automatically with `network`.

    A reader's regions win; with `network` the automatic ones are measured beside them and kept for comparison. With
    neither, and where the network sees a spine but cannot place regions, the status is `needs_regions`.
    `levels_only` finds and numbers the levels on any sagittal MR contrast, and gives no score.
    `flags` are remarks from outside, e.g. that nobody could check whose study it is. Status `not_measurable` where the
    study has no suitable series, the slice cannot be read or the regions do not fit; the reasons say which.
    """
    named = rois.sop_instance_uid if rois else None
    choice = choose_series(study.series, sop_instance_uid=named, any_contrast=levels_only)
    draft = _draft(study, choice, regions_source if rois else None, flags)
    if rois is None and network is not None:
        draft = draft.but(algorithm=AUTOMATIC, method="automatic")
    if choice.header is None:
        return draft.but(reasons=[no_series(choice)])
    try:
        series = load_pixels(choice.header.uid)
        ordered = order_slices(series, keep=named)
        stack = _Stack(series, ordered, mid_sagittal(ordered.slices))
        draft = draft.but(**_slice_fields(stack, draft.flags))
        if rois is not None:
            # Also where there is no number: they say what was left out.
            draft = draft.but(flags=[*draft.flags, *rois.remarks])
            return _compared(_measured(draft, rois, stack, study), stack, network)
        if network is None:
            text = "no regions were given; draw ovals at L1 to L4 and in the CSF at L1 to L3"
            return draft.but(status="needs_regions", reasons=[Reason(code="no-regions", text=text)])
        unaided = find_levels if levels_only else measure_unaided
        return unaided(draft, ordered.slices, stack.mid.index, network)
    except NotMeasurable as error:
        return draft.but(reasons=[Reason(code=code, text=text) for code, text in error.reasons])
    except Rejected as error:
        return draft.but(reasons=[Reason(code=error.reason_code, text=error.detail)])


def _compared(reader: Measurement, stack: "_Stack", network: Network | None) -> Measurement:
    """The reader's measurement with the automatic one beside it; nothing of the reader's changes but a flag."""
    if network is None:
        return reader
    blank = reader.but(status="not_measurable", vbq=None, interval=None, variants={}, levels={}, csf={}, flags=[])
    try:
        found = measure_unaided(blank.but(reasons=[]), stack.ordered.slices, stack.mid.index, network)
    except NotMeasurable as error:
        found = blank.but(slice=None, reasons=[Reason(code=code, text=text) for code, text in error.reasons])
    off = found.vbq / reader.vbq - 1 if found.vbq is not None and reader.vbq else None
    beside = Comparison(
        status=found.status,
        vbq=found.vbq,
        interval=found.interval,
        difference=off,
        slice=found.slice,
        levels=found.levels,
        csf=found.csf,
        reasons=found.reasons,
    )
    flags = list(reader.flags)
    if off is not None and abs(off) > READERS_DIFFER:
        text = f"the automatic measurement differs by {off:+.0%}; look at both"
        flags.append(Reason(code="automatic-differs", text=text))
    both = reader.but(automatic=beside, shapes=found.shapes, numbering=found.numbering, flags=flags)
    return confirmed(both)


class _Stack(NamedTuple):
    """A series with its slices in order and the mid-sagittal one found."""

    series: Series
    ordered: OrderedSlices
    mid: MidSagittal

    def reference(self, place: int) -> SliceRef:
        """The slice at `place` in the stack, as a record."""
        uid = self.ordered.slices[place].sop_instance_uid
        return SliceRef(sop_instance_uid=uid, index=place, score=round(self.mid.scores[place], 4))


class _Found(NamedTuple):
    """Where the regions lie: the slice, its place in the stack, and what is to be said of it."""

    image: Slice
    place: int
    flags: list[Reason]


def _measured(draft: Measurement, rois: RegionSet, stack: _Stack, study: Study) -> Measurement:
    found = _slice_of(rois, stack, study)
    draft = draft.but(slice=stack.reference(found.place))
    result, values = _scored(rois, found.image, stack.ordered)
    return draft.but(
        status="needs_confirmation" if rois.unconfirmed else "measured",
        reasons=list(rois.unconfirmed),
        vbq=result.vbq,
        interval=result.interval,
        variants=result.variants,
        method="reader",
        levels=result.levels,
        csf=result.csf,
        flags=[*draft.flags, *found.flags, *result.flags, *flags_of(result, values, found.image)],
    )


def _scored(rois: RegionSet, image: Slice, ordered: OrderedSlices) -> tuple[Score, dict[tuple[str, Level], Floats]]:
    values: dict[tuple[str, Level], Floats] = {}
    regions: dict[str, dict[Level, Region]] = {"body": {}, "csf": {}}
    for kind, ellipses in (("body", rois.levels), ("csf", rois.csf)):
        for level, ellipse in ellipses.items():
            try:
                own = _own_slice(ellipse, image, ordered)
                values[kind, level] = pixels_of(ellipse, own)
                regions[kind][level] = region_of(ellipse, own)
            except NotMeasurable as error:
                name = f"{level} CSF" if kind == "csf" else level
                raise NotMeasurable(f"{name}: {error.detail}", code=error.reason_code) from error
    return score(regions["body"], regions["csf"], values), values


def _own_slice(ellipse: Ellipse, image: Slice, ordered: OrderedSlices) -> Slice:
    """The slice that one region names for itself, else the slice of all."""
    if ellipse.sop_instance_uid is None:
        return image
    place = ordered.index_of(ellipse.sop_instance_uid)
    if place is None:
        raise NotMeasurable("it lies on a slice that is not of the measured series", code="regions-on-other-series")
    return ordered.slices[place]


def _slice_of(rois: RegionSet, stack: _Stack, study: Study) -> _Found:
    """The slice that the regions were drawn on; the mid-sagittal one where they name none."""
    series, ordered, mid = stack
    named = rois.sop_instance_uid
    if named is None:
        text = "the regions name no slice; the one that looks mid-sagittal was taken"
        return _Found(ordered.slices[mid.index], mid.index, [Reason(code="slice-assumed", text=text), *mid.flags])
    place = ordered.index_of(named)
    if place is not None:
        return _Found(ordered.slices[place], place, slice_flags(ordered.slices, place, mid))
    if named in series.unreadable:
        why = series.unreadable[named]
        raise NotMeasurable(f"the slice of the regions cannot be read: {why.text}", code=why.code)
    if any(named in header.sop_instance_uids for header in study.series):
        raise NotMeasurable(
            "the regions lie on a series that is not measured; draw them on the sagittal T1 series without contrast",
            code="regions-on-other-series",
        )
    raise NotMeasurable("the regions name a slice that is not in this study", code="regions-of-another-study")


def _draft(study: Study, choice: Choice, source: str | None, flags: Sequence[Reason]) -> Measurement:
    """All that is known before a pixel is read."""
    acquisition = _acquisition(study, choice.header)
    known = [*flags, *study.flags, *(acquisition_flags(acquisition) if choice.header else [])]
    return Measurement(
        status="not_measurable",
        algorithm=ALGORITHM,
        study_uid=study.study_uid,
        series_uid=choice.header.uid if choice.header else None,
        acquisition=acquisition,
        series=choice.verdicts,
        regions_source=source,
        flags=known,
    )


def _slice_fields(stack: _Stack, flags: list[Reason]) -> dict[str, object]:
    series, ordered, mid = stack
    found = [*flags, *ordered.flags]
    if series.unreadable:
        why = sorted({reason.text for reason in series.unreadable.values()})
        text = f"{len(series.unreadable)} slices of the series cannot be read: {'; '.join(why)}"
        found.append(Reason(code="unreadable-slices", text=text))
    runner_up = stack.reference(mid.runner_up) if mid.runner_up is not None else None
    return {"slice": stack.reference(mid.index), "runner_up": runner_up, "flags": found}


def _acquisition(study: Study, header: SeriesHeader | None) -> Acquisition:
    if header is None:
        return Acquisition(study_date=study.study_date)
    return Acquisition(
        study_date=study.study_date,
        field_strength_t=header.field_strength_t,
        repetition_time_ms=header.repetition_time_ms,
        echo_time_ms=header.echo_time_ms,
        manufacturer=header.manufacturer,
        model_name=header.model_name,
        series_description=header.description,
        rows=header.rows,
        columns=header.columns,
        slices=header.slices,
        pixel_spacing_mm=header.pixel_spacing_mm,
        slice_spacing_mm=header.slice_spacing_mm,
    )
