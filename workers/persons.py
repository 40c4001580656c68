"""One person behind several records: who is asked for again when something is learnt of one of them."""

from collections.abc import Collection, Mapping
from typing import Any

from gateways.records.patients import Circle
from gateways.store.database import Transaction
from schemas.config import Config
from workers.bench import Bench


def ask(
    bench: Bench, connection: Transaction, patients: Collection[str], *, quiet_seconds: float | None = None
) -> list[int]:
    """Have everybody who is tied to `patients` assessed, if there is anything to assess; returns the jobs' ids.

    `quiet_seconds`: how long to wait for more; None: as the settings say.
    """
    settings = bench.settings
    longest = settings.debounce_max_seconds
    if quiet_seconds is not None:
        longest = 0.0
    quiet = settings.debounce_seconds if quiet_seconds is None else quiet_seconds
    wakes, seen = [], set[str]()
    for patient in sorted(patients):
        if patient in seen:
            continue
        keys = bench.patients.keys(connection, patient)
        seen.update(keys)
        interesting = any(bench.facts.of_interest(connection, key) for key in keys)
        wakes += [
            bench.jobs.bump(connection, "assess", key, key, quiet_seconds=quiet, longest_seconds=longest)
            for key in sorted(keys if interesting else bench.patients.assessed(connection, keys))
        ]
    return wakes


def look_again(bench: Bench, connection: Transaction, patient: str) -> list[int]:
    """Studies of the person that wait for a Patient, or were refused as somebody else's; the jobs' ids."""
    jobs = []
    for key in bench.patients.keys(connection, patient):
        waiting = bench.jobs.unfinished(connection, "measure", key)
        jobs += [bench.jobs.bump(connection, "measure", subject, key) for subject in waiting]
    return jobs


def held_circle(bench: Bench, connection: Transaction, patient: str) -> Circle:
    """Everybody who is tied to `patient`, kept still until the transaction ends.

    Whoever writes about a record holds its key. So once all keys are held nobody can add to the circle unseen; what
    was added before is found by looking again.
    """
    held: set[str] = set()
    while True:
        circle = bench.patients.circle(connection, patient)
        more = set(circle.keys) - held
        if not more:
            return circle
        bench.database.hold(connection, sorted(more))
        held |= more


def base_of_sender(config: Config, source: str) -> str | None:
    """The FHIR base of the sender `source`, without a slash at its end."""
    base = next((sender.fhir_base_url for sender in config.senders if sender.name == source), None)
    return base.rstrip("/") if base else None


def identity_person(circle: Circle, patient: str) -> Mapping[str, Any] | None:
    """The Patient to compare a study's headers with; None where there is none yet.

    Birth date and sex of the record that the study names (of the one that survives where that was deleted), and the
    identifiers of all records of the person: an archive takes over the number that survives.
    """
    standing = circle.standing(patient)
    person = circle.people.get(patient)
    if person is None and standing.replaced_by is not None:
        person = circle.people.get(standing.replaced_by)
    if person is None:
        return None
    members = circle.standing(standing.replaced_by or patient).members
    records = [circle.people[key] for key in members if key in circle.people]
    return {**person, "identifier": [row for record in records for row in _identifiers(record)]}


def _identifiers(person: Mapping[str, Any]) -> list[Any]:
    found = person.get("identifier")
    return found if isinstance(found, list) else []
