"""docs/tutorials/deploy-and-roll-back.md, run as it stands."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "deploy-and-roll-back.md"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.stack
@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_works_in_its_order(short_dir: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 9
    script = short_dir / "tutorial.sh"
    script.write_text("set -euo pipefail\n" + "\n".join(blocks))
    tools = short_dir / "bin"
    tools.mkdir()
    vbq = tools / "vbq"
    root = PAGE.parents[2]
    vbq.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m commands "$@"\n')
    vbq.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("VBQ_")}
    environment = {**clean, "PATH": f"{tools}:{os.environ['PATH']}", "VBQ_PORT": str(free_port())}
    done = subprocess.run(
        ["bash", str(script)], cwd=short_dir, env=environment, capture_output=True, text=True, timeout=570, check=False
    )
    log = short_dir / "up.log"
    started = log.read_text()[-3000:] if log.exists() else ""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{started}"
    for words in ("nobody sees it", "revoked", "vbq_monitor_alerts"):
        assert words in done.stdout
    assert "may not deploy" in done.stderr
