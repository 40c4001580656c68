"""A request and its answer as the short ways see them: plain values, whatever server brought them."""

from typing import Any, NamedTuple, Protocol, overload


class Headers(Protocol):
    """Header fields; names in any case."""

    @overload
    def get(self, key: str, /) -> str | None: ...

    @overload
    def get(self, key: str, default: str, /) -> str: ...

    def __contains__(self, key: Any, /) -> bool: ...


class Caller(Protocol):
    """What tells who asks: Asked has it, and so has the request of Flask."""

    @property
    def headers(self) -> Any: ...  # Headers; werkzeug's are wider

    @property
    def path(self) -> str: ...

    @property
    def host(self) -> str: ...


class Asked(NamedTuple):
    """A request with the whole of its body, which was bounded as it was read."""

    method: str
    path: str
    headers: Headers
    body: bytes

    @property
    def host(self) -> str:
        """The Host header."""
        return self.headers.get("host") or ""


class Reply(NamedTuple):
    """An answer, but for the headers that every answer has (services/lane.py)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
