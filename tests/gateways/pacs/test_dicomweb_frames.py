"""Frames of a file fetched one by one over DICOMweb, where not all of them count."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from gateways.dicom.study import StudyFiles, open_study
from gateways.pacs.location import locate
from schemas.config import Config, Pacs
from schemas.measurement import Measurement, RegionSet
from tests.dicom_writer import StudyWriter, enhanced, item
from tests.gateways.pacs.archive import running
from vbq.imaging.measure import measure

Rois = dict[str, Any]


def measured(files: StudyFiles, rois: Rois, slice_uid: str) -> Measurement:
    regions = RegionSet.model_validate({**rois, "sop_instance_uid": slice_uid})
    return measure(files.study, files.load_pixels, regions)


def test_an_enhanced_series_is_chosen_and_fetched_over_dicomweb(writer: Any, rois: Rois, tmp_path: Path) -> None:
    writer.save(enhanced(writer), "t1/all")
    study = {"resourceType": "ImagingStudy", "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}]}
    with running(writer.root) as archive:
        config = Config(pacs=[Pacs(name="main", wado_rs=archive.url)])
        place = locate(study, [], config, scratch=tmp_path / "scratch")
    assert measured(open_study(place), rois, "2.25.9.1.1#5").vbq == pytest.approx(4.0)


def two_echoes(writer: Any) -> Dataset:
    """Each slice at an echo of 80 ms, in noise, and then at 10 ms: eighteen frames in one file."""
    dataset = enhanced(writer)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    del shared.MREchoSequence
    groups, frames, size = [], [], 2 * 64 * 64
    noise = np.random.default_rng(4).integers(0, 400, (64, 64)).astype("<u2").tobytes()
    for index, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        for echo in (80.0, 10.0):
            groups.append(item(PlanePositionSequence=group.PlanePositionSequence))
            groups[-1].MREchoSequence = [item(EffectiveEchoTime=echo)]
            frames.append(dataset.PixelData[index * size : (index + 1) * size] if echo == 10 else noise)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.NumberOfFrames, dataset.PixelData = len(frames), b"".join(frames)
    return dataset


def fetched(writer: Any, scratch: Path, fault: str | None = None) -> tuple[Path, list[str]]:
    """Where the series was put, and what the archive was asked for."""
    study = {"resourceType": "ImagingStudy", "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.9"}]}
    with running(writer.root) as archive:
        archive.fault = fault
        config = Config(pacs=[Pacs(name="main", wado_rs=archive.url)])
        return locate(study, [], config, scratch=scratch), archive.asked


def test_of_two_echoes_in_one_file_only_the_frames_that_count_are_fetched(
    writer: Any, rois: Rois, tmp_path: Path
) -> None:
    writer.save(two_echoes(writer), "t1/all")
    place, asked = fetched(writer, tmp_path / "scratch")
    assert asked[-1].endswith("/instances/2.25.9.1.1/frames/2,4,6,8,10,12,14,16,18")
    assert measured(open_study(place), rois, "2.25.9.1.1#10").vbq == pytest.approx(4.0)
    whole, ours = open_study(writer.root), open_study(place)  # numbers, geometry and pixels as in the archive's file
    for one, other in zip(whole.load_pixels("2.25.9.1").slices, ours.load_pixels("2.25.9.1").slices, strict=True):
        assert (one.sop_instance_uid, one.position_mm) == (other.sop_instance_uid, other.position_mm)
        assert (one.pixels == other.pixels).all()


@pytest.mark.parametrize("fault", ["no frames", "short frames"])
def test_where_an_archive_gives_no_frames_the_whole_is_fetched(
    fault: str, writer: Any, rois: Rois, tmp_path: Path
) -> None:
    writer.save(two_echoes(writer), "t1/all")
    place, asked = fetched(writer, tmp_path / "scratch", fault)
    assert asked[-1].endswith("/series/2.25.9.1")
    assert measured(open_study(place), rois, "2.25.9.1.1#10").vbq == pytest.approx(4.0)


def test_one_echo_is_fetched_whole(writer: Any, tmp_path: Path) -> None:
    writer.save(enhanced(writer), "t1/all")
    _, asked = fetched(writer, tmp_path / "scratch")
    assert not any("frames" in path for path in asked)


def test_frames_come_from_a_real_orthanc(orthanc: str, rois: Rois, tmp_path: Path) -> None:
    writer = StudyWriter(tmp_path / "two")
    dataset = two_echoes(writer)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.77", "2.25.77.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.77.1.1"
    path = writer.save(dataset, "all")
    with httpx.Client(base_url=orthanc.removesuffix("/dicom-web"), trust_env=False) as client:
        client.post("/instances", content=path.read_bytes()).raise_for_status()
    study = {"resourceType": "ImagingStudy", "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:2.25.77"}]}
    config = Config(pacs=[Pacs(name="main", wado_rs=orthanc)])
    place = locate(study, [], config, scratch=tmp_path / "scratch")
    (file,) = place.rglob("*.dcm")
    assert not dcmread(file).pixel_array[::2].any()  # the other echo was not fetched
    assert measured(open_study(place), rois, "2.25.77.1.1#10").vbq == pytest.approx(4.0)
