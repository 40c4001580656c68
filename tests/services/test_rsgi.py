"""The service as granian calls it: an event loop, bodies in pieces, a pool for what may wait. No server is started."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from granian._granian import RSGIProtocolClosed
from werkzeug.datastructures import Headers

from schemas.fhir.events import events_of
from services.pool import Pool
from services.rsgi import Entry
from services.web import Service

Answer = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/fhir+json"}


class Told:
    """What granian says of a request."""

    def __init__(self, method: str, path: str, headers: dict[str, str]) -> None:
        self.method, self.path, self.query_string, self.scheme = method, path, "", "http"
        self.client = "127.0.0.1:50000"
        self.headers = Headers({"Host": "127.0.0.1:8080", **headers})


class Wire:
    """A body in pieces, and the answer to it. `cut`: the client goes away after the pieces."""

    def __init__(self, pieces: list[bytes], *, cut: bool = False) -> None:
        self.pieces, self.cut = pieces, cut
        self.read = 0
        self.answer: Answer | None = None

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.read += len(piece)
            yield piece
        if self.cut:
            raise RSGIProtocolClosed("RSGI transport is closed")

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert self.answer is None, "one answer for one request"
        self.answer = (status, dict(headers), body)


def observation(number: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "38267-1"}]},
        "subject": {"reference": "Patient/p1"},
        **more,
    }


@pytest.fixture
def served(make_app: Callable[..., Service]) -> Callable[..., Any]:
    """Makes a function that sends many requests at once and gives their answers."""

    def make(**settings: Any) -> Callable[..., list[Answer | None]]:
        entry = Entry(make_app(**{"dev_open": True, **settings}))

        def ask(*calls: tuple[Told, Wire]) -> list[Answer | None]:
            async def run() -> None:
                entry.__rsgi_init__(asyncio.get_running_loop())
                await asyncio.gather(*(entry.__rsgi__(told, wire) for told, wire in calls))

            asyncio.run(run())
            return [wire.answer for _, wire in calls]

        return ask

    return make


def post(body: bytes, path: str = "/events", **headers: str) -> tuple[Told, Wire]:
    return Told("POST", path, {**JSON, "Content-Length": str(len(body)), **headers}), Wire([body])


def test_many_at_once_share_commits_and_each_gets_its_own_receipt(served: Callable[..., Any]) -> None:
    ask = served()
    answers = ask(*(post(json.dumps(observation(number)).encode()) for number in range(40)))
    assert {status for status, _, _ in answers} == {202}
    receipts = [json.loads(json.loads(body)["issue"][0]["diagnostics"])["receipt"][0] for _, _, body in answers]
    assert [row["resource"] for row in receipts] == [f"Observation/o{number}" for number in range(40)]
    assert len({row["event"] for row in receipts}) == 40
    again = ask(post(json.dumps(observation(3)).encode()))
    assert again[0][0] == 200
    assert '\\"repeat\\":true' in again[0][2].decode()


def test_the_loop_and_a_wsgi_server_answer_alike(served: Callable[..., Any], make_app: Callable[..., Service]) -> None:
    """One function answers both: what differs is who waits."""
    ask, client = served(), make_app(dev_open=True).test_client()
    bodies = [
        json.dumps(observation(9)).encode(),
        b'{"resourceType":"Observation","id":"x"}',
        b"{",
        b'{"resourceType":"Nothing"}',
        json.dumps({"resourceType": "Bundle", "type": "batch", "entry": []}).encode(),
    ]
    client.post("/events", data=bodies[0], headers=JSON)  # from here on a repeat, there and here
    for body in bodies:
        there = client.post("/events", data=body, headers=JSON)
        (status, headers, answer), *_ = ask(post(body))
        assert (status, headers["Content-Type"]) == (there.status_code, there.headers["Content-Type"])
        assert {"Cache-Control", "Content-Security-Policy", "X-Content-Type-Options"} <= set(headers)
        assert json.loads(answer) == there.get_json()


def test_a_body_in_pieces_is_bounded_and_its_client_may_finish_sending(served: Callable[..., Any]) -> None:
    ask = served(max_body_bytes=2048)
    body = json.dumps(observation(1)).encode()
    pieces = [body[:100], body[100:]]
    chunked = {**JSON, "Transfer-Encoding": "chunked"}
    small, large = Wire(pieces), Wire([*pieces, b" " * 4096])
    answers = ask((Told("POST", "/events", chunked), small), (Told("POST", "/events", chunked), large))
    assert [status for status, _, _ in answers] == [202, 413]
    assert large.read == len(body) + 4096, "it was read to its end, and not kept"
    stated = Wire([b" " * 4096])
    (answer,) = ask((Told("POST", "/events", {**JSON, "Content-Length": "4096"}), stated))
    assert answer[0] == 413
    assert b"VBQ_MAX_BODY_BYTES" in answer[2]


@pytest.mark.parametrize("path", ["/events", "/cds-services/vertebral-fracture-risk-view/feedback"])
def test_a_body_that_is_cut_off_is_no_event(served: Callable[..., Any], path: str) -> None:
    wire = Wire([b'{"resourceType":'], cut=True)
    (answer,) = served()((Told("POST", path, {**JSON, "Content-Length": "500"}), wire))
    assert answer[0] == 400
    assert b"Content-Length" in answer[2]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/static/page.css", 200),
        ("DELETE", "/events", 405),
        ("GET", "/nowhere/ä", 404),
        ("GET", "/cds-services", 200),
        ("POST", "/cds-services/unheard-of", 404),
    ],
)
def test_what_is_not_on_a_lane_is_answered_by_flask(
    served: Callable[..., Any], method: str, path: str, status: int
) -> None:
    (answer,) = served()((Told(method, path, {**JSON, "Content-Length": "2"}), Wire([b"{}"])))
    assert answer[0] == status
    assert answer[1]["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_long_body_is_read_beside_the_loop(served: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(*args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return events_of(*args, **kwargs)

    monkeypatch.setattr("services.intake.events_of", noted)
    entries = [{"resource": observation(number, note=[{"text": "x" * 2000}])} for number in range(100)]
    bundle = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    ask = served()
    ask(post(json.dumps(observation(500)).encode()))  # the first request looks for room, in the pool
    threads.clear()
    answers = ask(post(bundle), post(json.dumps(observation(501)).encode()))
    assert [status for status, _, _ in answers] == [202, 202]
    assert sorted(name.startswith("pool") for name in threads) == [False, True]


def test_one_thread_computes_and_what_is_stuck_holds_nobody_up() -> None:
    """A job that waits is overtaken by another thread; short ones follow one another on one."""
    threads: list[str] = []
    let_go = threading.Event()

    def short() -> str:
        threads.append(threading.current_thread().name)
        return "short"

    async def run() -> list[Any]:
        pool = Pool(asyncio.get_running_loop(), threads=3)
        stuck = pool.run(lambda: let_go.wait(5) and "late")
        began = time.monotonic()
        quick = await asyncio.gather(*(pool.run(short) for _ in range(50)))
        took = time.monotonic() - began
        assert not stuck.done()
        assert took < 2
        let_go.set()
        return [*quick, await stuck]

    assert asyncio.run(run()) == ["short"] * 50 + ["late"]
    assert len(set(threads)) == 1


def test_more_than_all_threads_stuck_is_a_queue_that_ends(served: Callable[..., Any]) -> None:
    numbers = itertools.count()

    def wait() -> int:
        time.sleep(0.02)
        return next(numbers)

    async def run() -> list[int]:
        pool = Pool(asyncio.get_running_loop(), threads=4)
        return await asyncio.gather(*(pool.run(wait) for _ in range(20)))

    assert sorted(asyncio.run(run())) == list(range(20))


def test_an_error_in_the_pool_reaches_who_awaits_it() -> None:
    async def run() -> None:
        pool = Pool(asyncio.get_running_loop())
        with pytest.raises(ZeroDivisionError):
            await pool.run(lambda: 1 / 0)
        assert await pool.run(lambda: 1) == 1

    asyncio.run(run())
