"""The log of deployments as pure data: what counts, what does not, and what it adds up to."""

import datetime as dt

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Forbidden, ModelRefused
from schemas.model import TrustedKey
from schemas.registry import LogEntry
from vbq.risk.artefact import digest
from vbq.risk.deployment import Deployed, SignedLine, follow, next_moment, read_line, seal
from vbq.risk.signature import public_text

KEY = Ed25519PrivateKey.generate()
DEFAULT, A, B, C = ("0" * 64, "a" * 64, "b" * 64, "c" * 64)
NOON = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


def trusted(**more):
    return TrustedKey(name="ops", ed25519=public_text(KEY.public_key()), roles=["deploy"], **more)


def entry(state: Deployed, action: str, model: str | None, at: dt.datetime | None = None) -> LogEntry:
    number, moment = state.length + 1, at or NOON + dt.timedelta(minutes=state.length)
    return LogEntry(number=number, previous=state.head, action=action, digest=model, by="x", why="y", at=moment)


def after(*steps: tuple[str, str | None]) -> tuple[Deployed, list[SignedLine]]:
    state, lines = Deployed.nothing(DEFAULT), []
    for action, model in steps:
        line = seal(entry(state, action, state.before() if action == "rollback" else model), KEY)
        lines.append(line)
        state = follow(state, [line], [trusted()])
    return state, lines


@given(st.lists(st.sampled_from([("deploy", A), ("deploy", B), ("deploy", C), ("shadow", A), ("unshadow", None)])))
def test_as_many_rollbacks_as_changes_lead_back_to_the_shipped_model(steps) -> None:
    state, _ = after(*steps)
    while len(state.history) > 1:
        wanted = state.history[-2]
        state = follow(state, [seal(entry(state, "rollback", state.before()), KEY)], [trusted()])
        assert state.active == wanted
    assert state.active == DEFAULT
    with pytest.raises(ModelRefused):
        state.before()


@given(st.lists(st.sampled_from([("deploy", A), ("deploy", B), ("shadow", C), ("revoke", B)]), min_size=2, max_size=8))
def test_a_log_read_at_once_says_the_same_as_one_followed_line_by_line(steps) -> None:
    state, lines = after(*steps)
    assert follow(Deployed.nothing(DEFAULT), lines, [trusted()]) == state
    half = len(lines) // 2
    assert follow(follow(Deployed.nothing(DEFAULT), lines[:half], [trusted()]), lines[half:], [trusted()]) == state


@given(st.data())
def test_a_log_with_a_line_missing_doubled_moved_or_changed_counts_for_nothing(data) -> None:
    _, lines = after(("deploy", A), ("shadow", B), ("deploy", C), ("rollback", None))
    place = data.draw(st.integers(0, len(lines) - 2))
    how = data.draw(st.sampled_from(["missing", "doubled", "moved", "changed"]))
    broken = list(lines)
    if how == "missing":
        del broken[place]
    elif how == "doubled":
        broken.insert(place, lines[place])
    elif how == "moved":
        broken[place], broken[place + 1] = broken[place + 1], broken[place]
    else:
        body = bytearray(lines[place].body)
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1
        broken[place] = lines[place]._replace(body=bytes(body))
    with pytest.raises(ModelRefused):
        follow(Deployed.nothing(DEFAULT), broken, [trusted()])


def test_a_retired_keys_old_lines_count_and_new_ones_do_not() -> None:
    retired = trusted(until=NOON.date())
    state, lines = after(("deploy", A))
    assert follow(Deployed.nothing(DEFAULT), lines, [retired]) == state
    later = seal(entry(state, "deploy", B, NOON + dt.timedelta(days=1)), KEY)
    with pytest.raises(Forbidden, match="may not deploy after"):
        follow(state, [later], [retired])
    other = Ed25519PrivateKey.generate()
    newer = TrustedKey(name="new", ed25519=public_text(other.public_key()), roles=["deploy"])
    state = follow(state, [seal(entry(state, "deploy", B, NOON + dt.timedelta(days=2)), other)], [retired, newer])
    with pytest.raises(ModelRefused, match="older than the line before"):
        follow(state, [seal(entry(state, "deploy", C, NOON), KEY)], [retired, newer])


def test_a_signature_under_something_else_is_not_one_under_a_line() -> None:
    _, (line,) = after(("deploy", A))
    foreign = seal(entry(Deployed.nothing(DEFAULT), "deploy", B), KEY)
    with pytest.raises(ModelRefused, match="changed after it was signed"):
        read_line(line._replace(signature=foreign.signature), [trusted()])


def test_a_clock_that_runs_behind_a_little_is_forgiven_and_one_far_off_is_said() -> None:
    state, _ = after(("deploy", A))
    assert next_moment(state, NOON - dt.timedelta(minutes=1)) == NOON
    with pytest.raises(ModelRefused, match="clock"):
        next_moment(state, NOON - dt.timedelta(hours=1))


def test_stages_follow_the_log() -> None:
    state, _ = after(("deploy", A), ("shadow", B), ("deploy", C), ("revoke", A))
    assert [state.stage(model) for model in (DEFAULT, A, B, C, digest(b"x"))] == [
        "retired",
        "revoked",
        "shadow",
        "active",
        "candidate",
    ]
