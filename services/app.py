"""The one Flask app: intake, CDS Hooks, FHIR reads, pages and operations. The wiring, and nothing else."""

import os
from collections.abc import Mapping
from importlib.metadata import version

from gateways.access.review_sessions import ReviewSessions
from gateways.fhir.subscriptions import Subscriptions
from gateways.registry.monitoring import Monitoring
from gateways.settings import Settings
from services.answers import plain_json
from services.audited import Audited
from services.auth import Gate
from services.ehr_metrics import EhrGauges
from services.fhir_read import FhirRead
from services.health import Health
from services.hooks import Hooks
from services.intake import Intake
from services.launch import Launch
from services.metrics import Metrics
from services.model_metrics import ModelGauges
from services.openapi import document
from services.outside import Outside, connect
from services.pages import Pages
from services.problems import handle
from services.review import Review
from services.subscription_metrics import SubscriptionGauges
from services.web import Service

DISTRIBUTION = "vbq-cds"


def create_app(settings: Settings, outside: Outside | None = None, environ: Mapping[str, str] = os.environ) -> Service:
    """The app. `environ` holds the secrets that the configuration names. Raises NotConfigured, ModelRefused."""
    gate = Gate(settings, settings.structured(), environ)
    outside = outside or connect(settings)
    release = version(DISTRIBUTION)
    software = f"{DISTRIBUTION} {release}"
    metrics = Metrics(outside.inbox.stats)
    metrics.registry.register(EhrGauges(outside.database))
    metrics.registry.register(ModelGauges(outside.models, Monitoring(outside.database)))
    metrics.registry.register(SubscriptionGauges(Subscriptions(outside.database)))
    launch = Launch(
        settings, ReviewSessions(outside.database), outside.results, environ, several=gate.several, chart=gate.chart
    )
    app = Service(metrics.watch, outside.failed_logins.seen)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["outside"] = outside
    handle(app)
    intake = Intake(settings, gate, outside, metrics)
    app.shorten(intake.lane())
    hooks = Hooks(settings, gate, outside, metrics)
    app.shorten(hooks.lane())
    for part in (
        intake,
        hooks,
        FhirRead(settings, gate, outside.results, Audited(outside.audit), software),
        Pages(outside.models, software),
        launch,
        Review(settings, gate, launch, outside, software),
        Health(outside.database, outside.models),
    ):
        app.register_blueprint(part.blueprint())
    app.add_url_rule("/metrics", "metrics", metrics.page)
    described = document(settings.base_url, release)
    app.add_url_rule("/openapi.json", "openapi", lambda: plain_json(described))
    return app
