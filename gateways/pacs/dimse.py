"""Fetching a study from an archive over DIMSE (PS3.4 annex C): C-FIND for its series, C-GET for those that will do.

Headers that tell T1 from T2 are not in the answers to a query, so one image of each MR series is fetched first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom import Dataset

from gateways.dicom.headers import Instance, read_instance
from gateways.dicom.limits import DicomLimits
from gateways.dicom.pixels import quiet_pydicom
from gateways.dicom.series import series_header
from gateways.pacs.archive import absent
from gateways.pacs.endpoints import is_uid
from gateways.pacs.multipart import PartWriter
from gateways.pacs.storage_scp import MR_STORAGE, SECONDS, SYNTAXES
from schemas.config import DimseArchive
from schemas.errors import NotMeasurable, PacsUnavailable, Rejected, TooLarge
from vbq.imaging.series import choose_series, no_series
from vbq.imaging.volume import SeriesHeader

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
MAX_SERIES = 100
PENDING = (0xFF00, 0xFF01)
NO_ROOM = 0xA702


def fetch_study(archive: DimseArchive, study_uid: str, scratch: Path, limits: DicomLimits) -> Path:
    """Write the series of a study that could be measured below `scratch`; returns the directory.

    Raises NotMeasurable where none of its series is a sagittal T1 without contrast, PacsUnavailable where the archive
    is away, refuses, has not got the study yet or does not send all of it, TooLarge.
    """
    target = scratch / archive.name.encode().hex() / "series"
    with _Association.open(archive) as association:
        found = association.find(study_uid, limits)
        headers = [
            association.probe(_of(study_uid, uid), modality, images, scratch, limits)
            for uid, (modality, images) in found.items()
        ]
        choice = choose_series(headers)
        if choice.header is None:
            reason = no_series(choice)
            raise NotMeasurable(reason.text, code=reason.code)
        suitable = [verdict.series_uid for verdict in choice.verdicts if verdict.score > 0]
        left = limits.study_bytes
        for number, uid in enumerate(suitable):
            folder = target / f"{number:03d}"
            folder.mkdir(parents=True, exist_ok=True)
            writer = PartWriter(folder, max_bytes=left, max_parts=limits.instances)
            association.get(_of(study_uid, uid), "SERIES", writer)
            if writer.parts < len(found[uid][1]):
                raise PacsUnavailable("the archive sent a part of a series; it will be asked again", code="pacs-cut")
            left -= writer.written
    return target


def lets_us_in(archive: DimseArchive) -> str:
    """For `vbq doctor`: whether it takes an association of ours. Raises PacsUnavailable."""
    with _Association.open(archive):
        return "takes our association"


class _Association:
    """One association: questions and images."""

    def __init__(self, association: Any) -> None:
        self._association = association
        self.writer: PartWriter | None = None
        self.too_large: Rejected | None = None

    @classmethod
    @contextmanager
    def open(cls, archive: DimseArchive) -> Iterator["_Association"]:
        """Associate; raises PacsUnavailable where that is refused or nobody is there."""
        import logging

        from pynetdicom import AE, build_role, evt

        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines repeat what archives send
        entity = AE(ae_title=archive.calling_ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = SECONDS
        entity.connection_timeout = 5.0
        for model in (STUDY_ROOT_FIND, STUDY_ROOT_GET):
            entity.add_requested_context(model)
        for sop_class in MR_STORAGE:
            entity.add_requested_context(sop_class, list(SYNTAXES))
        roles: list[Any] = [build_role(sop_class, scp_role=True) for sop_class in MR_STORAGE]
        mine = cls(None)
        handlers: Any = [(evt.EVT_C_STORE, mine.store)]
        mine._association = entity.associate(
            archive.host, archive.port, ae_title=archive.ae_title, ext_neg=roles, evt_handlers=handlers
        )
        if not mine._association.is_established:
            raise PacsUnavailable(
                "the archive takes no association; check dimse in VBQ_CONFIG and there", code="pacs-dimse"
            )
        try:
            with quiet_pydicom():
                yield mine
        except (ValueError, RuntimeError) as error:  # no context was accepted; the association is gone
            raise PacsUnavailable(
                "the archive ended the association or does not offer C-FIND and C-GET; it will be asked again",
                code="pacs-dimse",
            ) from error
        finally:
            if mine._association.is_established:
                mine._association.release()

    def find(self, study_uid: str, limits: DicomLimits) -> dict[str, tuple[str, list[str]]]:
        """Series UID -> its modality, and the UIDs of its images (of MR series alone)."""
        found: dict[str, tuple[str, list[str]]] = {}
        for row in self._find("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID="", Modality=""):
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
            for row in self._find("IMAGE", StudyInstanceUID=study_uid, SeriesInstanceUID=uid, SOPInstanceUID=""):
                if is_uid(image := str(row.get("SOPInstanceUID", ""))):
                    images.append(image)
                if len(images) > limits.instances:
                    raise TooLarge(f"a series has more than {limits.instances} instances (VBQ_MAX_STUDY_INSTANCES)")
        return found

    def probe(
        self, keys: dict[str, str], modality: str, images: list[str], scratch: Path, limits: DicomLimits
    ) -> SeriesHeader:
        """The header of a series, from its first image. All its images are taken to be like that one."""
        uid, folder = keys["SeriesInstanceUID"], scratch / "probe"
        folder.mkdir(parents=True, exist_ok=True)
        if not images:
            return SeriesHeader(uid=uid, modality=modality or None)
        writer = PartWriter(folder, max_bytes=limits.study_bytes, max_parts=1)
        self.get({**keys, "SOPInstanceUID": images[0]}, "IMAGE", writer)
        file = folder / "00000.dcm"
        try:
            read = read_instance(file) if writer.parts else None
        except Rejected:
            read = None
        file.unlink(missing_ok=True)
        if not isinstance(read, Instance):
            return SeriesHeader(uid=uid, modality=modality or None)
        return series_header(uid, [replace(read, series_uid=uid, sop_instance_uid=image) for image in images], limits)

    def get(self, keys: dict[str, str], level: str, writer: PartWriter) -> None:
        """C-GET to `writer`. Raises PacsUnavailable where the archive fails, TooLarge."""
        self.writer = writer
        status = -1
        for answer, _ in self._association.send_c_get(_query(level, keys), STUDY_ROOT_GET):
            status = int(answer.Status) if "Status" in answer else -1
        self.writer = None
        if self.too_large is not None:
            raise self.too_large
        if status != 0:
            raise PacsUnavailable(
                "the archive did not send what it was asked for; it will be asked again", code="pacs-get"
            )

    def store(self, event: Any) -> int:
        """C-STORE by which the images of a C-GET come."""
        if self.writer is None or self.too_large is not None:
            return NO_ROOM
        try:
            self.writer.write(event.encoded_dataset())
        except TooLarge as error:
            self.too_large = error
            return NO_ROOM
        return 0

    def _find(self, level: str, **keys: str) -> Iterator[Dataset]:
        for answer, row in self._association.send_c_find(_query(level, keys), STUDY_ROOT_FIND):
            status = int(answer.Status) if "Status" in answer else -1
            if status in PENDING and row is not None:
                yield row
            elif status != 0:
                raise PacsUnavailable(
                    "the archive's answer to a query failed; it will be asked again", code="pacs-find"
                )


def _of(study_uid: str, series_uid: str) -> dict[str, str]:
    return {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}


def _query(level: str, keys: dict[str, str]) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query
