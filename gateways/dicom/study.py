"""A study on disk: headers of everything at once, pixels of one series when they are asked for.

Files are hostile until read. Who reads them is a Reader: decoder.Decoder, a limited child process, for whatever came
from outside; Here, this process, for what we made ourselves.
"""

import errno
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydicom import Dataset

from gateways.dicom.files import dicom_files
from gateways.dicom.frames import frames_of
from gateways.dicom.headers import Instance, read_instance
from gateways.dicom.limits import DicomLimits, limits_of
from gateways.dicom.pixels import load_slice
from gateways.dicom.series import series_header
from gateways.dicom.stacks import one_stack
from schemas.errors import IdentityMismatch, NotAcceptable, NotMeasurable, Rejected
from schemas.measurement import Reason
from vbq.imaging.identity import StudyIdentity
from vbq.imaging.volume import Series, Slice, Study

__all__ = ["DicomLimits", "Here", "Reader", "StudyFiles", "limits_of", "open_study"]

Headers = list[Instance] | Reason


class Reader(Protocol):
    """Reads files. An answer per question, in order; a Reason where a file cannot be read."""

    def headers(self, paths: Sequence[Path], limits: DicomLimits) -> list[Headers]:
        """The images of each file: none (no image), one, or one for each frame."""

    def slices(self, instances: Sequence[Instance], limits: DicomLimits) -> list[Slice | Reason]:
        """The pixels of each image."""


class Here:
    """Reads in this process: what the decoder's process does, and what we do with files of our own making."""

    def headers(self, paths: Sequence[Path], limits: DicomLimits) -> list[Headers]:
        return [headers_of(path, limits) for path in paths]

    def slices(self, instances: Sequence[Instance], limits: DicomLimits) -> list[Slice | Reason]:
        opened: dict[Path, Dataset] = {}
        return [load_slice(instance, limits, opened) for instance in instances]


def headers_of(path: Path, limits: DicomLimits) -> Headers:
    """The images in a file. One broken file does not spoil a study, so what is wrong with it is an answer."""
    try:
        read = read_instance(path)
        return frames_of(read, limits) if isinstance(read, Instance) else (read or [])
    except Rejected as error:
        return Reason(code=error.reason_code, text=error.detail)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return Reason(code="memory", text="the file needs more memory than VBQ_DECODER_MEMORY_BYTES gives")
        return Reason(code="not-readable", text="the file cannot be opened; check its permissions")


@dataclass(frozen=True, repr=False)
class StudyFiles:
    """An open study. `identity` says whose it is and stays apart from `study`, which becomes a Measurement."""

    study: Study
    identity: StudyIdentity
    instances: dict[str, tuple[Instance, ...]]
    """Series UID -> its files."""
    limits: DicomLimits
    reader: Reader = field(default_factory=Here)

    def load_pixels(self, series_uid: str) -> Series:
        """Decode one series. Raises NotMeasurable, with the reasons, where not one slice can be decoded."""
        header = next(header for header in self.study.series if header.uid == series_uid)
        slices: list[Slice] = []
        unreadable: dict[str, Reason] = {}
        asked = self.instances[series_uid]
        for instance, loaded in zip(asked, self.reader.slices(asked, self.limits), strict=True):
            if isinstance(loaded, Slice):
                slices.append(loaded)
            else:
                unreadable[instance.slice_uid] = loaded
        if not slices:
            reasons = sorted({(reason.code, reason.text) for reason in unreadable.values()})
            raise NotMeasurable("no slice of the series can be read", reasons, code="series-unreadable")
        return Series(header=header, slices=tuple(slices), unreadable=unreadable)

    def load_slice(self, series_uid: str, sop_instance_uid: str) -> Slice:
        """Decode one slice, e.g. to draw it. Raises NotMeasurable where it cannot be read."""
        instance = next(row for row in self.instances[series_uid] if row.slice_uid == sop_instance_uid)
        loaded = self.reader.slices([instance], self.limits)[0]
        if not isinstance(loaded, Slice):
            raise NotMeasurable(f"the slice cannot be read: {loaded.text}", code=loaded.code)
        return loaded


def open_study(
    directory: Path, *, study_uid: str | None = None, limits: DicomLimits | None = None, reader: Reader | None = None
) -> StudyFiles:
    """Read the headers of the DICOM files at or below `directory`.

    With `study_uid` only that study counts. `reader` reads the files, now and later: a decoder.Decoder for what came
    from outside. Raises NotAcceptable (nothing there, several studies and none named,
    nothing readable), TooLarge (limits), IdentityMismatch (another study than named; files of two patients).
    """
    limits, reader = limits or DicomLimits(), reader or Here()
    read = reader.headers(dicom_files(directory, limits), limits)
    odd = [one for one in read if isinstance(one, Reason)]
    found = [instance for one in read if not isinstance(one, Reason) for instance in one]
    wanted = _of_study(found, study_uid, odd)
    identity = _one_identity(wanted)
    by_series: dict[str, list[Instance]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    repeats = 0
    for instance in wanted:
        key = (instance.series_uid, instance.slice_uid)  # anonymised studies repeat instance UIDs across series
        repeats += key in seen
        if key not in seen:
            by_series[instance.series_uid].append(instance)
        seen.add(key)
    flags = [_counted("unreadable-files", count, reason.text) for reason, count in sorted_counts(odd)]
    if repeats:
        flags.append(_counted("repeated-files", repeats, "the same instance is there more than once; the first counts"))
    for uid, rows in by_series.items():
        by_series[uid], remarks = one_stack(rows)
        flags += remarks
    study = Study(
        study_uid=wanted[0].study_uid,
        study_date=next((row.study_date for row in wanted if row.study_date), None),
        series=tuple(series_header(uid, rows, limits) for uid, rows in sorted(by_series.items())),
        flags=tuple(flags),
    )
    return StudyFiles(study, identity, {uid: tuple(rows) for uid, rows in by_series.items()}, limits, reader)


def sorted_counts(reasons: Iterable[Reason]) -> list[tuple[Reason, int]]:
    """Distinct reasons with how often each came up, most frequent first."""
    counts = Counter((reason.code, reason.text) for reason in reasons)
    return [(Reason(code=code, text=text), count) for (code, text), count in counts.most_common()]


def _of_study(found: list[Instance], study_uid: str | None, odd: list[Reason]) -> list[Instance]:
    if not found:
        why = "; ".join(f"{count} x {reason.text}" for reason, count in sorted_counts(odd)) or "no file is an image"
        raise NotAcceptable(f"nothing of the study can be read: {why}", code="study-unreadable")
    if study_uid is not None:
        wanted = [row for row in found if row.study_uid == study_uid]
        if not wanted:
            raise IdentityMismatch(
                "the files are of another study than the event names; check the ImagingStudy's identifier and endpoint",
                code="identity-study",
            )
        return wanted
    count = len({row.study_uid for row in found})
    if count > 1:
        raise NotAcceptable(
            f"the directory holds {count} studies; name the one that is meant, or give each its own directory",
            code="several-studies",
        )
    return found


def _one_identity(instances: Sequence[Instance]) -> StudyIdentity:
    """The identity that all instances share; those that name nobody do not contradict it."""
    identities = [row.identity for row in instances]
    patients = {(row.patient_id, row.issuer) for row in identities if row.patient_id}
    births = {row.birth_date for row in identities if row.birth_date}
    sexes = {row.sex for row in identities if row.sex}
    people = max(len({patient_id for patient_id, _ in patients}), len(births), len(sexes & {"F", "M"}))
    if people > 1:
        raise IdentityMismatch(f"the study holds images of {people} patients; separate them", code="two-patients")
    return StudyIdentity(
        patient_id=next((row.patient_id for row in identities if row.patient_id), None),
        issuer=next((row.issuer for row in identities if row.issuer), None),
        birth_date=next(iter(births), None),
        sex=next(iter(sexes), None),
    )


def _counted(code: str, count: int, text: str) -> Reason:
    return Reason(code=code, text=f"{count} file{'s' if count > 1 else ''}: {text}")
