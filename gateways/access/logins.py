"""How we log in to another system: nothing, a bearer token, a user and password, OAuth2 or SMART Backend Services."""

import base64
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gateways.access.private_keys import SigningKey, read_signing_key
from gateways.access.smart_backend import BackendServices, refuse_plain
from schemas.config import Auth
from schemas.errors import NotConfigured

if TYPE_CHECKING:
    import httpx

TOKEN_SECONDS = 10.0
READING = "system/*.read"
READING_AND_WRITING = "system/*.read system/*.write"
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Login(Protocol):
    """Makes the Authorization header of a call."""

    def headers(self) -> Mapping[str, str]:
        """The header, or none. May ask another server for a token: raises EhrUnavailable, NotConfigured."""

    def renewed(self, refused: Mapping[str, str]) -> bool:
        """`refused` (of `headers`) got a 401: whether another one can be had."""


class Fixed:
    """A header that does not change while the process lives."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def renewed(self, refused: Mapping[str, str]) -> bool:
        return refused != self._headers


class ShortLived:
    """A token that is asked for, kept and renewed."""

    def __init__(self, tokens: BackendServices) -> None:
        self._tokens = tokens

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._tokens.token()}"}

    def renewed(self, refused: Mapping[str, str]) -> bool:
        self._tokens.forget(refused.get("Authorization", "").removeprefix("Bearer "))
        return True


def login(
    auth: Auth,
    *,
    base_url: str,
    setting: str,
    environ: Mapping[str, str] = os.environ,
    private_network: bool = False,
    ca_file: Path | None = None,
    scopes: str = READING,
    clock: Callable[[], float] = time.time,
) -> Login:
    """The login that `auth` (the configuration's `setting`, e.g. "ehr.auth") describes for the system at `base_url`.

    Raises NotConfigured where something of it is missing or cannot be used, and where a secret would have to cross a
    network in the clear. Asks nobody yet. `scopes` are asked for where `auth` names none.
    """
    if auth.kind == "none":
        return Fixed({})
    refuse_plain(base_url)
    if auth.kind == "bearer":
        token = _secret(auth.token_env, environ, f"{setting}.token_env")
        if not _VISIBLE.fullmatch(token):
            raise NotConfigured(f"{setting}.token_env: the token holds spaces or other characters that no token has")
        return Fixed({"Authorization": f"Bearer {token}"})
    if auth.kind == "basic":
        user = _secret(auth.username_env, environ, f"{setting}.username_env")
        if ":" in user:
            raise NotConfigured(f"{setting}.username_env: a user's name with a colon cannot be sent by basic login")
        pair = f"{user}:{_secret(auth.password_env, environ, f'{setting}.password_env')}"
        return Fixed({"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"})
    if not auth.client_id:
        raise NotConfigured(f"{setting}.client_id is missing; it is what the authorization server calls us")
    if auth.kind == "client-secret":
        if auth.token_url is None:
            raise NotConfigured(f"{setting}.token_url is missing; it is where a client secret becomes a token")
        key: SigningKey | str = _secret(auth.client_secret_env, environ, f"{setting}.client_secret_env")
    elif auth.key_file is None:
        raise NotConfigured(f"{setting}.key_file is missing; it holds the private key that we sign in with")
    else:
        key = read_signing_key(auth.key_file, auth.key_id, f"{setting}.key_file")

    def open_http(urls: list[str]) -> "httpx.Client":
        from gateways.outgoing.deadline import Deadline
        from gateways.outgoing.reach import open_client

        deadline = Deadline()
        deadline.begin(TOKEN_SECONDS)
        return open_client(
            urls, private_network=private_network, ca_file=ca_file, timeout=TOKEN_SECONDS, deadline=deadline
        )

    tokens = BackendServices(
        base_url=base_url,
        client_id=auth.client_id,
        key=key,
        scopes=auth.scopes or ("" if auth.kind == "client-secret" else scopes),
        token_url=auth.token_url,
        open_http=open_http,
        clock=clock,
    )
    return ShortLived(tokens)


def _secret(name: str | None, environ: Mapping[str, str], setting: str) -> str:
    value = environ.get(name or "", "").strip()
    if not value:
        raise NotConfigured(f"{setting} names no environment variable that holds a value; set it")
    return value
