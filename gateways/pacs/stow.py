"""Sending evidence to an archive: STOW-RS (PS3.18 section 10.5), and asking first whether it is there (QIDO-RS)."""

import uuid
from collections.abc import Sequence

from gateways.pacs.archive import DICOM_JSON, open_archive, rows_of
from schemas.config import Pacs
from schemas.errors import NotAcceptable

FAILED_INSTANCES = "00081198"


def has_instance(pacs: Pacs, study_uid: str, sop_instance_uid: str) -> bool:
    """Whether the archive holds an instance. Raises PacsUnavailable, NotConfigured."""
    with open_archive(pacs) as archive:
        return bool(archive.rows(f"studies/{study_uid}/instances", {"SOPInstanceUID": sop_instance_uid}))


def store(pacs: Pacs, study_uid: str, files: Sequence[bytes]) -> None:
    """Store PS3.10 files of one study. Storing again changes nothing: their UIDs are the same.

    Raises PacsUnavailable (retry), NotConfigured, NotAcceptable where the archive refuses any of them.
    """
    boundary = f"vbq-{uuid.uuid4().hex}"
    body = b"".join(
        b"--" + boundary.encode() + b"\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files
    )
    body += b"--" + boundary.encode() + b"--\r\n"
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    with open_archive(pacs) as archive:
        answer = archive.ask("POST", f"studies/{study_uid}", {**DICOM_JSON, "Content-Type": kind}, content=body)
    told = rows_of(b"[" + answer.body + b"]") if answer.status in (200, 202) else []
    # Orthanc lists none that failed as an empty sequence.
    failed = any(isinstance(rows := row.get(FAILED_INSTANCES), dict) and rows.get("Value") for row in told)
    if answer.status not in (200, 202) or failed:
        raise NotAcceptable(
            f"the archive refuses the evidence ({answer.status}); check that it takes SR and SC by STOW-RS, "
            "or set its store_evidence to false",
            code="pacs-refused",
        )
