"""`vbq measure` as a person or a script runs it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from commands.measure import measure
from schemas.errors import NotAcceptable
from tests.dicom_writer import ROIS, StudyWriter


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A made-up study of one sagittal T1 series; its true VBQ is 4."""
    writer = StudyWriter(tmp_path / "study")
    writer.series()
    (tmp_path / "rois.json").write_text(json.dumps(ROIS))
    return writer.root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(measure, [str(one) for one in arguments], standalone_mode=False)


def test_files_are_written_though_the_pipe_was_closed_early(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("commands.measure._say", closed)
    answer = run(study, "--rois", study.parent / "rois.json", "--png", tmp_path / "slice.png")
    assert isinstance(answer.exception, BrokenPipeError)
    assert (tmp_path / "slice.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_document_with_the_contract_s_names(study: Path) -> None:
    answer = run(study, "--rois", study.parent / "rois.json", "--json")
    assert answer.return_value == 0
    document = json.loads(answer.stdout)
    assert document["status"] == "measured"
    assert document["vbq"] == pytest.approx(4.0)
    assert document["method"] == "reader"
    assert document["regions_source"] == "rois.json"
    assert document["slice"]["index"] == 4
    assert set(document["levels"]) == {"L1", "L2", "L3", "L4"}
    region = document["csf"]["L1"]
    assert region["ellipse"]["center"] == [13, 42]
    assert {"mean", "sd", "area_mm2", "sop_instance_uid", "used", "reason"} <= set(region)
    assert len(document["interval"]) == 2


def test_a_regions_file_that_lies_beside_is_not_used_unless_it_is_named(study: Path) -> None:
    (study / "regions.json").write_text(json.dumps(ROIS))
    answer = run(study, "--json")
    assert answer.return_value == 1
    document = json.loads(answer.stdout)
    assert document["status"] == "not_measurable"
    assert [reason["code"] for reason in document["reasons"]] == ["field-of-view"]


def test_without_regions_a_phantom_is_measured_automatically(small_study: Path) -> None:
    answer = run(small_study, "--json")
    assert answer.return_value == 0
    document = json.loads(answer.stdout)
    assert document["method"] == "automatic"
    assert document["vbq"] == pytest.approx(4.1, rel=0.15)


def test_a_study_without_t1_exits_with_1_and_says_why(tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path / "study")
    writer.series(EchoTime="100")
    answer = run(writer.root)
    assert answer.return_value == 1
    assert "too long an echo time" in answer.output


def test_a_picture_is_written_beside_the_answer(study: Path, tmp_path: Path) -> None:
    answer = run(study, "--rois", tmp_path / "rois.json", "--png", tmp_path / "slice.png")
    assert answer.return_value == 0
    assert "VBQ 4.00" in answer.output
    assert (tmp_path / "slice.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_directory_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    answer = run(tmp_path / "bare")
    assert isinstance(answer.exception, NotAcceptable)


def test_regions_in_a_format_that_is_not_read_yet_are_refused_by_name(study: Path, tmp_path: Path) -> None:
    (tmp_path / "sr.dcm").write_bytes(b"\0" * 128 + b"DICM")
    answer = run(study, "--rois", tmp_path / "sr.dcm")
    assert isinstance(answer.exception, NotAcceptable)
    assert "no structured report" in answer.exception.detail
