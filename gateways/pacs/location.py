"""Where the pixels of an ImagingStudy are: a directory below a configured root, or a configured archive."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateways.dicom.limits import DicomLimits
from gateways.outgoing.origins import origin_of
from gateways.pacs.dicomweb import fetch_study
from gateways.pacs.dimse import fetch_study as fetch_by_dimse
from gateways.pacs.endpoints import Json, addresses_of, study_uid_of
from gateways.pacs.study_cache import StudyCache
from schemas.config import Config, DimseArchive, Pacs
from schemas.errors import Forbidden, NotAcceptable, PacsUnavailable, Rejected, Unavailable


def locate(
    imaging_study: Json,
    endpoints: Sequence[Json],
    config: Config,
    *,
    scratch: Path,
    limits: DicomLimits | None = None,
    cache: StudyCache | None = None,
) -> Path:
    """A directory with the study's DICOM files.

    `endpoints` are Endpoint resources known from events. file: addresses count only below `config.study_roots`, after
    following every link; DICOMweb addresses only at `config.pacs`, from where the series that could be measured are
    written below `scratch`, a directory of the caller's that is deleted with its task. Where the study names no
    endpoint, the configured archives are asked, those that speak DIMSE last. Raises Forbidden (address not
    configured), NotAcceptable (nothing to go by), NotMeasurable (no suitable series in the archive), PacsUnavailable
    (retry).
    """
    addresses, unresolved = addresses_of(imaging_study, endpoints)
    if not addresses:
        if unresolved:
            raise NotAcceptable(
                "the ImagingStudy's endpoint is not known; send the Endpoint resource, or contain it in the study",
                code="endpoint-unknown",
            )
        if not config.pacs and not config.dimse:
            raise NotAcceptable(
                "the ImagingStudy has no endpoint and no archive is configured (pacs or dimse in VBQ_CONFIG)",
                code="endpoint-none",
            )
    limits = limits or DicomLimits()
    ordered: list[str | DimseArchive] = [*(pacs.wado_rs for pacs in config.pacs), *config.dimse]
    if addresses:
        ordered = [*sorted(addresses, key=lambda one: not one.startswith("file:"))]  # a directory costs least
    problems: list[Rejected | Unavailable] = []
    for place in ordered:
        try:
            if isinstance(place, DimseArchive):
                return fetch_by_dimse(place, _uid_of(imaging_study), scratch, limits)
            return _at(place, imaging_study, config, scratch=scratch, limits=limits, cache=cache)
        except (Rejected, Unavailable) as error:
            problems.append(error)
    raise next((error for error in problems if isinstance(error, Unavailable)), problems[0])


def _at(
    address: str,
    imaging_study: Json,
    config: Config,
    *,
    scratch: Path,
    limits: DicomLimits,
    cache: StudyCache | None,
) -> Path:
    if address.startswith("file:"):
        return directory_of(address, config.study_roots)
    pacs = archive_of(address, config.pacs)
    return fetch_study(pacs, _uid_of(imaging_study), scratch, limits, cache)


def _uid_of(imaging_study: Json) -> str:
    study_uid = study_uid_of(imaging_study)
    if study_uid is None:
        raise NotAcceptable(
            "the ImagingStudy has no Study Instance UID (an identifier with system urn:dicom:uid)",
            code="study-uid-missing",
        )
    return study_uid


def directory_of(address: str, roots: Sequence[Path]) -> Path:
    """The directory of a file: URL. Raises Forbidden unless, all links followed, it lies below one of `roots`."""
    parts = urlsplit(address)
    path = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or not path.is_absolute() or "\0" in str(path):
        raise NotAcceptable("a file: endpoint must be file:///absolute/path on this machine", code="endpoint-address")
    real = path.resolve()
    inside = [root for root in roots if real.is_relative_to(root.resolve())]
    if not inside:
        raise Forbidden(
            "a file: endpoint points outside the configured study roots (study_roots in VBQ_CONFIG, VBQ_STUDY_ROOTS)",
            code="endpoint-outside-roots",
        )
    if not real.is_dir():
        if not any(root.is_dir() for root in inside):
            raise PacsUnavailable("the study root is not there; check that its disk is mounted", code="study-root-away")
        raise NotAcceptable("a file: endpoint names no directory; check its path", code="study-missing")
    return real


def archive_of(address: str, archives: Sequence[Pacs]) -> Pacs:
    """The configured archive that an address belongs to; the address itself is never called.

    Raises Forbidden where scheme, host, port and path prefix are none of a configured archive's.
    """
    for pacs in archives:
        if (origin := origin_of(address)) is not None and origin == origin_of(pacs.wado_rs):
            base, path = urlsplit(pacs.wado_rs).path.rstrip("/"), urlsplit(address).path
            if (path == base or path.startswith(f"{base}/")) and ".." not in path.split("/"):
                return pacs
    raise Forbidden(
        "the endpoint's address is no configured archive (pacs in VBQ_CONFIG)", code="endpoint-not-configured"
    )
