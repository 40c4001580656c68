"""The measured slices as pictures, for the review page. One per slice and patient; a new measurement replaces it."""

import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import select

from gateways.store.database import Database, Transaction
from gateways.store.review_tables import pictures


class KeptPicture(NamedTuple):
    """A slice in 8-bit grey. `rows` and `columns` are the slice's own, also where the PNG has fewer."""

    png: bytes
    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    """Between rows, between columns."""


class Pictures:
    """The table. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def store(self, connection: Transaction, patient: str, sop_instance_uid: str, picture: KeptPicture) -> None:
        """Keep the picture of a slice of `patient` in the caller's transaction."""
        key = {"patient": patient, "sop_instance_uid": sop_instance_uid}
        values = {
            "created": self._clock(),
            "rows": picture.rows,
            "columns": picture.columns,
            "row_mm": picture.spacing_mm[0],
            "column_mm": picture.spacing_mm[1],
            "png": picture.png,
        }
        statement = self._database.insert(pictures).values(**key, **values)
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))

    def get(self, patient: str, sop_instance_uid: str) -> KeptPicture | None:
        """The picture of a slice; None where none was kept."""
        mine = (pictures.c.patient == patient, pictures.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as connection:
            row = connection.execute(select(pictures).where(*mine)).one_or_none()
        if row is None:
            return None
        return KeptPicture(bytes(row.png), row.rows, row.columns, (row.row_mm, row.column_mm))
