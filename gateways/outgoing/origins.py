"""Origins of URLs, and which addresses a name may lead to. Pure; the client that holds to both is in reach.py."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
PLAIN_NAMES = frozenset({"localhost", "localhost.localdomain"})
# Metadata services of clouds hand out credentials to whoever asks; none of them is a FHIR server or an archive.
METADATA = frozenset({"169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"})
CARRIER = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598; not "private" in Python's eyes
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Origin(NamedTuple):
    """What must be equal for two URLs to be of one system (RFC 6454)."""

    scheme: str
    host: str
    port: int


def origin_of(url: str) -> Origin | None:
    """The origin of an http(s) URL, the default port written out; None for anything else, or where it holds a login."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if (
        parts.scheme not in PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or any(c <= " " or c == "\\" for c in url)
    ):
        return None
    return Origin(parts.scheme, parts.hostname.rstrip("."), port or PORTS[parts.scheme])


def same_origin(url: str, other: str) -> bool:
    """Whether two URLs are of one origin; False where one of them is no http(s) URL."""
    origin = origin_of(url)
    return origin is not None and origin == origin_of(other)


def refusal(address: str, host: str, *, private_network: bool) -> str | None:
    """Why a connection to `address`, which `host` resolved to, is refused; None where it may be made. Pure.

    `host` is the configured one. A literal address or localhost stands for itself; another name may lead to public
    addresses, and with `private_network` to those of RFC 1918, RFC 4193 and RFC 6598. Metadata services, link-local,
    multicast and unspecified addresses are refused whatever is configured.
    """
    plain = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    if str(plain) in METADATA or plain.is_link_local:
        return "a link-local or metadata address"
    if plain.is_multicast or plain.is_unspecified or (plain.is_reserved and not plain.is_private):
        return "an address that no server has"
    literal = _literal(host)
    if literal is not None and _unwrapped(literal) == plain:
        return None
    if plain.is_loopback:
        return None if host in PLAIN_NAMES else "this machine itself"
    if plain.is_private or (plain.version == 4 and plain in CARRIER):
        return None if private_network else "an address of a private network"
    return None if plain.is_global else "an address that no server has"


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only carries it: mapped, 6to4, Teredo's client, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inner is None and address in NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address
