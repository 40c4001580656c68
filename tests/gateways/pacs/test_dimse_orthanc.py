"""DIMSE against an archive that we did not write: Orthanc, by C-GET, and by C-MOVE over TLS."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateways.pacs.location import locate
from schemas.config import Config
from schemas.errors import PacsUnavailable
from tests.gateways.pacs.certificates import Authority
from tests.gateways.pacs.test_dicomweb import STUDY, vbq_of
from tests.gateways.pacs.test_dimse import config, free_port

pytestmark = pytest.mark.skipif(
    shutil.which("Orthanc") is None or shutil.which("storescu") is None,
    reason="Orthanc or dcmtk is not installed (Debian: orthanc, dcmtk)",
)


@contextmanager
def orthanc(place: Path, study: Path, send: list[str], **changes: Any) -> Iterator[int]:
    """One that holds the study; its port."""
    port = free_port()
    settings = {
        "HttpServerEnabled": False,
        "DicomPort": port,
        "DicomAet": "ARCHIVE",
        "StorageDirectory": str(place / "orthanc"),
        "IndexDirectory": str(place / "orthanc"),
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        **changes,
    }
    (place / "orthanc.json").write_text(json.dumps(settings))
    program = str(shutil.which("Orthanc"))
    with (place / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(place / "orthanc.json")], stdout=log, stderr=log)
    try:
        command = ["storescu", "-aec", "ARCHIVE", "-aet", "VBQ", *send, "+sd", "+r", "127.0.0.1", str(port), str(study)]
        until = time.monotonic() + 30
        while subprocess.run(command, capture_output=True, check=False).returncode and time.monotonic() < until:
            time.sleep(0.3)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def fetched(wanted: Config, scratch: Path, rois: dict[str, Any]) -> None:
    assert vbq_of(locate(STUDY, [], wanted, scratch=scratch), rois) == pytest.approx(4.0)
    absent = {**STUDY, "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.404"}]}
    with pytest.raises(PacsUnavailable) as caught:
        locate(absent, [], wanted, scratch=scratch / "other")
    assert caught.value.reason_code == "pacs-study-absent"


def test_a_study_is_fetched_by_c_get(study: Path, tmp_path: Path, rois: dict[str, Any]) -> None:
    with orthanc(tmp_path, study, [], DicomModalities={"vbq": ["VBQ", "127.0.0.1", 104]}) as port:
        fetched(config(port), tmp_path / "scratch", rois)


def test_a_study_is_fetched_by_c_move_over_tls(study: Path, tmp_path: Path, rois: dict[str, Any]) -> None:
    authority = Authority(tmp_path)
    ours, theirs, ca = authority.signs("ours"), authority.signs("theirs"), str(authority.file)
    back = free_port()
    secured = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs[0]),
        "DicomTlsPrivateKey": str(theirs[1]),
        "DicomTlsTrustedCertificates": ca,
        "DicomModalities": {"vbq": {"AET": "VBQ", "Host": "127.0.0.1", "Port": back, "UseDicomTls": True}},
    }
    files = {"certificate_file": str(ours[0]), "key_file": str(ours[1]), "ca_file": ca}
    send = ["+tls", str(ours[1]), str(ours[0]), "+cf", ca]
    with orthanc(tmp_path, study, send, **secured) as port:
        fetched(config(port, tls=files, move={"port": back, "tls": files}), tmp_path / "scratch", rois)
