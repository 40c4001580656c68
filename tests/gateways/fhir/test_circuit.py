"""The circuit: when calls are held up, for how long, who probes; the same for every process, on both databases."""

from collections.abc import Callable, Iterator

import pytest

from gateways.fhir.circuit import (
    FAILURES,
    LONGEST_ASKED_SECONDS,
    LONGEST_SECONDS,
    PROBE_SECONDS,
    Circuit,
    circuit_states,
)
from gateways.fhir.client import FhirClient
from gateways.fhir.ehr_sends import EhrSends
from gateways.fhir.http import FhirHttp, Limits
from gateways.store.database import Database
from schemas.errors import CircuitOpen, EhrUnavailable, Rejected
from tests.gateways.conftest import Clock
from tests.hostile_server import Answer, Hostile, answers, hostile

SYSTEM = "http://ehr.example:80"


@pytest.fixture
def make(database: Database, clock: Clock) -> Callable[[], Circuit]:
    return lambda: Circuit(database, SYSTEM, clock=clock)


def fail(circuit: Circuit, times: int, asked: float | None = None) -> float | None:
    found = None
    for _ in range(times):
        circuit.enter()
        found = circuit.failed("ehr-unavailable", asked)
    return found


def test_failures_in_a_row_open_it_for_every_process(
    make: Callable[[], Circuit], database: Database, clock: Clock
) -> None:
    one, other = make(), make()
    assert fail(one, FAILURES - 1) is None
    other.enter()
    other.succeeded()
    assert fail(one, FAILURES - 1) is None, "a success in between begins the count anew"
    assert fail(other, 1) == 2.0
    with pytest.raises(CircuitOpen) as caught:
        one.enter()
    assert caught.value.retry_after_s == 2.0
    (state,) = circuit_states(database, clock=clock)
    assert (state.system, state.state, state.code, state.failures) == (SYSTEM, "open", "ehr-unavailable", FAILURES)


def test_one_probes_and_its_success_closes_the_circuit(
    make: Callable[[], Circuit], database: Database, clock: Clock
) -> None:
    one, other = make(), make()
    fail(one, FAILURES)
    clock.pass_(2.0)
    assert circuit_states(database, clock=clock)[0].state == "half-open"
    one.enter()
    with pytest.raises(CircuitOpen):
        other.enter()
    one.succeeded()
    other.enter()
    assert circuit_states(database, clock=clock)[0].state == "closed"


def test_the_time_grows_with_each_probe_that_fails_up_to_a_bound(make: Callable[[], Circuit], clock: Clock) -> None:
    circuit = make()
    waits = [fail(circuit, FAILURES)]
    for _ in range(7):
        clock.pass_(waits[-1] or 0)
        waits.append(fail(circuit, 1))
    assert waits == [2.0, 4.0, 8.0, *[LONGEST_SECONDS] * 5]


def test_a_prober_that_was_killed_is_followed_by_another(make: Callable[[], Circuit], clock: Clock) -> None:
    fail(make(), FAILURES)
    clock.pass_(2.0)
    make().enter()  # and never heard of again
    clock.pass_(PROBE_SECONDS - 1)
    with pytest.raises(CircuitOpen):
        make().enter()
    clock.pass_(2.0)
    make().enter()


def test_a_server_that_says_when_is_left_alone_until_then(make: Callable[[], Circuit], clock: Clock) -> None:
    assert fail(make(), 1, asked=40) == 40.0
    clock.pass_(39)
    with pytest.raises(CircuitOpen):
        make().enter()
    clock.pass_(1)
    assert fail(make(), 1, asked=10**9) == LONGEST_ASKED_SECONDS


def test_calls_that_were_on_their_way_when_it_opened_do_not_lengthen_it(make: Callable[[], Circuit]) -> None:
    late = [make() for _ in range(3)]
    for circuit in late:
        circuit.enter()
    fail(make(), FAILURES)
    assert [circuit.failed("ehr-unavailable", None) for circuit in late] == [2.0, 2.0, 2.0]


def test_a_send_that_was_not_seen_to_end_is_remembered(database: Database) -> None:
    sends = EhrSends(database)
    with database.write() as connection:
        assert not sends.begin(connection, "Patient/p1")
        assert sends.begin(connection, "Patient/p1")
        assert not sends.begin(connection, "Patient/p2")
        sends.end(connection, "Patient/p1")
        assert not sends.begin(connection, "Patient/p1")


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile(answers({"Patient/p1": {"resourceType": "Patient", "id": "p1"}})) as one:
        yield one


def test_a_client_leaves_a_server_alone_that_fails_and_comes_back_by_itself(
    server: Hostile, make: Callable[[], Circuit], clock: Clock
) -> None:
    good, server.script = server.script, lambda asked: Answer(500)
    with FhirClient(FhirHttp(server.base, breaker=make())) as client:
        for number in range(FAILURES):
            with pytest.raises(EhrUnavailable) as caught:
                client.read("Patient/p1")
            assert isinstance(caught.value, CircuitOpen) == (number == FAILURES - 1)
            assert caught.value.reason_code == "ehr-unavailable"
        with pytest.raises(CircuitOpen) as caught:
            client.read("Patient/p1")
        assert caught.value.reason_code == "ehr-circuit-open"
        assert len(server.asked) == FAILURES
        server.script = good
        clock.pass_(2.0)
        assert client.read("Patient/p1")
        assert client.read("Patient/p1")


def test_a_probe_that_gets_an_answer_of_no_use_closes_the_circuit_all_the_same(
    server: Hostile, make: Callable[[], Circuit], clock: Clock
) -> None:
    fail(make(), FAILURES)
    clock.pass_(2.0)
    server.script = lambda asked: Answer(200, b"x" * 3_000_000)
    with FhirClient(FhirHttp(server.base, breaker=make(), limits=Limits(reply_bytes=2**20))) as client:
        for _ in range(2):
            with pytest.raises(Rejected, match="larger than"):
                client.read("Patient/p1")


def test_what_one_resource_does_not_allow_or_lack_is_no_failure_of_the_server(
    server: Hostile, make: Callable[[], Circuit], database: Database
) -> None:
    server.script = lambda asked: Answer([403, 404, 410, 422, 501][len(server.asked) % 5], {})
    with FhirClient(FhirHttp(server.base, breaker=make())) as client:
        for _ in range(3 * FAILURES):
            with pytest.raises(Exception, match=r"answered|is not there|was deleted"):
                client.read("Patient/p1")
    assert circuit_states(database) == []
