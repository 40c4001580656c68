"""The service of this process, for any WSGI server and for services.rsgi, which is what `vbq serve` starts."""

import atexit
import gc

from gateways.logs import configure
from gateways.settings import load_settings
from services.app import create_app
from services.outside import connect
from services.web import Service

COLLECT = (20_000, 20, 50)  # requests make few cycles; at the usual 700 the collector took 5 % of the intake's CPU


def app() -> Service:
    """The app for the environment of this process. What was accepted is written before the process ends."""
    settings = load_settings()
    configure(settings.log_level, "service")
    outside = connect(settings)
    atexit.register(outside.close)
    made = create_app(settings, outside)
    gc.collect()
    gc.freeze()  # what was made at the start stays: the collector need not walk it again for every few hundred requests
    gc.set_threshold(*COLLECT)
    return made
