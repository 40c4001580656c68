"""A real archive, where the machine has one."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest


@pytest.fixture
def orthanc(tmp_path: Path, study: Path) -> Iterator[str]:
    """A real Orthanc with its DICOMweb plugin, holding the made-up study."""
    program = shutil.which("Orthanc")
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if program is None or not plugin.exists():
        pytest.skip("Orthanc with its DICOMweb plugin is not installed (Debian: orthanc, orthanc-dicomweb)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "HttpPort": port,
        "StorageDirectory": str(tmp_path / "orthanc"),
        "IndexDirectory": str(tmp_path / "orthanc"),
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, trust_env=False, timeout=10) as client:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    client.get("/system").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            for path in study.rglob("*"):
                if path.is_file():
                    client.post("/instances", content=path.read_bytes()).raise_for_status()
        yield f"{base}/dicom-web"
    finally:
        process.terminate()
        process.wait(timeout=20)
