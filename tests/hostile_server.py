"""An HTTP server on loopback whose every answer a test writes: slow, endless, circular, cut off, or just right."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import LoopbackServer, serving

Json = dict[str, Any]


@dataclass
class Asked:
    """One request as it came. `path` begins after the base."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Answer:
    """What goes back. `raw` writes to the socket itself, headers and all; `cut` closes before a byte of the answer."""

    status: int = 200
    document: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[Any], None] | None = None
    cut: bool = False


Script = Callable[[Asked], Answer]


class Hostile:
    """`script` answers everything; `asked` is what came, in order."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.root = ""

    @property
    def base(self) -> str:
        return f"{self.root}/fhir"

    def paths(self, method: str = "GET") -> list[str]:
        return [one.path for one in self.asked if one.method == method]


def bundle(*resources: Json, following: str | None = None) -> Json:
    """A searchset."""
    made: Json = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": row} for row in resources]}
    return {**made, "link": [{"relation": "next", "url": following}]} if following else made


def answers(known: dict[str, Any]) -> Script:
    """A script from a dictionary: the longest beginning of the path counts; an Answer, or a document for 200."""

    def script(asked: Asked) -> Answer:
        name = max((name for name in known if asked.path.startswith(name)), key=len, default=None)
        if name is None:
            return Answer(404, {"resourceType": "OperationOutcome", "issue": [{"code": "not-found"}]})
        found = known[name]
        return found if isinstance(found, Answer) else Answer(200, found)

    return script


@contextlib.contextmanager
def hostile(script: Script) -> Iterator[Hostile]:
    """Serves until the block ends."""
    here = Hostile(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path.removeprefix("/fhir").removeprefix("/"), headers, body)
            here.asked.append(asked)
            answer = here.script(asked)
            with contextlib.suppress(OSError):  # the client may have given up
                if answer.cut:
                    self.close_connection = True
                elif answer.raw is not None:
                    self.close_connection = True
                    answer.raw(self.wfile)
                else:
                    self.reply(answer)

        def reply(self, answer: Answer) -> None:
            given = answer.document
            content = given if isinstance(given, bytes) else json.dumps(given).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    for method in ("GET", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    server = LoopbackServer(Handler)
    here.root = f"http://127.0.0.1:{server.port}"
    with serving(server):
        yield here
