"""Fetching a study from an archive over DICOMweb (PS3.18): headers of its MR series, then pixels of those that will do.

The archive is one that is configured; no address, file name or path is made of what it or a sender says.
"""

import base64
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset

from gateways.dicom_frames import split_frames
from gateways.dicom_headers import TAGS, Instance, instance_of
from gateways.dicom_limits import DicomLimits
from gateways.dicom_pixels import DECODER_ERRORS, quiet_pydicom
from gateways.dicom_series import series_header
from gateways.dicom_walk import EXPLICIT_LE, Walk
from gateways.endpoints import is_uid
from gateways.multipart import PartWriter, boundary_of, split_parts
from schemas.config import Auth, Pacs
from schemas.errors import NotConfigured, NotMeasurable, PacsUnavailable, TooLarge
from vbq.imaging.series import choose_series, no_series
from vbq.imaging.volume import SeriesHeader

CONNECT_S, READ_S = 5.0, 30.0
MAX_SERIES = 100
CHUNK = 1 << 18
UNSIGNED = frozenset({"Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored"})
PLAIN_OR_STORED = (f"; transfer-syntax={EXPLICIT_LE}", "; transfer-syntax=*")

Headers = Mapping[str, Any]


def fetch_study(pacs: Pacs, study_uid: str, scratch: Path, limits: DicomLimits) -> Path:
    """Write the series of a study that could be measured below `scratch`; returns the directory.

    Raises NotMeasurable where none of its series is a sagittal T1 without contrast, PacsUnavailable where the archive
    is away, refuses for now or has not got the study yet, NotConfigured where it does not let us in, TooLarge.
    """
    with open_archive(pacs) as archive:
        headers = archive.series_headers(study_uid, limits)
        choice = choose_series(headers)
        if choice.header is None:
            reason = no_series(choice)
            raise NotMeasurable(reason.text, code=reason.code)
        suitable = [verdict.series_uid for verdict in choice.verdicts if verdict.score > 0]
        target = scratch / "archive"
        target.mkdir(parents=True, exist_ok=True)
        for number, series_uid in enumerate(suitable):
            folder = target / f"{number:03d}"
            folder.mkdir(exist_ok=True)
            archive.retrieve(study_uid, series_uid, folder, limits)
    return target


class Archive:
    """One archive for the time of one task: dicomweb-client for queries, a bounded stream for pixels."""

    def __init__(self, pacs: Pacs) -> None:
        import requests  # only tasks that fetch pay for these
        from dicomweb_client.web import DICOMwebClient

        self.base = pacs.wado_rs.rstrip("/")
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy and no .netrc of the machine's
        self.session.max_redirects = 0  # a login must not follow a redirect to another origin
        self.session.headers["Accept-Encoding"] = "identity"  # gzip doubles the time on a local network
        self.session.headers.update(_login(pacs.auth))
        self.client = DICOMwebClient(self.base, session=self.session, timeout=(CONNECT_S, READ_S))
        self.client.set_http_retry_params(retry=False)  # the inbox retries

    def series_headers(self, study_uid: str, limits: DicomLimits) -> list[SeriesHeader]:
        """Headers of the MR series of a study, from the archive's metadata."""
        found = self.client.search_for_series(study_uid)
        if not found:
            raise PacsUnavailable(
                "the archive has not got the study (yet); it will be asked again",
                code="pacs-study-absent",
                retry_after_s=30,
            )
        if len(found) > MAX_SERIES:
            raise TooLarge(f"the study has more than {MAX_SERIES} series", code="too-many-series")
        headers: list[SeriesHeader] = []
        for row in found:
            uid = _value(row, "SeriesInstanceUID")
            modality = _value(row, "Modality")
            if not isinstance(uid, str) or not is_uid(uid):
                continue
            if modality not in (None, "MR"):
                headers.append(SeriesHeader(uid=uid, modality=str(modality)))
                continue
            instances = instances_of(self.client.retrieve_series_metadata(study_uid, uid)[: limits.instances])
            if instances:
                headers.append(series_header(uid, instances, limits))
        return headers

    def retrieve(self, study_uid: str, series_uid: str, folder: Path, limits: DicomLimits) -> None:
        """Stream a series into `folder`: uncompressed, or as it is stored where the archive cannot convert."""
        url = f"{self.base}/studies/{study_uid}/series/{series_uid}"
        for syntax in PLAIN_OR_STORED:
            accept = {"Accept": f'multipart/related; type="application/dicom"{syntax}'}
            with self.session.get(url, headers=accept, stream=True, timeout=(CONNECT_S, READ_S)) as answer:
                if answer.status_code == 406:
                    continue
                answer.raise_for_status()
                boundary = boundary_of(answer.headers.get("Content-Type", ""))
                if boundary is None:
                    raise PacsUnavailable("the archive's answer is not multipart/related", code="pacs-answer")
                writer = PartWriter(folder, max_bytes=limits.study_bytes, max_parts=limits.instances)
                split_parts(answer.iter_content(CHUNK), boundary, writer)
                return
        raise PacsUnavailable("the archive offers the series in no form that we take", code="pacs-answer")


@contextmanager
def open_archive(pacs: Pacs) -> Iterator[Archive]:
    """An archive whose failures come out as ours. Messages name neither address nor identifiers."""
    import requests

    archive = Archive(pacs)
    try:
        yield archive
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise NotConfigured(f"the archive does not let us in ({status}); check pacs.auth in VBQ_CONFIG") from error
        if status == 404:
            raise PacsUnavailable(
                "the archive has not got the study (yet); it will be asked again",
                code="pacs-study-absent",
                retry_after_s=30,
            ) from error
        raise PacsUnavailable(f"the archive answered {status}; it will be asked again") from error
    except requests.TooManyRedirects as error:
        raise NotConfigured("the archive redirects; give its final address as pacs.wado_rs in VBQ_CONFIG") from error
    except (requests.RequestException, ValueError) as error:  # ValueError: an answer that is no DICOM JSON
        raise PacsUnavailable(
            "the archive cannot be reached or its answer not understood; it will be asked again"
        ) from error
    finally:
        archive.session.close()


def _login(auth: Auth) -> dict[str, str]:
    """The Authorization header. Secrets come from the environment variables that the configuration names."""
    if auth.kind == "none":
        return {}
    if auth.kind == "bearer":
        return {"Authorization": f"Bearer {_secret(auth.token_env)}"}
    if auth.kind == "basic":
        pair = f"{_secret(auth.username_env)}:{_secret(auth.password_env)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode('utf-8')).decode('ascii')}"}
    raise NotConfigured(f"pacs.auth.kind {auth.kind} is not offered for archives; use none, bearer or basic")


def _secret(variable: str | None) -> str:
    value = os.environ.get(variable or "")
    if not value:
        raise NotConfigured("pacs.auth names an environment variable that is not set; set it or change pacs.auth")
    return value


def instances_of(rows: Sequence[Headers]) -> list[Instance]:
    """DICOM JSON metadata (PS3.18 annex F) read by the same code that reads files."""
    found = []
    for row in rows:
        values = {}
        for name, tag in TAGS.items():
            parts = _by_tag(row, f"{tag:08X}", every=True)
            if parts and name in UNSIGNED:
                values[tag] = struct.pack("<H", int(parts[0]) & 0xFFFF)
            elif parts:
                values[tag] = "\\".join(str(part) for part in parts).encode("utf-8")
        values[TAGS["SpecificCharacterSet"]] = b"ISO_IR 192"  # JSON is UTF-8 whatever the file was
        read = instance_of(Path(), Walk(values=values, has_pixels=True))
        if isinstance(read, Instance):
            found += [read] if read.frames == 1 else _frames(read, row)
    return found


def _frames(read: Instance, row: Headers) -> list[Instance]:
    """The frames of an enhanced file, from its metadata; the instance itself where these make no sense."""
    with quiet_pydicom():
        try:
            return split_frames(read, Dataset.from_json(dict(row)))
        except (RecursionError, *DECODER_ERRORS):
            return [read]


def _value(row: Headers, name: str) -> Any:
    return _by_tag(row, f"{TAGS[name]:08X}")


def _by_tag(row: Headers, tag: str, *, every: bool = False) -> Any:
    """The first value of an element of DICOM JSON, or all of them; None where it has none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    if not isinstance(values, list) or not values:
        return None
    return values if every else values[0]
