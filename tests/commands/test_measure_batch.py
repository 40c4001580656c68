"""`vbq measure --batch` and `--regions-only` on files."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from commands.measure import measure
from commands.measurement_table import Journal, row_of
from schemas.measurement import Measurement
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
