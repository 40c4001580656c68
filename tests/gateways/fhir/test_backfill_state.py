"""How far a back-fill is, on both databases."""

from collections import Counter

from gateways.fhir.backfill_state import MOST_CODES, BackfillState, Batch, Part
from gateways.store.database import Database
from tests.gateways.conftest import Clock

BASE = "https://ehr.example/fhir"
FILE = Part(0, "output", "Patient", f"{BASE}/1", with_login=True, total=9)


def test_what_was_begun_is_found_again_until_it_is_done(database: Database, clock: Clock) -> None:
    state = BackfillState(database, clock=clock)
    begun = state.begin("hapi", BASE, ["Patient", "Condition"], "")
    assert state.unfinished("hapi", BASE, ["Patient", "Condition"], "") == begun
    for other in (
        ("engine", BASE, ["Patient", "Condition"], ""),
        ("hapi", BASE, ["Patient"], ""),
        ("hapi", "x", [], ""),
    ):
        assert state.unfinished(*other) is None
    state.asked(begun.id, "export", f"{BASE}/state")
    state.reading(begun.id, [FILE])
    found = state.show(begun.id)
    assert (found.mode, found.state, found.status_url) == ("export", "reading", f"{BASE}/state")
    state.done(begun.id)
    assert state.unfinished("hapi", BASE, ["Patient", "Condition"], "") is None
    assert state.latest()[0].state == "done"
    again = state.begin("hapi", BASE, ["Patient"], "")
    state.give_up("hapi")
    assert state.show(again.id).mode == "left"


def test_batches_add_up_part_by_part(database: Database) -> None:
    state = BackfillState(database)
    work = state.begin("hapi", BASE, ["Patient"], "2026-01-01T00:00:00.000Z")
    search = Part(1, "search", "Condition", f"{BASE}/Condition", with_login=True, total=None)
    state.reading(work.id, [FILE, search])
    state.add(work.id, FILE, Batch(lines=5, fresh=3, known=1, passed_over=Counter({"not-json": 1})))
    state.add(work.id, FILE, Batch(lines=4, fresh=4), through=True)
    state.add(work.id, search, Batch(lines=2, known=2), url=f"{BASE}/Condition?page=2")
    file, pages = state.parts(work.id)
    assert (file.lines, file.finished, pages.lines, pages.finished) == (9, True, 2, False)
    assert pages.url == f"{BASE}/Condition?page=2"
    found = state.show(work.id)
    assert (found.fresh, found.known, found.passed_over, found.problems) == (7, 3, 1, {"not-json": 1})
    made_up = Counter({f"server-{number}": 1 for number in range(3 * MOST_CODES)})
    state.add(work.id, search, Batch(passed_over=made_up))
    assert len(state.show(work.id).problems) == MOST_CODES + 1
    assert state.show(work.id).passed_over == 3 * MOST_CODES + 1


def test_one_process_works_on_it_at_a_time(database: Database, clock: Clock) -> None:
    state = BackfillState(database, clock=clock)
    work = state.begin("hapi", BASE, ["Patient"], "")
    assert state.hold(work.id, "one", 20)
    assert not state.hold(work.id, "other", 20)
    clock.pass_(21)
    assert state.hold(work.id, "other", 20)
    state.leave(work.id, "one")
    assert not state.hold(work.id, "one", 20)
    state.leave(work.id, "other")
    assert state.hold(work.id, "one", 20)
