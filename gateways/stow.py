"""Sending evidence to an archive: STOW-RS (PS3.18 section 10.5), and asking first whether it is there (QIDO-RS)."""

import uuid
from collections.abc import Sequence

from gateways.dicomweb import CONNECT_S, READ_S, open_archive
from schemas.config import Pacs
from schemas.errors import NotAcceptable

JSON = {"Accept": "application/dicom+json"}
REFUSED = frozenset({400, 404, 405, 406, 409, 415, 422, 501})
FAILED_INSTANCES = "00081198"


def has_instance(pacs: Pacs, study_uid: str, sop_instance_uid: str) -> bool:
    """Whether the archive holds an instance. Raises PacsUnavailable, NotConfigured."""
    with open_archive(pacs) as archive:
        url = f"{archive.base}/studies/{study_uid}/instances"
        asked = {"SOPInstanceUID": sop_instance_uid}
        with archive.session.get(url, params=asked, headers=JSON, timeout=(CONNECT_S, READ_S)) as answer:
            if answer.status_code in (204, 404):
                return False
            answer.raise_for_status()
            return bool(answer.json())


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
        url = f"{archive.base}/studies/{study_uid}"
        headers = {**JSON, "Content-Type": kind}
        with archive.session.post(url, data=body, headers=headers, timeout=(CONNECT_S, READ_S)) as answer:
            refused = answer.status_code in REFUSED
            if not refused:
                answer.raise_for_status()
                told = answer.json() if answer.content else {}
                refused = bool(told.get(FAILED_INSTANCES, {}).get("Value"))  # Orthanc lists none as an empty sequence
    if refused:
        raise NotAcceptable(
            f"the archive refuses the evidence ({answer.status_code}); check that it takes SR and SC by STOW-RS, "
            "or set its store_evidence to false",
            code="pacs-refused",
        )
