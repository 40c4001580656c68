"""What a change of the deployed model does to a service that goes on running."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask

from gateways.registry import models as models_module
from schemas.assessment import Assessment
from services.outside import Outside
from tests.registries import own_model
from vbq.risk.artefact import canonical
from vbq.risk.signature import public_text, sign


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "CACHE_SECONDS", 0.0)


class Site:
    """An app whose configuration trusts one key for both roles."""

    def __init__(self, make_app: Callable[..., Flask], **options: object) -> None:
        self.key = Ed25519PrivateKey.generate()
        trusted = {"name": "both", "ed25519": public_text(self.key.public_key()), "roles": ["sign", "deploy"]}
        self.app = make_app({"model_keys": [trusted]}, **options)
        self.outside: Outside = self.app.extensions["outside"]
        self.client = self.app.test_client()

    def deploy(self, version: str, **changes: object) -> str:
        content = canonical(own_model(version, **changes))
        model = self.outside.models.add(content, sign(content, self.key).model_dump_json().encode())
        self.record("deploy", model.digest)
        return model.digest

    def record(self, action: Any, name: str | None = None) -> None:
        self.outside.models.record(action, name, key=self.key, by="a tester", why="a test")


@pytest.fixture
def site(make_app: Callable[..., Flask]) -> Site:
    return Site(make_app)


def test_a_deployment_shows_on_pages_and_metrics_at_once(site: Site) -> None:
    assert 'id="lin2025-vbq-t"' in site.client.get("/metrics").text
    digest = site.deploy("1.0.0")
    metrics = site.client.get("/metrics").text
    assert f'vbq_model_info{{digest="{digest}",id="our-own",stage="active",version="1.0.0"}} 1.0' in metrics
    assert "active at this site" in site.client.get("/models/our-own").text
    assert "retired at this site" in site.client.get("/models/lin2025-vbq-t").text
    index = site.client.get("/").text
    assert 'href="/models/our-own"' in index


def test_a_revoked_model_is_said_so_and_the_service_stays_ready_to_take_events(site: Site) -> None:
    digest = site.deploy("1.0.0")
    site.record("revoke", digest)
    assert site.client.get("/readyz").status_code == 200
    assert "it scores nobody" in site.client.get(f"/models/{digest}").text
    assert 'stage="revoked",version="1.0.0"} 0.0' in site.client.get("/metrics").text


def test_the_review_page_of_a_revoked_models_number_says_that_it_must_not_be_used(
    make_app: Callable[..., Flask], put_into: Callable[..., Assessment]
) -> None:
    site = Site(make_app, dev_open=True)
    made = put_into(site.app)
    address = f"/review/{made.id}"
    assert "must not be used" not in site.client.get(address).text
    site.deploy("1.0.0")
    site.record("revoke", made.model.digest)
    assert "must not be used" in site.client.get(address).text


def test_the_shadow_model_is_not_on_the_overview(site: Site) -> None:
    content = canonical(own_model(title="A title of the shadow"))
    site.outside.models.add(content, sign(content, site.key).model_dump_json().encode())
    site.record("shadow", "our-own")
    assert "A title of the shadow" not in site.client.get("/").text


def test_a_page_shows_the_version_that_is_asked_for(site: Site) -> None:
    old = site.deploy("1.0.0", title="The older one")
    site.deploy("2.0.0", title="The newer one")
    assert "The newer one" in site.client.get("/models/our-own").text
    for name in (old, "our-own@1.0.0"):
        assert "The older one" in site.client.get(f"/models/{name}").text
