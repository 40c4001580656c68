"""Images that were fetched do not outlive the process that fetched them."""

import subprocess
import sys
from pathlib import Path

from workers.scratch import clear_scratch, scratch


def test_a_directory_is_gone_after_its_block(tmp_path: Path) -> None:
    with scratch(tmp_path) as place:
        (place / "image.dcm").write_bytes(b"x")
        assert place.is_relative_to(tmp_path)
    assert not place.exists()


def test_what_a_killed_process_left_is_cleared_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    left = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    orphan = tmp_path / "scratch" / f"{left}-abc"
    orphan.mkdir(parents=True)
    (orphan / "image.dcm").write_bytes(b"x")
    with scratch(tmp_path) as mine:
        assert clear_scratch(tmp_path) == 1
        assert not orphan.exists()
        assert mine.exists()
