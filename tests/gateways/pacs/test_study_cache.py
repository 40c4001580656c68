"""Series kept on disk: found again, bounded, fresh, and never in anybody's way."""

import os
import threading
import time
from pathlib import Path

import pytest

from gateways.dicom.limits import DicomLimits
from gateways.pacs.location import locate
from gateways.pacs.study_cache import StudyCache
from schemas.config import Config, Pacs
from tests.gateways.pacs.archive import running
from tests.gateways.pacs.test_dicomweb import STUDY


def cache(place: Path, *, most_bytes: int = 10_000, hours: float = 1.0) -> StudyCache:
    return StudyCache(place / "cache", most_bytes=most_bytes, hours=hours)


def folder(place: Path, name: str, **files: bytes) -> Path:
    (place / name).mkdir()
    for file, content in files.items():
        (place / name / file).write_bytes(content)
    return place / name


def test_what_was_kept_is_found_again_under_its_key_alone(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.keep("1.2", b"key", folder(tmp_path, "a", one=b"1", two=b"2"))
    again = folder(tmp_path, "b")
    assert kept.take("1.2", b"key", again)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {"one": b"1", "two": b"2"}
    for study, key in (("1.2", b"other"), ("1.3", b"key")):
        assert not kept.take(study, key, folder(tmp_path, f"c{study}{key!r}"))


def test_names_on_disk_say_nothing_and_are_for_the_owner_alone(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.keep("../../1.2.3", b"../../../etc", folder(tmp_path, "a", one=b"1"))
    names = [path.name for path in (tmp_path / "cache").rglob("*")]
    assert len(names) == 3
    assert not any("1.2.3" in name or "etc" in name for name in names)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "cache"]


def test_beyond_the_bound_what_was_unused_for_longest_goes(tmp_path: Path) -> None:
    kept = cache(tmp_path, most_bytes=250)
    for number in range(3):
        kept.keep(f"1.{number}", b"key", folder(tmp_path, f"a{number}", one=b"x" * 100))
        time.sleep(0.02)
        assert kept.take("1.0", b"key", folder(tmp_path, f"b{number}"))  # the first one stays in use
        time.sleep(0.02)
    there = [kept.take(f"1.{number}", b"key", folder(tmp_path, f"c{number}")) for number in range(3)]
    assert there == [True, False, True]
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("one")) <= 250


def test_what_is_too_old_is_neither_given_nor_kept_however_often_it_is_used(tmp_path: Path) -> None:
    clock = [time.time()]
    kept = StudyCache(tmp_path / "cache", most_bytes=1000, hours=1, clock=lambda: clock[0])
    kept.keep("1.2", b"key", folder(tmp_path, "a", one=b"1"))
    for number in range(3):
        clock[0] += 1300
        assert kept.take("1.2", b"key", folder(tmp_path, f"b{number}")) is (number < 2)
    assert kept.tidy() == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_bytes_means_no_cache(tmp_path: Path) -> None:
    kept = cache(tmp_path, most_bytes=0)
    kept.keep("1.2", b"key", folder(tmp_path, "a", one=b"1"))
    assert not kept.take("1.2", b"key", folder(tmp_path, "b"))
    assert not (tmp_path / "cache").exists()


def test_a_patient_s_study_is_forgotten_on_request(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    kept.keep("1.2", b"one", folder(tmp_path, "a", one=b"1"))
    kept.keep("1.2", b"two", folder(tmp_path, "b", one=b"1"))
    kept.keep("1.3", b"one", folder(tmp_path, "c", one=b"1"))
    assert kept.forget("1.2")
    assert not kept.forget("1.2")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_workers_may_keep_take_and_remove_at_once(tmp_path: Path) -> None:
    """Whatever is taken is whole: both files, of one writer."""
    torn: list[str] = []
    taken = [0]

    def work(number: int) -> None:
        mine = StudyCache(tmp_path / "cache", most_bytes=900, hours=1)
        for turn in range(60):
            name = f"{number}-{turn}"
            study = f"1.{turn % 4}"
            content = name.encode().ljust(100)
            mine.keep(study, b"key", folder(tmp_path, f"a{name}", one=content, two=content))
            target = folder(tmp_path, f"b{name}")
            if mine.take(study, b"key", target):
                taken[0] += 1
                found = {path.name: path.read_bytes() for path in target.iterdir()}
                if set(found) != {"one", "two"} or found["one"] != found["two"]:
                    torn.append(name)
            if turn % 7 == 0:
                mine.forget(study)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torn == []
    assert taken[0] > 50


def test_what_a_killed_worker_left_half_made_is_removed(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    half = tmp_path / "cache" / ".new-killed"
    half.mkdir(parents=True)
    (half / "one").write_bytes(b"1")
    kept.tidy()
    assert half.exists()
    os.utime(half, (0, 0))
    kept.tidy()
    assert not half.exists()


def test_a_series_is_fetched_once_and_again_when_the_archive_changes_it(study: Path, tmp_path: Path) -> None:
    kept = cache(tmp_path, most_bytes=2**24)
    with running(study) as archive:
        config = Config(pacs=[Pacs(name="main", wado_rs=archive.url)])

        def pixels(number: int) -> int:
            before = len(archive.asked)
            place = locate(STUDY, [], config, scratch=tmp_path / f"s{number}", limits=DicomLimits(), cache=kept)
            assert len(list(place.rglob("*.dcm"))) == 9
            return len([path for path in archive.asked[before:] if path.endswith("/series/2.25.9.1")])

        assert [pixels(0), pixels(1)] == [1, 0]
        for dataset in archive.datasets:
            dataset.PatientID = "CORRECTED"
        assert [pixels(2), pixels(3)] == [1, 0]
        other = Config(pacs=[Pacs(name="other", wado_rs=archive.url)])
        config = other
        assert pixels(4) == 1


def test_a_disk_that_fails_costs_a_fetch_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    kept = cache(tmp_path)
    kept.keep("1.2", b"key", folder(tmp_path, "a", one=b"1"))
    assert not kept.take("1.2", b"key", folder(tmp_path, "b"))
    with pytest.raises(FileNotFoundError):
        (tmp_path / "b" / "one").stat()
