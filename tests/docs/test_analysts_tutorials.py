"""docs/tutorials/reproduce-the-paper.md and refit-on-your-cohort.md, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
ROOT = FOLDER.parents[1]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_of(page: str) -> tuple[str, int]:
    """The page's blocks as one shell script, and how many there are."""
    blocks = BLOCK.findall(page)
    parts = [text if kind == "sh" else f"python3 - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON\n" for kind, text in blocks]
    return "set -euo pipefail\n" + "\n".join(parts), len(parts)


def run(name: str, place: Path) -> subprocess.CompletedProcess[str]:
    script, blocks = script_of((FOLDER / name).read_text(encoding="utf-8"))
    assert blocks >= 7
    tools = place / "bin"
    tools.mkdir()
    for tool, arguments in (("vbq", "-m commands"), ("python3", "-W error")):
        (tools / tool).write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" {arguments} "$@"\n')
        (tools / tool).chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
    environment = {**clean, "PATH": f"{tools}:{os.environ['PATH']}"}
    environment.pop("DISPLAY", None)
    return subprocess.run(
        ["bash", "-c", script], cwd=place, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def test_the_paper_can_be_reproduced_by_the_tutorial_s_commands(tmp_path: Path) -> None:
    done = run("reproduce-the-paper.md", tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "mutual" in done.stdout
    for figure in ("roc.png", "ratios.png"):
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")


def test_a_model_can_be_refitted_by_the_tutorial_s_commands(tmp_path: Path) -> None:
    done = run("refit-on-your-cohort.md", tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "decimal comma" in done.stdout
    for page in ("internal/validation.html", "external/validation.html", "card.html", "report/report.html"):
        assert (tmp_path / page).read_text().lower().startswith("<!doctype html>")
