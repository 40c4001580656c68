"""Ties between patient records, as the records themselves state them, and who is reached by following them."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select

from gateways.records.facts import Facts
from gateways.store.database import Database
from gateways.store.patient_tables import patient_ties, study_identities
from gateways.store.tables import CURRENT, assessments
from schemas.fhir.patient_ties import Identity, Tie, identity_of, ties_of
from vbq.clinical.persons import MOST_SHARING, Standing, standing

# More records than any person has; a chain of merges that long is a fault of its source.
MOST_RECORDS: Final = 64
_LINK = patient_ties.c.kind.in_(("replaced-by", "replaces"))


@dataclass(frozen=True)
class Circle:
    """Every record that is tied to one of them. `people`: their Patient resources (parsed), deleted ones left out."""

    ties: Mapping[str, set[Tie]]
    people: Mapping[str, Mapping[str, Any]]

    @property
    def keys(self) -> list[str]:
        """Keys of all records."""
        mentioned = {tie.value for stated in self.ties.values() for tie in stated if tie.kind != "identifier"}
        return sorted({*self.ties, *self.people, *mentioned})

    def standing(self, patient: str) -> Standing:
        """How the record `patient` stands among them."""
        identities = {key: identity_of(person) for key, person in self.people.items()}
        return standing(patient, self.ties, identities)

    def identity(self, patient: str) -> Identity | None:
        """What the Patient resource of `patient` says; None where there is none."""
        person = self.people.get(patient)
        return identity_of(person) if person is not None else None


class Patients:
    """The ties, and the identities that studies' headers state."""

    def __init__(self, database: Database, *, systems: Collection[str] = ()) -> None:
        """`systems`: identifier systems that are trusted to name one person at every sender."""
        self._database = database
        self._facts = Facts(database)
        self._systems = frozenset(systems)

    def retie(self, connection: Connection, patient: str, *, base: str | None) -> None:
        """Write down what the Patient resource of `patient`, as it counts now, says of other records."""
        person = self._facts.person(connection, patient)
        stated: set[Tie] = set()
        if person is not None and not person.deleted:
            stated = ties_of(json.loads(person.body), patient, systems=self._systems, base=base)
        connection.execute(delete(patient_ties).where(patient_ties.c.patient == patient))
        if stated:
            rows = [{"patient": patient, "kind": tie.kind, "value": tie.value} for tie in sorted(stated)]
            connection.execute(patient_ties.insert(), rows)

    def keys(self, connection: Connection, patient: str) -> list[str]:
        """Keys of all records that are tied to `patient`, her own among them. One query for most."""
        statement = select(patient_ties.c.patient).where(_about(patient)).limit(1)
        if connection.execute(statement).one_or_none() is None:
            return [patient]
        return self.circle(connection, patient).keys

    def assessed(self, connection: Connection, patients: Collection[str]) -> set[str]:
        """Those of `patients` of whom there is an assessment that counts."""
        mine = and_(assessments.c.patient.in_(sorted(patients)), CURRENT)
        return set(connection.scalars(select(assessments.c.patient).where(mine)))

    def stated(self, connection: Connection, patient: str) -> set[Tie]:
        """What the record `patient` itself says."""
        return self._stated_by(connection, [patient]).get(patient, set())

    def circle(self, connection: Connection, patient: str) -> Circle:
        """Everybody who is tied to `patient`, herself among them."""
        ties: dict[str, set[Tie]] = {}
        waiting = {patient}
        while waiting and len(ties) < MOST_RECORDS:
            found = self._stated_by(connection, waiting)
            near = self._beside(connection, waiting, found)
            ties |= {key: found.get(key, set()) for key in waiting}
            waiting = near - set(ties)
        people = {}
        for key in ties:
            person = self._facts.person(connection, key)
            if person is not None and not person.deleted:
                people[key] = json.loads(person.body)
        return Circle(ties, people)

    def _stated_by(self, connection: Connection, keys: Collection[str]) -> dict[str, set[Tie]]:
        found: dict[str, set[Tie]] = {}
        for row in connection.execute(select(patient_ties).where(patient_ties.c.patient.in_(sorted(keys)))):
            found.setdefault(row.patient, set()).add(Tie(row.kind, row.value))
        return found

    def _beside(self, connection: Connection, keys: Collection[str], stated: Mapping[str, set[Tie]]) -> set[str]:
        """The records one step away: named by a link, naming one of `keys`, or with the same identifier.

        Takes the identifiers that too many records share out of `stated`: they name nobody.
        """
        all_ties = {tie for found in stated.values() for tie in found}
        near = {tie.value for tie in all_ties if tie.kind != "identifier"}
        naming = and_(_LINK, patient_ties.c.value.in_(sorted(keys)))
        near |= set(connection.scalars(select(patient_ties.c.patient).where(naming)))
        shared = [tie.value for tie in all_ties if tie.kind == "identifier"]
        for value in sorted(shared):
            same = and_(patient_ties.c.kind == "identifier", patient_ties.c.value == value)
            holders = list(connection.scalars(select(patient_ties.c.patient).where(same).limit(MOST_SHARING + 1)))
            if len(holders) <= MOST_SHARING:
                near |= set(holders)
                continue
            for found in stated.values():
                found.discard(Tie("identifier", value))
        return near

    def keep_identity(
        self, connection: Connection, subject: str, patient: str, run: int, document: Mapping[str, Any]
    ) -> None:
        """Remember what the headers of the study `subject` say, to compare it again when the record changes."""
        values = {"patient": patient, "run": run, "body": json.dumps(dict(document), sort_keys=True).encode()}
        statement = self._database.insert(study_identities).values(subject=subject, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=["subject"], set_=values))

    def identities(self, connection: Connection, patients: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """What the headers of these patients' measured studies say, by subject."""
        mine = study_identities.c.patient.in_(list(patients))
        return {
            row.subject: json.loads(bytes(row.body)) for row in connection.execute(select(study_identities).where(mine))
        }


def _about(patient: str) -> ColumnElement[bool]:
    """Rows that `patient` states, and those that name it."""
    return or_(patient_ties.c.patient == patient, and_(_LINK, patient_ties.c.value == patient))
