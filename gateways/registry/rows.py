"""The registry's rows: model files by digest, the log of deployments. It decides nothing; models.py does."""

import time
from typing import NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError

from gateways.queue.inbox import Clock
from gateways.store.database import Database
from gateways.store.registry_tables import model_log, models
from schemas.errors import ModelRefused, StoreUnavailable
from vbq.risk.deployment import SignedLine


class Known(NamedTuple):
    """A model in the registry, not yet opened."""

    digest: str
    id: str
    version: str


class Registry:
    """The two tables. Safe to share between threads."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock
        self._made = False
        columns = (model_log.c.number, model_log.c.body, model_log.c.ed25519, model_log.c.signature)
        wanted = select(*columns).where(model_log.c.number >= bindparam("first")).order_by(model_log.c.number)
        self._log_from = database.prepared(wanted)

    def made(self) -> bool:
        """Whether there is a registry to ask: an embedded database that was never used has none yet.

        Raises StoreUnavailable where the database waits for `vbq migrate`.
        """
        if not self._made and self._database.exists():
            self._made = self._database.has_table(model_log.name)
            if not self._made and self._database.has_table("inbox"):
                raise StoreUnavailable("the database lacks the tables of the model registry; run `vbq migrate`")
        return self._made

    def lines(self, first: int = 1) -> list[tuple[int, SignedLine]]:
        """Lines of the log from number `first` on."""
        rows = self._log_from({"first": first})
        return [(int(number), SignedLine(bytes(body), key, signature)) for number, body, key, signature in rows]

    def append(self, number: int, line: SignedLine) -> None:
        """Write line `number`. Raises ModelRefused if somebody else wrote it first: then nothing was written."""
        values = {"number": number, "body": line.body, "ed25519": line.ed25519, "signature": line.signature}
        try:
            with self._database.write() as connection:
                connection.execute(model_log.insert().values(values))
        except IntegrityError as error:
            raise ModelRefused(
                "somebody else changed the deployment at the same moment; look at `vbq model log` and try again",
                code="overtaken",
            ) from error

    def known(self) -> list[Known]:
        """Every model in the registry, oldest first."""
        wanted = select(models.c.digest, models.c.id, models.c.version).order_by(models.c.added, models.c.digest)
        with self._database.read() as connection:
            return [Known(row.digest, row.id, row.version) for row in connection.execute(wanted)]

    def content(self, digest: str) -> tuple[bytes, bytes] | None:
        """Model file and signature file of the model with this digest."""
        wanted = select(models.c.content, models.c.signature).where(models.c.digest == digest)
        with self._database.read() as connection:
            row = connection.execute(wanted).one_or_none()
        return (bytes(row.content), bytes(row.signature)) if row is not None else None

    def add(self, model: Known, content: bytes, signature: bytes) -> None:
        """Keep a model; one that is there already stays as it is. Raises ModelRefused where its version is taken."""
        values = {**model._asdict(), "content": content, "signature": signature, "added": self._clock()}
        statement = self._database.insert(models).values(values).on_conflict_do_nothing(index_elements=["digest"])
        try:
            with self._database.write() as connection:
                connection.execute(statement)
        except IntegrityError as error:
            raise ModelRefused(
                f"version {model.version} of {model.id} is taken by another content; a version names one content for "
                "ever: give this one a new version and sign it again",
                code="version-taken",
            ) from error
