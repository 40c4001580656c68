"""Which models there are and which one speaks: the registry in the database, and the models that ship with us.

While the log of deployments is empty the shipped model is active. Every process follows the log by itself: a change
counts everywhere after CACHE_SECONDS at the latest, without a restart. A model is verified (signature, digest, schema)
each time it is opened from the database or the package; every line of the log is verified before it counts.
"""

import datetime as dt
import threading
import time
from typing import NamedTuple, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateways.registry.rows import Known, Registry
from gateways.settings import Settings
from gateways.store.database import Database
from schemas.clinical import InputName
from schemas.errors import Forbidden, ModelRefused
from schemas.model import TrustedKey
from schemas.registry import Action, LogEntry, Stage
from vbq.risk.artefact import digest as digest_of
from vbq.risk.deployment import Deployed, follow, next_moment, read_line, seal
from vbq.risk.score import refuse_unusable
from vbq.risk.shipped import DEFAULT_MODEL, shipped_keys, shipped_models
from vbq.risk.signature import LoadedModel, open_model

CACHE_SECONDS = 1.0
SHORTEST_DIGEST = 8
KEPT_OPEN = 16


class Listed(NamedTuple):
    """A model that can be opened, and where it stands."""

    model: LoadedModel
    stage: Stage


class Refused(NamedTuple):
    """A model that does not count, and why."""

    digest: str
    name: str
    stage: Stage
    detail: str


class Models:
    """The models that this process may serve. Safe to share between threads."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._trusted: list[TrustedKey] = [*shipped_keys(), *settings.structured().model_keys]
        self._registry = Registry(database)
        self._shipped = _shipped(self._trusted)
        self._guard = threading.RLock()
        self._state = Deployed.nothing(self._shipped[DEFAULT_MODEL].digest)
        self._read_at = float("-inf")
        self._open: dict[str, LoadedModel] = {}

    def active(self) -> LoadedModel:
        """The served model. Raises ModelRefused where it cannot be trusted or must not be served."""
        state = self.state()
        return self._servable(state, state.active)

    def deployed(self) -> LoadedModel:
        """The active model as a file, even if it was revoked or has expired: stored results still say who made them.

        Raises ModelRefused where the log or the file cannot be trusted.
        """
        return self._opened(self.state().active)

    def shadow(self) -> LoadedModel | None:
        """The model that scores beside the active one and is never shown. Raises ModelRefused as `active` does."""
        state = self.state()
        return self._servable(state, state.shadow) if state.shadow is not None else None

    def get(self, name: str) -> LoadedModel:
        """The model called `name`: an id, id@version, or a digest (its first 8 digits or more).

        Of several versions of an id: the active one, else the shadow, else the one added last. It may be revoked.
        Raises ModelRefused: no such model, not signed by a trusted key, changed since, or not a model.
        """
        return self._opened(self._digest_of(name))

    def usable(self, name: str) -> LoadedModel:
        """`get` for scoring. Raises ModelRefused also where the model was revoked."""
        model = self.get(name)
        if model.digest in self.state().revoked:
            raise _revoked(model)
        return model

    def stage(self, digest: str) -> Stage:
        """Where the model with this digest stands."""
        return self.state().stage(digest)

    def all(self) -> tuple[list[Listed], list[Refused]]:
        """Every model that can be opened, by id and age, and every one that cannot, with the reason."""
        opened, refused = [], []
        state = self.state()
        for row in self._known():
            stage = state.stage(row.digest)
            try:
                opened.append(Listed(self._opened(row.digest), stage))
            except ModelRefused as error:
                refused.append(Refused(row.digest, f"{row.id} {row.version}", stage, error.detail))
        return opened, refused

    def add(self, content: bytes, signature: bytes) -> LoadedModel:
        """Put a signed model into the registry; it is a candidate then. Raises ModelRefused."""
        model = open_model(content, signature, self._signers())
        self._registry.add(_known(model), content, signature)
        return model

    def record(self, action: Action, name: str | None, *, key: Ed25519PrivateKey, by: str, why: str) -> LogEntry:
        """Change what is deployed: one signed line, valid in every process at once or not at all.

        `name`: the model; None for rollback and unshadow. Raises ModelRefused, Forbidden.
        """
        state = self.state(fresh=True)
        digest = state.before() if action == "rollback" else self._digest_of(name) if name is not None else None
        if action in ("deploy", "shadow", "rollback") and digest is not None:
            self._servable(state, digest)
        if action == "shadow" and digest == state.active:
            raise ModelRefused("the active model cannot be its own shadow; name another one", code="already-active")
        if action == "unshadow" and state.shadow is None:
            raise ModelRefused("there is no shadow model to take away", code="no-shadow")
        entry = LogEntry(
            number=state.length + 1,
            previous=state.head,
            action=action,
            digest=digest,
            model=self._name_of(digest) if digest is not None else None,
            by=by,
            why=why,
            at=next_moment(state, dt.datetime.now(dt.UTC)),
        )
        line = seal(entry, key)
        follow(state, [line], self._trusted)
        if digest is not None:
            self._keep(digest)
        self._registry.append(entry.number, line)
        self.state(fresh=True)
        return entry

    def log(self) -> list[LogEntry]:
        """Every line of the log, verified. Raises ModelRefused."""
        self.state(fresh=True)
        if not self._registry.made():
            return []
        return [read_line(line, self._trusted) for _, line in self._registry.lines()]

    def state(self, *, fresh: bool = False) -> Deployed:
        """What the log says, at most CACHE_SECONDS old. Raises ModelRefused where the log is not whole."""
        with self._guard:
            if fresh or time.monotonic() - self._read_at > CACHE_SECONDS:
                self._state = self._followed(self._state)
                self._read_at = time.monotonic()
            return self._state

    def _followed(self, state: Deployed) -> Deployed:
        if not self._registry.made():
            if state.length:
                raise _shortened()
            return state
        lines = [line for _, line in self._registry.lines(max(state.length, 1))]
        if state.length:  # the line that we knew as the last one must still be there, unchanged
            if not lines or digest_of(lines[0].body) != state.head:
                raise _shortened()
            lines = lines[1:]
        try:
            return follow(state, lines, self._trusted)
        except Forbidden as error:  # somebody wrote it past the program, or a key lost its role
            raise ModelRefused(
                f"a line of the log of deployments does not count: {error.detail}", code="model-log"
            ) from error

    def _servable(self, state: Deployed, digest: str) -> LoadedModel:
        model = self._opened(digest)
        if digest in state.revoked:
            raise _revoked(model)
        artefact = model.artefact
        refuse_unusable(artefact, dt.datetime.now(dt.UTC).date())
        unknown = [row.name for row in artefact.covariates if row.name not in get_args(InputName)]
        if unknown:
            raise ModelRefused(
                f"model {artefact.id} asks for {', '.join(unknown)}, which this software does not read from a record; "
                "deploy another model",
                code="model-not-servable",
            )
        if artefact.thresholds is None:
            raise ModelRefused(
                f"model {artefact.id} names no thresholds for low, moderate, high; add `thresholds` and sign it again",
                code="model-not-servable",
            )
        return model

    def _known(self) -> list[Known]:
        added = self._registry.known() if self._registry.made() else []
        there = {row.digest for row in added}
        return [*(_known(row) for row in self._shipped.values() if row.digest not in there), *added]

    def _digest_of(self, name: str) -> str:
        known = self._known()
        wanted, _, version = name.partition("@")
        named = [row.digest for row in known if row.id == wanted and version in ("", row.version)]
        if not named and len(name) >= SHORTEST_DIGEST:
            named = [row.digest for row in known if row.digest.startswith(name)]
            if len(named) > 1:
                raise ModelRefused("several models have a digest that begins so; give more of it", code="model-unknown")
        if not named:
            raise ModelRefused("there is no such model; `vbq model list` shows those there are", code="model-unknown")
        if len(named) == 1:  # needs no log: what a stored result says of its model stands even if the log is broken
            return named[0]
        state = self.state()
        return next((digest for digest in (state.active, state.shadow) if digest in named), named[-1])

    def _name_of(self, digest: str) -> str:
        return next((f"{row.id} {row.version}" for row in self._known() if row.digest == digest), digest[:12])

    def _opened(self, digest: str) -> LoadedModel:
        with self._guard:
            if digest not in self._open:
                if len(self._open) >= KEPT_OPEN:
                    self._open.clear()
                self._open[digest] = self._verified(digest)
            return self._open[digest]

    def _verified(self, digest: str) -> LoadedModel:
        """Read from the database, or from the package, and verified as if for the first time."""
        found = self._registry.content(digest) if self._registry.made() else None
        if found is None:
            shipped = next((row for row in self._shipped.values() if row.digest == digest), None)
            if shipped is None:
                raise ModelRefused(
                    f"the model with digest {digest[:12]} is deployed but not in the registry; add its files again",
                    code="model-unknown",
                )
            return shipped
        model = open_model(*found, self._signers())
        if model.digest != digest:
            raise ModelRefused(
                f"the registry's row {digest[:12]} holds another model; restore the database", code="model-changed"
            )
        return model

    def _keep(self, digest: str) -> None:
        """A shipped model that is deployed is kept with its bytes: a newer release may ship another one."""
        for content, signature in shipped_models().values():
            if digest_of(content) == digest:
                self._registry.add(_known(self._opened(digest)), content, signature)

    def _signers(self) -> list[TrustedKey]:
        return [key for key in self._trusted if "sign" in key.roles]


def _shipped(trusted: list[TrustedKey]) -> dict[str, LoadedModel]:
    signers = [key for key in trusted if "sign" in key.roles]
    return {name: open_model(*files, signers) for name, files in shipped_models().items()}


def _known(model: LoadedModel) -> Known:
    return Known(model.digest, model.artefact.id, model.artefact.version)


def _revoked(model: LoadedModel) -> ModelRefused:
    artefact = model.artefact
    return ModelRefused(
        f"model {artefact.id} {artefact.version} was revoked; `vbq model log` says why, `vbq model rollback` goes back "
        "to the one before it, `vbq model deploy` takes another one",
        code="model-revoked",
    )


def _shortened() -> ModelRefused:
    return ModelRefused(
        "the log of deployments lost lines or was changed since this process read it; restore the database from a copy",
        code="model-log",
    )
