"""Whether another system answers at all, for `vbq doctor`. Nothing is sent but a GET without a body."""

from schemas.errors import Unavailable

SECONDS = 3.0


def http_status(url: str) -> int:
    """The HTTP status of GET `url`; any status means that somebody answers. Raises Unavailable after 3 s."""
    import httpx

    try:
        with httpx.Client(timeout=SECONDS, follow_redirects=False, trust_env=False) as client:
            return client.get(url, headers={"Accept": "application/json"}).status_code
    except httpx.HTTPError as error:
        raise Unavailable(f"no answer ({type(error).__name__})") from error
