"""`vbq measure --batch` and `--regions-only` on files."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from commands.measure import measure
from commands.measurement_table import Journal, folder_name, row_of
from schemas.errors import NotAcceptable
from schemas.measurement import Measurement
from tests.conftest import wait_until
from vbq.imaging.unaided import ALGORITHM


def run(*arguments: object) -> Result:
    return CliRunner().invoke(measure, [str(one) for one in arguments], standalone_mode=False)


@pytest.fixture
def archive(tmp_path: Path, small_study: Path) -> Path:
    place = tmp_path / "archive"
    place.mkdir()
    (place / "empty").mkdir()
    for name in ("a", "b"):
        (place / name).mkdir()
        for path in sorted(small_study.rglob("*.dcm")):
            (place / name / path.name).write_bytes(path.read_bytes())
    return place


def test_a_stopped_batch_goes_on_and_every_folder_has_its_row(archive: Path, tmp_path: Path) -> None:
    table = tmp_path / "results.parquet"
    before = Measurement(status="measured", vbq=2.5, algorithm=ALGORITHM, study_uid="2.25.1")
    journal = Journal(table)
    journal.add(row_of("a", before, 0.1))
    with journal.path.open("a") as file:
        file.write('{"folder": "b", "sta')  # the stop
    answer = run("--batch", archive, "--out", table, "--processes", 1)
    assert answer.return_value == 0
    rows = {row["folder"]: row for row in pq.read_table(table).to_pylist()}
    assert set(rows) == {"a", "b", "empty"}
    assert rows["a"]["vbq"] == 2.5
    assert rows["b"]["status"] in ("measured", "needs_confirmation")
    assert rows["b"]["vbq"] == pytest.approx(4.1, rel=0.15)
    assert rows["empty"]["reasons"] == ["study-empty"]
    assert not journal.path.exists()


def test_regions_only_numbers_the_levels_and_gives_no_score(small_study: Path) -> None:
    answer = run(small_study, "--regions-only", "--json")
    assert answer.return_value == 0
    document = json.loads(answer.stdout)
    assert document["vbq"] is None
    assert {"L1", "L2", "L3", "L4"} <= set(document["levels"])


def test_batch_without_out_is_wrong_usage(archive: Path) -> None:
    answer = CliRunner().invoke(measure, ["--batch", str(archive)])
    assert answer.exit_code == 2
    assert "go together" in answer.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "t.csv"], "name it .parquet"),
        (["--out", "t.parquet", "--json"], "--processes alone"),
        (["--out", "t.parquet", "--regions-only"], "--processes alone"),
        (["--out", "t.parquet", "--png", "a.png"], "--processes alone"),
    ],
)
def test_options_that_a_batch_would_pass_over_are_refused(archive: Path, options: list[str], words: str) -> None:
    answer = CliRunner().invoke(measure, ["--batch", str(archive), *options])
    assert answer.exit_code == 2
    assert words in answer.output


def test_a_link_back_to_the_archive_is_no_study(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "loop").symlink_to(archive)
    (archive / "above").symlink_to(tmp_path)
    answer = CliRunner().invoke(measure, ["--batch", str(archive), "--out", str(tmp_path / "t.parquet")])
    assert "no folders below" in answer.output


def batch(archive: Path, table: Path, processes: int = 2) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "commands", "measure", "--batch", str(archive), "--out", str(table)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([*command, "--processes", str(processes)], **pipes)


def children_of(process: int) -> set[int]:
    """Processes below this one, by /proc."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(place.read_text().rsplit(")", 1)[1].split()[1]) == process:
                found.add(int(place.parent.name))
    return found | {one for child in found for one in children_of(child)}


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_batch_leaves_no_orphans_and_goes_on(archive: Path, tmp_path: Path) -> None:
    table = tmp_path / "results.parquet"
    broken = archive / "broken"
    broken.mkdir()
    (broken / "1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 200)
    first = batch(archive, table)
    journal = Journal(table)
    wait_until(lambda: any(journal.rows()), 90, "a first row")
    children = children_of(first.pid)
    first.kill()
    first.communicate()
    wait_until(lambda: not any(alive(one) for one in children), 30, "the end of its children")
    before = len(list(journal.rows()))
    again = batch(archive, table)
    _, said = again.communicate(timeout=180)
    assert again.returncode == 0, said
    assert f"{before} of 4 studies were measured before" in said
    rows = {row["folder"]: row for row in pq.read_table(table).to_pylist()}
    assert set(rows) == {"a", "b", "broken", "empty"}
    assert rows["broken"]["status"] == "not_measurable"
    assert rows["broken"]["reasons"]
    assert rows["a"]["vbq"] is not None


def test_two_runs_do_not_write_one_table(archive: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "results.parquet")
    with journal.alone():
        with pytest.raises(NotAcceptable, match="another run") as caught, Journal(tmp_path / "results.parquet").alone():
            pass
        assert caught.value.reason_code == "batch-running"
    with journal.alone():
        pass


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_measured(archive: Path, tmp_path: Path) -> None:
    answer = run("--batch", archive, "--out", tmp_path / "no such folder" / "results.parquet")
    assert isinstance(answer.exception, NotAcceptable)
    assert "folder of --out" in answer.exception.detail


def test_ctrl_c_says_that_it_can_go_on(archive: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"  # so many that the batch is not done when the signal comes
    for number in range(30):
        shutil.copytree(archive / "a", many / f"{number:02}")
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child of a background job would ignore it
    stopped = batch(many, tmp_path / "results.parquet", processes=1)
    signal.signal(signal.SIGINT, kept)
    wait_until(lambda: any(Journal(tmp_path / "results.parquet").rows()), 90, "a first row")
    os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does: parent and children alike
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said


def test_a_study_that_kills_its_process_gets_a_row_and_the_others_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commands import measure_batch

    monkeypatch.setattr(measure_batch, "_load", _nothing)
    monkeypatch.setattr(measure_batch, "_row", _deadly)
    folders = [tmp_path / name for name in ("a", "deadly", "c", "d")]
    rows = {row["folder"]: row for row in measure_batch._measured(folders, 2)}
    assert set(rows) == {"a", "deadly", "c", "d"}
    assert rows["deadly"]["reasons"] == ["process-died"]
    assert all(rows[name]["status"] == "needs_regions" for name in ("a", "c", "d"))


def _nothing(_: int) -> None:
    return


def _deadly(folder: Path) -> dict[str, object]:
    """Stands where a study is measured: one of them takes its process with it."""
    if folder.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return row_of(folder.name, Measurement(status="needs_regions", algorithm=ALGORITHM, study_uid="2.25.1"), 0.0)


def test_every_column_is_on_its_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")
    row = row_of("a", Measurement(status="measured", algorithm=ALGORITHM, study_uid="2.25.1"), 0.1)
    of_a_level = {"mean": "mean, sd", "sd": "mean, sd"} | {name: f"_{name}" for name in ("used", "height_loss")}
    of_a_level["suspected_genant"] = "_suspected_genant"
    for name in row:
        _, _, rest = name.removeprefix("csf_").partition("_")
        assert of_a_level.get(rest, name) in page, name


def test_a_folder_s_name_that_is_no_text_is_escaped() -> None:
    assert folder_name(Path(os.fsdecode(b"caf\xe9"))) == "caf\\xe9"
    assert folder_name(Path("Müller 1")) == "Müller 1"
