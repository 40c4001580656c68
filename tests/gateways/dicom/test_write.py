"""A phantom as DICOM files: what is written is what is read."""

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest

from gateways.dicom.study import open_study
from gateways.dicom.write import write_study
from tests.vbq.simulate.conftest import small
from vbq.imaging.measure import measure
from vbq.simulate.documents import regions_document, truth_document
from vbq.simulate.person import draw_person, study_uid
from vbq.simulate.study import PhantomStudy, simulate_study

PERSON = draw_person(7)


@pytest.fixture(scope="module")
def study() -> PhantomStudy:
    return simulate_study(small(rows=256, columns=256, pixel_mm=1.18, slices=9, distractors=True))


@pytest.fixture(scope="module")
def written(study: PhantomStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("phantom")
    write_study(study, PERSON, place)
    return place


def test_measuring_the_files_with_the_true_regions_gives_the_truth(study: PhantomStudy, written: Path) -> None:
    files = open_study(written)
    found = measure(files.study, files.load_pixels, regions_document(study, PERSON))
    truth = truth_document(study, PERSON)
    assert found.status == "measured"
    assert found.vbq == pytest.approx(truth["vbq"], rel=0.005)
    assert found.series_uid == truth["series_uid"]
    assert found.slice is not None
    assert found.slice.model_dump(include={"sop_instance_uid", "index"}) == truth["slice"]
    for level in study.truth.regions.used:
        assert found.levels[level].mean == pytest.approx(truth["levels"][level]["mean"], rel=1e-6)


def test_without_regions_the_t1_series_and_the_middle_slice_are_found(study: PhantomStudy, written: Path) -> None:
    files = open_study(written)
    found = measure(files.study, files.load_pixels, None)
    truth = truth_document(study, PERSON)
    assert found.series_uid == truth["series_uid"]
    assert found.slice is not None
    assert abs(found.slice.index - truth["slice"]["index"]) <= 1


def test_compressed_files_hold_the_same_pixels(study: PhantomStudy, written: Path, tmp_path: Path) -> None:
    for path in write_study(study, PERSON, tmp_path, compression="rle")[::7]:
        packed, plain = pydicom.dcmread(path), pydicom.dcmread(written / path.relative_to(tmp_path))
        assert packed.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
        assert (packed.pixel_array == plain.pixel_array).all()


def test_the_same_phantom_is_written_to_the_same_bytes(study: PhantomStudy, written: Path, tmp_path: Path) -> None:
    for path in write_study(study, PERSON, tmp_path)[::9]:
        assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes()


def test_uids_are_under_2_25_and_none_comes_twice(written: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in written.rglob("*.dcm")]
    instances = [header.SOPInstanceUID for header in headers]
    assert len(set(instances)) == len(instances)
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({header.SeriesInstanceUID for header in headers}) == 3
    for uid in (*instances, headers[0].StudyInstanceUID, headers[0].FrameOfReferenceUID):
        assert uid.startswith("2.25.")
        assert uid.is_valid


def test_another_phantom_of_the_same_seed_is_another_study_of_the_same_woman() -> None:
    assert study_uid(small(7, 3.0), PERSON) != study_uid(small(7, 4.0), PERSON)
    assert draw_person(7) == PERSON
    assert PERSON.patient_id == "SYNTH-0007"


def test_nobody_could_take_it_for_a_real_person(written: Path) -> None:
    header = pydicom.dcmread(next(written.rglob("*.dcm")), stop_before_pixels=True)
    for text in (header.PatientName, header.PatientID, header.StudyDescription, header.ImageComments):
        assert "SYNTH" in str(text)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_an_independent_validator_has_nothing_to_say(written: Path) -> None:
    for folder in sorted(path for path in written.iterdir() if path.is_dir()):
        done = subprocess.run(["dciodvfy", folder / "0002.dcm"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.split()) == (0, ["MRImage"]), done.stderr
