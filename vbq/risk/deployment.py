"""The log of deployments: signed lines in a chain, and what they add up to. Pure; gateways/registry keeps the rows.

A line counts if it names the line before by its hash, is not older than it, and was signed by a key whose role is
`deploy` on the day it says. One line that does not count makes the whole log count for nothing: scoring stops.
"""

import base64
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from schemas.errors import Forbidden, ModelRefused
from schemas.model import TrustedKey
from schemas.registry import NOTHING_BEFORE, LogEntry, Stage
from vbq.risk.artefact import canonical_json, digest, read_json
from vbq.risk.signature import public_text

CLOCKS_DIFFER: Final = dt.timedelta(minutes=5)


class SignedLine(NamedTuple):
    """A line of the log as it is kept: the signed bytes, the public key and the signature (both base64)."""

    body: bytes
    ed25519: str
    signature: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """What the log says now. `history`: digests that were active, oldest first, the active one last."""

    history: tuple[str, ...]
    shadow: str | None = None
    revoked: frozenset[str] = frozenset()
    ever: frozenset[str] = frozenset()
    length: int = 0
    head: str = NOTHING_BEFORE
    latest: dt.datetime | None = None

    @classmethod
    def nothing(cls, default: str) -> "Deployed":
        """Before the first line: the model that ships with the software is active."""
        return cls(history=(default,), ever=frozenset({default}))

    @property
    def active(self) -> str:
        return self.history[-1]

    def stage(self, model: str) -> Stage:
        """Where the model with this digest stands."""
        if model in self.revoked:
            return "revoked"
        if model == self.active:
            return "active"
        if model == self.shadow:
            return "shadow"
        return "retired" if model in self.ever else "candidate"

    def before(self) -> str:
        """The model that a rollback brings back. Raises ModelRefused where there is none."""
        for model in reversed(self.history[:-1]):
            if model not in self.revoked:
                return model
        raise ModelRefused(
            "there is no earlier model to go back to that is not revoked; deploy one", code="nothing-before"
        )

    def after(self, entry: LogEntry, body_digest: str) -> "Deployed":
        """With one line more, which must fit: right number, right predecessor, not older. Raises ModelRefused."""
        if entry.number != self.length + 1 or entry.previous != self.head:
            raise _broken(entry.number, "it does not follow the line before it")
        if self.latest is not None and entry.at < self.latest:
            raise _broken(entry.number, "it is older than the line before it")
        history, shadow, revoked = self.history, self.shadow, self.revoked
        model = entry.digest
        if entry.action == "deploy" and model and model != self.active:
            history = (*history, model)
        elif entry.action == "rollback" and model:
            place = next((i for i in range(len(history) - 2, -1, -1) if history[i] == model), None)
            history = history[: place + 1] if place is not None else (model,)
        elif entry.action == "shadow":
            shadow = model
        elif entry.action == "unshadow":
            shadow = None
        elif entry.action == "revoke" and model:
            revoked = revoked | {model}
        if shadow is not None and (shadow in revoked or shadow == history[-1]):
            shadow = None
        return Deployed(
            history=history,
            shadow=shadow,
            revoked=revoked,
            ever=self.ever | set(history),
            length=entry.number,
            head=body_digest,
            latest=entry.at,
        )


def seal(entry: LogEntry, key: Ed25519PrivateKey) -> SignedLine:
    """The line, signed."""
    body = canonical_json(entry.model_dump(mode="json"))
    signature = base64.b64encode(key.sign(body)).decode("ascii")
    return SignedLine(body, public_text(key.public_key()), signature)


def read_line(line: SignedLine, keys: Iterable[TrustedKey]) -> LogEntry:
    """What a line says, if a trusted key with the role `deploy` signed it. Raises ModelRefused, Forbidden."""
    key = next((row for row in keys if row.ed25519 == line.ed25519), None)
    if key is None:
        raise ModelRefused(
            "the log of deployments holds a line by a key that is not trusted here; put that key back under "
            "model_keys in VBQ_CONFIG, with `until` if it is retired",
            code="model-log",
        )
    try:
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(line.ed25519, validate=True))
        public.verify(base64.b64decode(line.signature, validate=True), line.body)
        entry = LogEntry.model_validate(read_json(line.body))
    except (InvalidSignature, ValueError, ValidationError) as error:
        raise ModelRefused(
            "a line of the log of deployments was changed after it was signed; restore the database from a copy",
            code="model-log",
        ) from error
    if "deploy" not in key.roles:
        raise Forbidden(
            f"the key {key.name} may not deploy: its roles in VBQ_CONFIG are {', '.join(key.roles)}; use another key, "
            "or have `deploy` added to its roles"
        )
    if key.until is not None and entry.at.astimezone(dt.UTC).date() > key.until:
        raise Forbidden(f"the key {key.name} may not deploy after {key.until}; use the key that follows it")
    return entry


def follow(state: Deployed, lines: Sequence[SignedLine], keys: Sequence[TrustedKey]) -> Deployed:
    """`state` with `lines` added, each verified. Raises ModelRefused, Forbidden."""
    for line in lines:
        state = state.after(read_line(line, keys), digest(line.body))
    return state


def next_moment(state: Deployed, now: dt.datetime) -> dt.datetime:
    """When the next line is dated: now, or at the moment of the last one where clocks differ a little."""
    if state.latest is None or now >= state.latest:
        return now
    if state.latest - now > CLOCKS_DIFFER:
        raise ModelRefused(
            "the last line of the log of deployments is dated in the future; set this machine's clock right",
            code="model-log",
        )
    return state.latest


def _broken(number: int, how: str) -> ModelRefused:
    return ModelRefused(
        f"the log of deployments is not whole at line {number}: {how}; restore the database from a copy",
        code="model-log",
    )
