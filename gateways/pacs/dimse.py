"""Fetching a study from an archive over DIMSE: C-FIND for its series, C-GET or C-MOVE for those that will do.

Headers that tell T1 from T2 are not in the answers to a query, so one image of each MR series is fetched first.
"""

from dataclasses import replace
from pathlib import Path

from gateways.dicom.headers import Instance, read_instance
from gateways.dicom.limits import DicomLimits
from gateways.dicom.series import series_header
from gateways.pacs.archive import absent
from gateways.pacs.dimse_association import Association, associated, unsent
from gateways.pacs.dimse_taking import Taking
from gateways.pacs.endpoints import is_uid
from gateways.pacs.multipart import PartWriter
from schemas.config import DimseArchive
from schemas.errors import NotMeasurable, Rejected, TooLarge
from vbq.imaging.series import choose_series, no_series
from vbq.imaging.volume import SeriesHeader

MAX_SERIES = 100


def fetch_study(archive: DimseArchive, study_uid: str, scratch: Path, limits: DicomLimits) -> Path:
    """Write the series of a study that could be measured below `scratch`; returns the directory.

    Raises NotMeasurable where none of its series is a sagittal T1 without contrast, PacsUnavailable where the archive
    is away, refuses, has not got the study yet or does not send all of it, TooLarge, NotConfigured.
    """
    target = scratch / archive.name.encode().hex() / "series"
    with associated(archive) as association:
        found = find_series(association, study_uid, limits)
        headers = [
            probe(association, _of(study_uid, uid), modality, images, scratch=scratch, limits=limits)
            for uid, (modality, images) in found.items()
        ]
        choice = choose_series([header for header in headers if header is not None])
        if choice.header is None:
            if None in headers:  # it may be the one
                raise unsent(archive)
            reason = no_series(choice)
            raise NotMeasurable(reason.text, code=reason.code)
        suitable = [verdict.series_uid for verdict in choice.verdicts if verdict.score > 0]
        left = limits.study_bytes
        for number, uid in enumerate(suitable):
            folder = target / f"{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            writer = PartWriter(folder, max_bytes=left, max_parts=limits.instances)
            keys = _of(study_uid, uid)
            association.retrieve("SERIES", keys, Taking(keys, writer), images=len(found[uid][1]))
            left -= writer.written
    return target


def lets_us_in(archive: DimseArchive) -> str:
    """For `vbq doctor`: whether it takes an association of ours and what we want of it. Raises PacsUnavailable."""
    with associated(archive, retrieving=False) as association:
        association.check()
    how = "C-GET" if archive.move is None else f"C-MOVE to {archive.move.ae_title}, port {archive.move.port}"
    return f"takes our association{' over TLS' if archive.tls else ''}; {how}"


def find_series(association: Association, study_uid: str, limits: DicomLimits) -> dict[str, tuple[str, list[str]]]:
    """Series UID -> its modality, and the UIDs of its images (of MR series alone)."""
    found: dict[str, tuple[str, list[str]]] = {}
    for row in association.find("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality=""):
        uid = str(row.get("SeriesInstanceUID", ""))
        if is_uid(uid):
            found[uid] = (str(row.get("Modality", "")), [])
        if len(found) > MAX_SERIES:
            raise TooLarge(f"the study has more than {MAX_SERIES} series", code="too-many-series")
    if not found:
        raise absent()
    for uid, (modality, images) in found.items():
        if modality not in ("", "MR"):
            continue
        for row in association.find("IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=uid, SOPInstanceUID=""):
            image = str(row.get("SOPInstanceUID", ""))
            if is_uid(image) and image not in images:
                images.append(image)
            if len(images) > limits.instances:
                raise TooLarge(f"a series has more than {limits.instances} instances (VBQ_MAX_STUDY_INSTANCES)")
    return found


def probe(
    association: Association,
    keys: dict[str, str],
    modality: str,
    images: list[str],
    *,
    scratch: Path,
    limits: DicomLimits,
) -> SeriesHeader | None:
    """The header of a series, from its first image; None where the archive could not send it.

    All its images are taken to be like that one.
    """
    uid, folder = keys["SeriesInstanceUID"], scratch / "probe"
    folder.mkdir(parents=True, exist_ok=True)
    if not images:
        return SeriesHeader(uid=uid, modality=modality or None)
    writer = PartWriter(
        folder, max_bytes=limits.study_bytes, max_parts=2
    )  # one more than it may be, as none is kept that was not asked for
    wanted = {**keys, "SOPInstanceUID": images[0]}
    if not association.retrieve("IMAGE", wanted, Taking(wanted, writer), images=1, needed=False):
        return None
    file = folder / "00000.dcm"
    try:
        read = read_instance(file)
    except Rejected:
        read = None
    file.unlink(missing_ok=True)
    if not isinstance(read, Instance):
        return SeriesHeader(uid=uid, modality=modality or None)
    return series_header(uid, [replace(read, series_uid=uid, sop_instance_uid=image) for image in images], limits)


def _of(study_uid: str, series_uid: str) -> dict[str, str]:
    return {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
