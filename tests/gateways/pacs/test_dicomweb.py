"""Fetching over DICOMweb: against a small archive of the tests' own, and against Orthanc where it is installed."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways.dicom.limits import DicomLimits
from gateways.dicom.study import open_study
from gateways.pacs.location import locate
from gateways.pacs.multipart import PartWriter, boundary_of, split_parts
from schemas.config import Auth, Config, Pacs
from schemas.errors import NotConfigured, NotMeasurable, PacsUnavailable, TooLarge
from schemas.measurement import RegionSet
from tests.gateways.pacs.archive import Archive, running
from vbq.imaging.measure import measure

STUDY = {
    "resourceType": "ImagingStudy",
    "id": "s1",
    "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}],
}


@pytest.fixture
def archive(study: Path) -> Iterator[Archive]:
    """The tests' own archive with the made-up study."""
    with running(study) as server:
        yield server


def fetch(archive: Archive, scratch: Path, auth: Auth | None = None, limits: DicomLimits | None = None) -> Path:
    pacs = Pacs(name="main", wado_rs=archive.url, auth=auth or Auth())
    return locate(STUDY, [], Config(pacs=[pacs]), scratch=scratch, limits=limits)


def vbq_of(place: Path, rois: dict[str, Any]) -> float | None:
    files = open_study(place, study_uid="2.25.9")
    return measure(files.study, files.load_pixels, RegionSet.model_validate(rois)).vbq


def test_only_the_series_that_can_be_measured_is_fetched(
    archive: Archive, tmp_path: Path, rois: dict[str, Any]
) -> None:
    place = fetch(archive, tmp_path / "scratch")
    assert vbq_of(place, rois) == pytest.approx(4.0)
    pixels = [path for path in archive.asked if path.count("/") == 5 and "metadata" not in path]
    assert pixels == ["/dicom-web/studies/2.25.9/series/2.25.9.1"]
    assert sorted(path.name for path in place.rglob("*.dcm")) == [f"{i:05d}.dcm" for i in range(9)]


def test_an_endpoint_s_address_is_matched_but_the_configured_one_is_called(archive: Archive, tmp_path: Path) -> None:
    endpoint = {"resourceType": "Endpoint", "id": "e", "status": "active", "address": f"{archive.url}/studies/2.25.666"}
    study = {**STUDY, "contained": [endpoint], "endpoint": [{"reference": "#e"}]}
    locate(study, [], Config(pacs=[Pacs(name="main", wado_rs=archive.url)]), scratch=tmp_path)
    assert not any("666" in path for path in archive.asked)


def test_an_archive_without_the_study_is_asked_again_later(archive: Archive, tmp_path: Path) -> None:
    archive.datasets = []
    with pytest.raises(PacsUnavailable) as caught:
        fetch(archive, tmp_path)
    assert caught.value.reason_code == "pacs-study-absent"
    assert caught.value.retry_after_s


def test_a_study_without_t1_in_the_archive_is_not_measurable_and_no_pixels_are_fetched(
    archive: Archive, tmp_path: Path
) -> None:
    archive.datasets = [one for one in archive.datasets if one.SeriesInstanceUID != "2.25.9.1"]
    with pytest.raises(NotMeasurable) as caught:
        fetch(archive, tmp_path)
    assert caught.value.reason_code == "no-suitable-series"
    assert all("metadata" in path or path.split("?")[0].endswith("/series") for path in archive.asked)


@pytest.mark.parametrize("fault", [500, 503, 429, 404, "cut", "nonsense"])
def test_an_archive_in_trouble_is_unavailable(archive: Archive, tmp_path: Path, fault: int | str) -> None:
    archive.fault = fault
    with pytest.raises(PacsUnavailable) as caught:
        fetch(archive, tmp_path)
    assert "127.0.0.1" not in caught.value.detail
    assert "2.25" not in caught.value.detail


@pytest.mark.parametrize("fault", [401, 403, "redirect"])
def test_a_login_that_fails_and_a_redirect_are_the_configuration_s_fault(
    archive: Archive, tmp_path: Path, fault: int | str
) -> None:
    archive.fault = fault
    with pytest.raises(NotConfigured):
        fetch(archive, tmp_path)
    assert not any("elsewhere" in path for path in archive.asked)


def test_an_archive_that_is_away_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/dicom-web"
        with pytest.raises(PacsUnavailable):
            locate(STUDY, [], Config(pacs=[Pacs(name="main", wado_rs=url)]), scratch=tmp_path)


def test_more_than_the_limit_is_refused(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_BYTES"):
        fetch(archive, tmp_path, limits=DicomLimits(study_bytes=20_000))


def test_the_login_is_sent_as_configured_and_only_from_the_environment(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_TOKEN", "s3cret")
    fetch(archive, tmp_path / "a", Auth(kind="bearer", token_env="ARCHIVE_TOKEN"))
    assert set(archive.logins) == {"Bearer s3cret"}
    with pytest.raises(NotConfigured) as caught:
        fetch(archive, tmp_path / "b", Auth(kind="basic", username_env="ARCHIVE_USER", password_env="ARCHIVE_TOKEN"))
    assert "s3cret" not in caught.value.detail
    with pytest.raises(NotConfigured, match="client_id"):
        fetch(archive, tmp_path / "c", Auth(kind="backend-services"))
    monkeypatch.setenv("ARCHIVE_USER", "vbq")
    archive.logins.clear()
    fetch(archive, tmp_path / "d", Auth(kind="basic", username_env="ARCHIVE_USER", password_env="ARCHIVE_TOKEN"))
    assert set(archive.logins) == {"Basic dmJxOnMzY3JldA=="}


def test_a_client_secret_becomes_a_token_that_is_renewed_once(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHIVE_SECRET", "s3cr et:")
    auth = Auth(
        kind="client-secret",
        client_id="vbq",
        client_secret_env="ARCHIVE_SECRET",
        token_url=archive.url.replace("/dicom-web", "/token"),
    )
    archive.tokens = ["first", "second"]
    archive.refused_token = "Bearer first"
    fetch(archive, tmp_path / "a", auth)
    assert archive.forms == [("Basic dmJxOnMzY3IrZXQlM0E=", "grant_type=client_credentials")] * 2
    assert archive.logins[0] == "Bearer first"
    assert set(archive.logins[1:]) == {"Bearer second"}
    archive.tokens, archive.refused_token = ["third", "fourth"], "*"
    with pytest.raises(NotConfigured, match="401"):
        fetch(archive, tmp_path / "b", auth)
    monkeypatch.setenv("ARCHIVE_SECRET", "")
    with pytest.raises(NotConfigured, match="client_secret_env"):
        fetch(archive, tmp_path / "c", auth)


def test_no_token_means_that_the_job_waits(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_SECRET", "s3cret")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/token"
        auth = Auth(kind="client-secret", client_id="vbq", client_secret_env="ARCHIVE_SECRET", token_url=nobody)
        with pytest.raises(PacsUnavailable) as caught:
            fetch(archive, tmp_path, auth)
    assert caught.value.reason_code == "pacs-login"
    assert archive.asked == []


def test_the_archive_says_when_to_come_back(archive: Archive, tmp_path: Path) -> None:
    for fault in (429, 503):
        archive.fault, archive.retry_after = fault, "17"
        with pytest.raises(PacsUnavailable) as caught:
            fetch(archive, tmp_path)
        assert caught.value.retry_after_s == 17


@pytest.mark.parametrize(
    "answer", [b'{"a": 1}', b"[" * 100_000, b"[1, null, []]", b'[{"0020000E": {"vr": "UI", "Value": ["2.25/../9"]}}]']
)
def test_answers_that_are_no_series_are_no_study(archive: Archive, tmp_path: Path, answer: bytes) -> None:
    archive.answer = answer
    with pytest.raises((PacsUnavailable, NotMeasurable)):
        fetch(archive, tmp_path)
    assert len(archive.asked) == 1


def test_a_name_that_leads_inside_is_not_called(tmp_path: Path) -> None:
    config = Config(pacs=[Pacs(name="main", wado_rs="http://localhost.example.invalid/dicom-web")])
    with pytest.raises(PacsUnavailable):
        locate(STUDY, [], config, scratch=tmp_path)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_parts_are_found_however_the_stream_is_chopped(tmp_path: Path, size: int) -> None:
    contents = [b"one\r\n--x", b"", b"\r\n\r\nthree" * 50]
    body = b"".join(b"--xy\r\nContent-Type: a/b\r\n\r\n" + part + b"\r\n" for part in contents) + b"--xy--\r\ntail"
    writer = PartWriter(tmp_path, max_bytes=10_000, max_parts=5)
    split_parts((body[i : i + size] for i in range(0, len(body), size)), b"xy", writer)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == contents


def test_too_many_parts_and_an_endless_part_are_refused(tmp_path: Path) -> None:
    many = b"--xy\r\n\r\nz\r\n" * 9
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_INSTANCES"):
        split_parts([many], b"xy", PartWriter(tmp_path, max_bytes=10_000, max_parts=5))
    with pytest.raises(TooLarge, match="VBQ_MAX_STUDY_BYTES"):
        split_parts(
            (b"--xy\r\n\r\n" + b"z" * 1000 for _ in range(1000)),
            b"xxy",
            PartWriter(tmp_path, max_bytes=10_000, max_parts=5),
        )


def test_the_boundary_is_read_from_the_content_type() -> None:
    assert boundary_of('multipart/related; type="application/dicom"; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Related; Boundary=q") == b"q"
    assert boundary_of("application/dicom") is None
    assert boundary_of("multipart/related") is None


def test_a_study_is_fetched_from_a_real_orthanc(orthanc: str, tmp_path: Path, rois: dict[str, Any]) -> None:
    config = Config(pacs=[Pacs(name="orthanc", wado_rs=orthanc)])
    place = locate(STUDY, [], config, scratch=tmp_path / "scratch")
    assert vbq_of(place, rois) == pytest.approx(4.0)
    assert {header.uid for header in open_study(place).study.series} == {"2.25.9.1"}
    absent = {**STUDY, "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.404"}]}
    with pytest.raises(PacsUnavailable):
        locate(absent, [], config, scratch=tmp_path / "other")
