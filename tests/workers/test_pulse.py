"""Children that run and do nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.stack import ROOT, wait_until
from workers import pulse
from workers.pulse import MOST_LOOKS, Watch

CHILD = """
import sys, time
from pathlib import Path
from workers import pulse

pulse.BEAT_SECONDS = 0.05
pulse.begin(Path(sys.argv[1]))
time.sleep(60)
"""


def test_a_child_that_froze_is_killed_and_one_that_works_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT) as frozen, subprocess.Popen(command, cwd=ROOT) as working:
        try:
            files = [pulse.pulses(tmp_path) / str(one.pid) for one in (frozen, working)]
            wait_until(lambda: all(path.exists() for path in files), 20, "the first signs")
            watch = Watch(tmp_path)
            assert watch.look() == []
            os.kill(frozen.pid, signal.SIGSTOP)
            time.sleep(0.2)
            killed: list[int] = []
            for _ in range(MOST_LOOKS + 2):
                assert killed == [], "sooner than it may"
                killed += watch.look()
                if killed:
                    break
                before = files[1].stat().st_mtime
                wait_until(lambda before=before: files[1].stat().st_mtime != before, 10, "a sign of the other one")
            assert killed == [frozen.pid]
            assert frozen.wait(10) == -signal.SIGKILL
            assert working.poll() is None
        finally:
            frozen.kill()
            working.kill()
    assert Watch(tmp_path).look() == []
    assert list(pulse.pulses(tmp_path).iterdir()) == [], "files of the dead are taken away"


def test_processes_of_others_are_left_alone(tmp_path: Path) -> None:
    place = pulse.pulses(tmp_path)
    place.mkdir()
    (place / "1").touch()  # not our child: another worker's on the same directory
    (place / "notes.txt").touch()
    watch = Watch(tmp_path)
    assert [watch.look() for _ in range(MOST_LOOKS + 3)] == [[]] * (MOST_LOOKS + 3)
    assert (place / "1").exists()
