"""Where a study is: addresses that count, and those that must not."""

from pathlib import Path
from typing import Any

import pytest

from gateways.pacs.endpoints import addresses_of, is_uid, study_uid_of
from gateways.pacs.location import archive_of, directory_of, locate
from schemas.config import Config, Pacs
from schemas.errors import Forbidden, NotAcceptable, PacsUnavailable

ARCHIVE = Pacs(name="main", wado_rs="https://pacs.example/dicom-web")


def study_at(*addresses: str) -> dict[str, Any]:
    """An ImagingStudy with contained endpoints."""
    return {
        "resourceType": "ImagingStudy",
        "id": "s1",
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}],
        "contained": [
            {"resourceType": "Endpoint", "id": f"e{i}", "status": "active", "address": address}
            for i, address in enumerate(addresses)
        ],
        "endpoint": [{"reference": f"#e{i}"} for i in range(len(addresses))],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study root with one study in it."""
    (tmp_path / "root" / "one").mkdir(parents=True)
    return tmp_path / "root"


def test_a_directory_below_a_root_is_found(root: Path, tmp_path: Path) -> None:
    config = Config(study_roots=[root])
    assert locate(study_at((root / "one").as_uri()), [], config, scratch=tmp_path) == (root / "one").resolve()
    assert directory_of(f"file://localhost{root}/one", [root]) == (root / "one").resolve()


def test_an_endpoint_that_came_as_an_event_counts_as_a_contained_one(root: Path, tmp_path: Path) -> None:
    study = {**study_at(), "series": [{"endpoint": [{"reference": "https://ehr.example/fhir/Endpoint/e9/_history/2"}]}]}
    endpoint = {"resourceType": "Endpoint", "id": "e9", "status": "active", "address": (root / "one").as_uri()}
    config = Config(study_roots=[root])
    assert locate(study, [endpoint], config, scratch=tmp_path) == (root / "one").resolve()
    with pytest.raises(NotAcceptable) as caught:
        locate(study, [], config, scratch=tmp_path)
    assert caught.value.reason_code == "endpoint-unknown"


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc",
        "file:///root",
        "file:///",
        "file://{root}/../outside",
        "file://{root}/%2e%2e/outside",
        "file://{root}/link",
        "file://{root}-more",
        "file://{root}/one/../../outside",
    ],
)
def test_an_address_that_leads_out_of_the_roots_is_forbidden(root: Path, address: str) -> None:
    (root.parent / "outside").mkdir()
    (root.parent / "root-more").mkdir()
    (root / "link").symlink_to(root.parent / "outside")
    with pytest.raises(Forbidden) as caught:
        directory_of(address.format(root=root), [root])
    assert str(root) not in caught.value.detail


@pytest.mark.parametrize("address", ["file://other-host/data", "file:relative", "file:", "file:///a%00b"])
def test_a_file_address_of_the_wrong_form_is_refused(root: Path, address: str) -> None:
    with pytest.raises(NotAcceptable):
        directory_of(address, [root])


def test_a_missing_directory_is_final_and_a_missing_root_is_not(root: Path) -> None:
    with pytest.raises(NotAcceptable):
        directory_of((root / "two").as_uri(), [root])
    with pytest.raises(PacsUnavailable):
        directory_of((root.parent / "unmounted" / "one").as_uri(), [root.parent / "unmounted"])


@pytest.mark.parametrize(
    "address",
    [
        "https://pacs.example/dicom-web",
        "https://pacs.example:443/dicom-web/",
        "https://PACS.example/dicom-web/studies/2.25.9",
    ],
)
def test_an_address_at_the_configured_archive_counts(address: str) -> None:
    assert archive_of(address, [ARCHIVE]) == ARCHIVE


@pytest.mark.parametrize(
    "address",
    [
        "http://pacs.example/dicom-web",
        "https://pacs.example:8443/dicom-web",
        "https://pacs.example.evil.example/dicom-web",
        "https://pacs.example@evil.example/dicom-web",
        "https://user:pw@pacs.example/dicom-web",
        "https://pacs.example/dicom-web-other",
        "https://pacs.example/dicom-web/../admin",
        "https://pacs.example/",
        "https://169.254.169.254/latest/meta-data",
        "https://pacs.example:notaport/dicom-web",
        "ftp://pacs.example/dicom-web",
        "gopher:x",
        "",
    ],
)
def test_any_other_address_is_forbidden(address: str) -> None:
    with pytest.raises(Forbidden):
        archive_of(address, [ARCHIVE])


def test_a_forbidden_address_is_not_saved_by_a_second_one_that_is_wrong_too(tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        locate(study_at("https://evil.example/dicom", "file:///etc"), [], Config(), scratch=tmp_path)


def test_a_good_address_is_found_among_bad_ones(root: Path, tmp_path: Path) -> None:
    study = study_at("https://evil.example/dicom", (root / "one").as_uri())
    assert locate(study, [], Config(study_roots=[root]), scratch=tmp_path).name == "one"


def test_without_endpoint_and_without_archive_there_is_nothing_to_go_by(tmp_path: Path) -> None:
    with pytest.raises(NotAcceptable) as caught:
        locate(study_at(), [], Config(), scratch=tmp_path)
    assert caught.value.reason_code == "endpoint-none"


def test_the_study_uid_is_read_with_and_without_its_urn_and_never_what_is_no_uid() -> None:
    def of(value: object) -> str | None:
        return study_uid_of(
            {"identifier": [{"system": "other", "value": "1"}, {"system": "urn:dicom:uid", "value": value}]}
        )

    assert of("urn:oid:1.2.3") == "1.2.3"
    assert of("1.2.3") == "1.2.3"
    assert of("../../etc") is None
    assert of("1.2.3/series") is None
    assert of("1.2.3\n") == "1.2.3"
    assert of(7) is None
    assert study_uid_of({}) is None
    assert not is_uid("1." * 40)


def test_endpoints_that_are_off_do_not_count() -> None:
    study = study_at("file:///data/x")
    study["contained"][0]["status"] = "entered-in-error"
    assert addresses_of(study, []) == ([], 0)
