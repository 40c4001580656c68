"""Notes from a service to the sweeper: soon where Redis is there, lost without harm where it is not."""

import threading
import time
from pathlib import Path

import pytest

from gateways.queue import wake_channel
from gateways.queue.wake_channel import WakeChannel, WakeKind, read
from gateways.settings import Settings
from schemas.errors import BrokerUnavailable
from tests.proxy import Proxy
from tests.stack import wait_until


def say_until_heard(mouth: WakeChannel, kind: WakeKind, heard: list[tuple[str, int]]) -> None:
    """Published until somebody listens: what is said before that is gone, as it may be."""

    def say() -> bool:
        mouth.publish(kind, 1)
        return bool(heard)

    wait_until(say, 10, "a first note")


def test_what_is_published_is_heard_within_milliseconds(redis_url: str) -> None:
    heard: list[tuple[str, int]] = []
    stopped = threading.Event()
    ear, mouth = (WakeChannel(Settings(redis_url=redis_url)) for _ in range(2))
    thread = threading.Thread(target=ear.listen, args=(lambda kind, row: heard.append((kind, row)), stopped))
    thread.start()
    try:
        say_until_heard(mouth, "event", heard)
        heard.clear()
        mouth.publish("measure", 42)
        wait_until(lambda: ("measure", 42) in heard, 5, "the note")
    finally:
        stopped.set()
        thread.join(5)
        ear.close()
        mouth.close()


def test_an_ear_that_hears_nothing_for_long_subscribes_anew(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open connection looks like one with no news; the proxy swallows what is said until it is cut."""
    monkeypatch.setattr(wake_channel, "SILENCE_SECONDS", 0.5)
    proxy = Proxy(Path(redis_url.removeprefix("redis+socket://")))
    heard: list[tuple[str, int]] = []
    stopped = threading.Event()
    ear = WakeChannel(Settings(redis_url=f"redis://127.0.0.1:{proxy.port}/0"))
    mouth = WakeChannel(Settings(redis_url=redis_url))
    thread = threading.Thread(target=ear.listen, args=(lambda kind, row: heard.append((kind, row)), stopped))
    thread.start()
    try:
        wait_until(lambda: proxy.accepted >= 3, 20, "new subscriptions")
        say_until_heard(mouth, "assess", heard)
    finally:
        stopped.set()
        thread.join(5)
        for end in (ear, mouth, proxy):
            end.close()


def test_without_redis_publishing_fails_soon_and_listening_waits(tmp_path: Path) -> None:
    settings = Settings(redis_url=f"redis+socket://{tmp_path}/nobody.sock")
    begun = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        WakeChannel(settings).publish("event", 1)
    assert time.monotonic() - begun < 3.0
    stopped = threading.Event()
    thread = threading.Thread(target=WakeChannel(settings).listen, args=(lambda *_: None, stopped))
    thread.start()
    stopped.set()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("note", [b"", b"event", b"event x", b"event -1", b"nonsense 3", b"event 1 2", b"\xff 1"])
def test_what_is_no_note_is_passed_over(note: bytes) -> None:
    assert read(note) is None


def test_a_note_is_a_kind_and_a_row() -> None:
    assert read(b"fetch 12") == ("fetch", 12)
