"""Sharing commits: who waits in a thread and who awaits on a loop get the same."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from gateways.store import group_commit
from gateways.store.database import Database
from gateways.store.group_commit import GroupCommit
from gateways.store.tables import inbox
from schemas.errors import StoreUnavailable

Commit = Callable[[Sequence[int]], list[int]]


def doubled(items: Sequence[int]) -> list[int]:
    """Refuses 13, as a database refuses a row: with the whole transaction."""
    if 13 in items:
        raise IntegrityError("INSERT", None, ValueError("13"))
    return [2 * item for item in items]


def test_coroutines_share_commits_and_a_refused_item_leaves_its_neighbours_alone() -> None:
    groups: list[int] = []
    first = threading.Event()

    def commit(items: Sequence[int]) -> list[int]:
        groups.append(len(items))
        first.wait(5)  # so that the rest gathers meanwhile
        return doubled(items)

    async def run(writer: GroupCommit[int, int]) -> list[int | BaseException]:
        asked = [writer.submit_soon(number) for number in range(20)]
        first.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    writer: GroupCommit[int, int] = GroupCommit(commit, name="test")
    answers = asyncio.run(run(writer))
    writer.close()
    assert isinstance(answers[13], StoreUnavailable)
    assert [answer for number, answer in enumerate(answers) if number != 13] == [2 * n for n in range(20) if n != 13]
    assert max(groups) > 1, "they shared a commit"


def test_who_waits_in_a_thread_shares_with_who_awaits() -> None:
    writer: GroupCommit[int, int] = GroupCommit(doubled, name="test")

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(writer.submit_soon(1), loop.run_in_executor(None, writer.submit, 2)))

    assert asyncio.run(run()) == [2, 4]
    writer.close()


def test_a_writer_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(group_commit, "LOOK_SECONDS", 0.02)
    hang = threading.Event()

    def commit(items: Sequence[int]) -> list[int]:
        hang.wait(5)
        return list(items)

    writer: GroupCommit[int, int] = GroupCommit(commit, name="test")

    async def run() -> None:
        with pytest.raises(StoreUnavailable):
            await writer.submit_soon(1)
        hang.set()
        await asyncio.sleep(0.05)  # the late result finds nobody, and harms nobody

    asyncio.run(run())
    writer.close()


def row_of(number: int, **changes: object) -> dict[str, object]:
    """A row of the inbox."""
    plain = {"source": "s", "resource_type": "Patient", "resource_id": f"p{number}", "version": "1", "body": b"{}"}
    state = {"interaction": "upsert", "state": "pending", "attempts": 0, "first_seen": 1.0, "due_at": 1.0}
    return {**plain, **state, "lease_token": 0, **changes}


def test_new_rows_go_in_together_or_not_at_all(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    database.migrate()
    made = database.insert_new(inbox, [row_of(number) for number in range(3)])
    assert made is not None
    assert len(set(made)) == 3
    assert database.insert_new(inbox, [row_of(7), row_of(1)]) is None, "one of them is there"
    assert database.insert_new(inbox, [row_of(8), row_of(8)]) is None, "twice the same"
    assert database.insert_new(inbox, [row_of(8), row_of(9, resource_id="\ud800")]) is None, "`write` says why"
    with database.read() as connection:
        assert connection.scalars(inbox.select().with_only_columns(inbox.c.id)).all() == made
    database.close()
