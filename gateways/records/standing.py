"""What current assessments stand on: the resources of their patients, as senders pushed them."""

from sqlalchemy import Connection, and_, exists, or_, select

from gateways.store.patient_tables import patient_ties
from gateways.store.tables import assessments, resources


def standing(connection: Connection, source: str, resource_type: str, *, after: str, count: int) -> list[str]:
    """Ids of `source`'s resources of a type whose patient has a current assessment, in their order, behind `after`.

    A record that is tied to others counts too: the assessment may be under another one of the same person's.
    """
    assessed = exists().where(and_(assessments.c.patient == resources.c.patient, assessments.c.current))
    tied = exists().where(patient_ties.c.patient == resources.c.patient)
    wanted = and_(
        resources.c.source == source,
        resources.c.resource_type == resource_type,
        resources.c.resource_id > after,
        resources.c.deleted.is_(False),
        or_(assessed, tied),
    )
    found = select(resources.c.resource_id).where(wanted).order_by(resources.c.resource_id).limit(count)
    return [str(row.resource_id) for row in connection.execute(found)]
