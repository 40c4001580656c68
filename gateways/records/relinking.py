"""Following what all stored Patients say of one another anew: after `patient_identity` changed, or an upgrade."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import and_, select

from gateways.audit.log import Audit
from gateways.queue.jobs import Jobs
from gateways.records.patients import Patients
from gateways.store.database import Database
from gateways.store.tables import resources
from schemas.audit import AuditEntry

BATCH: Final = 200


class Relinked(NamedTuple):
    """`records` were read; of `changed` the ties are others than before; `asked` are assessed again."""

    records: int
    changed: int
    asked: int


def relink(database: Database, patients: Patients, bases: Mapping[str, str | None], *, actor: str) -> Relinked:
    """Write the ties of every stored Patient again, in batches; who is tied otherwise than before is assessed again.

    `bases`: the FHIR base of each sender. May be stopped and called again. Raises StoreUnavailable.
    """
    jobs, last, total = Jobs(database), "", Relinked(0, 0, 0)
    while True:
        mine = and_(resources.c.resource_type == "Patient", resources.c.patient > last)
        rows = select(resources.c.patient, resources.c.source).where(mine).order_by(resources.c.patient).limit(BATCH)
        with database.write() as connection:
            found = {str(row.patient): str(row.source) for row in connection.execute(rows)}
            changed = asked = 0
            for key, source in found.items():
                database.hold(connection, [key])
                before = patients.stated(connection, key)
                near = set(patients.keys(connection, key))
                patients.retie(connection, key, base=bases.get(source))
                if patients.stated(connection, key) == before:
                    continue
                changed += 1
                for other in sorted(near | set(patients.keys(connection, key))):
                    jobs.bump(connection, "assess", other, other)
                    asked += 1
        total = Relinked(total.records + len(found), total.changed + changed, total.asked + asked)
        if not found:
            break
        last = max(found)
    said = AuditEntry(actor_kind="command", actor=actor, action="records-retied", detail=total._asdict())
    Audit(database).write([said])
    return total
