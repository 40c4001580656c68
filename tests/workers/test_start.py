"""How the processes start: what they may not load, and how they refuse."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("lifelines", "pandas", "matplotlib", "highdicom", "torch", "numba")


def workers(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("VBQ_")}, **variables}
    command = [sys.executable, "-m", "workers", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import workers.app; workers.app.preload()",
        "import workers.sweeper",
        "import services.rsgi",
        "import commands.up",
    ],
)
def test_no_statistics_library_is_loaded_by_what_serves(code: str) -> None:
    measures = "preload" in code  # finding regions needs scipy's image filters; nobody else needs scipy
    unwanted = SLOW if measures else (*SLOW, "scipy", "onnxruntime")
    say = f"{code}; import sys; print(sorted(set({unwanted!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_setting_ends_the_worker_in_words_without_the_value(tmp_path: Path) -> None:
    done = workers("work", VBQ_DATA_DIR=str(tmp_path), VBQ_TASK_SECONDS="soon-CANARY")
    assert done.returncode == 1
    assert "VBQ_TASK_SECONDS" in done.stderr
    assert "CANARY" not in done.stderr


def test_an_unknown_queue_is_wrong_usage(tmp_path: Path) -> None:
    done = workers("work", "--queues", "imaging,nonsense", VBQ_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "nonsense" in done.stderr
