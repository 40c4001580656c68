"""Watermarks of the reconciliation poll, on both databases."""

from gateways.fhir.watermarks import Watermarks
from gateways.store.database import Database
from tests.gateways.conftest import Clock


def test_one_process_polls_at_a_time_and_a_killed_one_is_followed(database: Database, clock: Clock) -> None:
    marks = Watermarks(database, clock=clock)
    assert marks.lead("one", 90)
    assert not marks.lead("other", 90)
    assert marks.lead("one", 90)
    clock.pass_(91)
    assert marks.lead("other", 90)
    marks.leave("other")
    assert marks.lead("one", 90)


def test_a_watermark_begins_now_and_never_goes_back(database: Database, clock: Clock) -> None:
    marks = Watermarks(database, clock=clock)
    begun = clock.now
    assert marks.seen_until("hapi", "Patient") == begun
    clock.pass_(100)
    assert marks.seen_until("hapi", "Patient") == begun
    marks.move("hapi", "Patient", begun + 60, through=False)
    assert marks.polled_at("hapi", "Patient") == 0.0
    marks.move("hapi", "Patient", begun + 20, through=True)
    assert marks.polled_at("hapi", "Patient") == clock.now
    marks.failed("hapi", "Patient", "ehr-unavailable")
    (mark,) = marks.all()
    assert (mark.source, mark.seen_until, mark.code) == ("hapi", begun + 60, "ehr-unavailable")
