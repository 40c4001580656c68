"""What the WSGI server starts: `granian --interface wsgi --factory services.wsgi:app`."""

import atexit

from flask import Flask

from gateways.logs import configure
from gateways.settings import load_settings
from services.app import create_app
from services.outside import connect


def app() -> Flask:
    """The app for the environment of this process. What was accepted is written before the process ends."""
    settings = load_settings()
    configure(settings.log_level, "service")
    outside = connect(settings)
    atexit.register(outside.close)
    return create_app(settings, outside)
