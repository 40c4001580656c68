"""A small DICOMweb archive on loopback: QIDO of series, WADO metadata and series, and faults on request."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from pydicom import dcmread

from tests.loopback import LoopbackServer, serving


class Archive(LoopbackServer):
    """Serves the files of a directory. `fault` is a status to answer, or cut | redirect | nonsense | single."""

    def __init__(self, root: Path) -> None:
        super().__init__(_Handler)
        self.datasets = [dcmread(path) for path in sorted(root.rglob("*")) if path.is_file()]
        self.asked: list[str] = []
        self.logins: list[str | None] = []
        self.fault: int | str | None = None
        self.refuses_storing: int | None = None
        self.retry_after: str | None = None
        self.answer: bytes | None = None
        self.tokens: list[str] = []
        self.refused_token: str | None = None
        self.forms: list[tuple[str | None, str]] = []
        self.stored: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def series(self, study_uid: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for dataset in self.datasets:
            if dataset.StudyInstanceUID == study_uid:
                found.setdefault(dataset.SeriesInstanceUID, []).append(dataset)
        return found


class _Handler(BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        archive = self.server
        archive.asked.append(self.path)
        archive.logins.append(self.headers.get("Authorization"))
        if isinstance(archive.fault, int):
            return self._send(archive.fault, "text/plain", b"no")
        if archive.refused_token is not None and archive.refused_token in ("*", archive.logins[-1]):
            return self._send(401, "text/plain", b"no")
        if archive.answer is not None:
            return self._send(200, "application/dicom+json", archive.answer)
        if archive.fault == "redirect":
            self.send_response(302)
            self.send_header("Location", archive.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if archive.fault == "nonsense":
            return self._send(200, "application/dicom+json", b"<html>not DICOM JSON")
        parts = self.path.split("?")[0].removeprefix("/dicom-web/studies/").split("/")
        series = archive.series(parts[0])
        if parts[-1] == "instances":
            return self._instances(parts[0])
        if len(parts) == 2:
            rows = [self._row(uid, rows[0]) for uid, rows in series.items()]
            return self._send(
                200 if rows else 204, "application/dicom+json", json.dumps(rows).encode() if rows else b""
            )
        instances = series.get(parts[2], [])
        if "frames" in parts:
            return self._frames(instances, parts[4], parts[6])
        if parts[-1] == "metadata":
            rows = [self._metadata(dataset) for dataset in instances]
            return self._send(200, "application/dicom+json", json.dumps(rows).encode())
        return self._pixels(instances)

    def do_POST(self) -> None:
        """STOW-RS: keep every part."""
        from io import BytesIO

        archive = self.server
        archive.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            archive.asked.pop()
            archive.forms.append((self.headers.get("Authorization"), body.decode()))
            token = {"access_token": archive.tokens.pop(0), "token_type": "Bearer", "expires_in": 300}
            return self._send(200, "application/json", json.dumps(token).encode())
        if isinstance(archive.fault, int) or archive.refuses_storing is not None:
            status = archive.fault if isinstance(archive.fault, int) else archive.refuses_storing
            assert status is not None
            return self._send(status, "text/plain", b"no")
        boundary = self.headers["Content-Type"].split("boundary=")[1].encode()
        for part in body.split(b"--" + boundary)[1:-1]:
            archive.stored.append(dcmread(BytesIO(part.split(b"\r\n\r\n", 1)[1][:-2])))
        return self._send(200, "application/dicom+json", b'{"00081199": {"vr": "SQ"}}')

    def _instances(self, study_uid: str) -> None:
        from urllib.parse import parse_qs, urlsplit

        wanted = parse_qs(urlsplit(self.path).query)["SOPInstanceUID"]
        known = [*self.server.datasets, *self.server.stored]
        found = [row for row in known if row.StudyInstanceUID == study_uid and row.SOPInstanceUID in wanted]
        rows = [{"00080018": {"vr": "UI", "Value": [row.SOPInstanceUID]}} for row in found]
        self._send(200 if rows else 204, "application/dicom+json", json.dumps(rows).encode() if rows else b"")

    def _frames(self, instances: list[Any], sop_instance_uid: str, numbers: str) -> None:
        if self.server.fault == "no frames":
            self._send(501, "text/plain", b"no")
            return
        (dataset,) = (row for row in instances if row.SOPInstanceUID == sop_instance_uid)
        size = dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
        if self.server.fault == "short frames":
            size -= 2
        body = b""
        for number in map(int, numbers.split(",")):
            frame = dataset.PixelData[(number - 1) * size : number * size]
            body += b"\r\n--xyz\r\nContent-Type: application/octet-stream\r\n\r\n" + frame
        self._send(200, 'multipart/related; type="application/octet-stream"; boundary="xyz"', body + b"\r\n--xyz--")

    def _pixels(self, instances: list[Any]) -> None:
        from io import BytesIO

        body = b""
        for dataset in instances:
            file = BytesIO()
            dataset.save_as(file, enforce_file_format=True)
            body += b"\r\n--xyz\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue()
        body += b"\r\n--xyz--"
        if self.server.fault == "cut":
            body = body[: len(body) // 2]
        self._send(200, 'multipart/related; type="application/dicom"; boundary="xyz"', body)

    @staticmethod
    def _row(uid: str, dataset: Any) -> dict[str, Any]:
        return {
            "0020000E": {"vr": "UI", "Value": [uid]},
            "00080060": {"vr": "CS", "Value": [dataset.Modality]},
        }

    @staticmethod
    def _metadata(dataset: Any) -> dict[str, Any]:
        row: dict[str, Any] = dataset.to_json_dict(bulk_data_threshold=1, bulk_data_element_handler=lambda _: "bulk")
        row.pop("7FE00010", None)
        return row

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


@contextmanager
def running(root: Path) -> Iterator[Archive]:
    """The archive, listening until the block ends."""
    archive = Archive(root)
    with serving(archive):
        yield archive
