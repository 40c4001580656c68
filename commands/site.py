"""The site's database and models, for the commands that look at them or change what is deployed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateways.registry.models import Models
from gateways.settings import Settings, load_settings
from gateways.store.database import Database
from schemas.errors import NotConfigured


@dataclass(frozen=True)
class Site:
    """What a command holds in its hands."""

    settings: Settings
    database: Database
    models: Models


@contextmanager
def site(*, writing: bool = False) -> Iterator[Site]:
    """The site of the environment. Reading needs no database: without one the shipped model is what there is.

    `writing`: an embedded database that is not there yet is made, as `vbq up` would; any other must be there.
    """
    settings = load_settings()
    database = Database(settings.database)
    try:
        if writing and not (database.exists() and database.has_table("inbox")):
            if settings.database_url:
                raise NotConfigured("the database at VBQ_DATABASE_URL has no tables yet; run `vbq migrate`")
            database.migrate()
        yield Site(settings, database, Models(settings, database))
    finally:
        database.close()
