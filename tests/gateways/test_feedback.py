"""Feedback on cards, on both databases."""

from gateways.database import Database
from gateways.feedback import CardFeedback, Feedback

ENTRY = CardFeedback("card-1", "overridden", "2026-11-22T10:37:46.255Z", b'{"card":"card-1"}')


def test_what_was_told_before_changes_nothing(database: Database) -> None:
    feedback = Feedback(database)
    other = ENTRY._replace(outcome="accepted")
    assert feedback.store("view", "ehr", [ENTRY, ENTRY]) == 1
    assert feedback.store("view", "ehr", [other, ENTRY]) == 1
    assert feedback.store("view", "ehr", [other, ENTRY]) == 0
    assert feedback.store("sign", "ehr", [ENTRY]) == 1
    assert feedback.store("view", "ehr", []) == 0
