"""Outgoing calls: to configured origins alone, to addresses that were filtered, wherever a name leads next time."""

import datetime as dt
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateways.outgoing.origins import origin_of, refusal, same_origin
from gateways.outgoing.reach import open_client
from schemas.errors import Forbidden, NotConfigured
from tests.loopback import LoopbackServer


class Listener(LoopbackServer):
    """Notes who was asked for, and redirects where the path says so."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.hosts: list[str | None] = []
        self.tokens: list[str | None] = []
        self.server_names: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def do_GET(self) -> None:
        self.server.hosts.append(self.headers.get("Host"))
        self.server.tokens.append(self.headers.get("Authorization"))
        self.send_response(302 if self.path == "/redirect" else 200)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_configured_loopback_address_is_reached(listener: Listener) -> None:
    for host in ("127.0.0.1", "localhost"):
        base = f"http://{host}:{listener.port}/fhir"
        with open_client([base]) as client:
            assert client.get(f"{base}/Patient/1").status_code == 200
        assert listener.hosts[-1] == f"{host}:{listener.port}"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1:1/fhir",  # another port
        "https://127.0.0.1:{port}/fhir",  # another scheme
        "http://localhost:{port}/fhir",  # another name of the same machine
        "http://user:secret@127.0.0.1:{port}/fhir",
        "http://127.0.0.1:{port}@evil.example/fhir",
        "http://evil.example/127.0.0.1:{port}",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_a_token_never_goes_to_another_origin(listener: Listener, elsewhere: str) -> None:
    base = f"http://127.0.0.1:{listener.port}/fhir"
    with (
        open_client([base], headers={"Authorization": "Bearer made-up"}) as client,
        pytest.raises(Forbidden) as caught,
    ):
        client.get(elsewhere.format(port=listener.port))
    assert caught.value.reason_code == "origin-not-allowed"
    assert listener.tokens == []


def test_no_redirect_is_followed(listener: Listener) -> None:
    with open_client([f"http://127.0.0.1:{listener.port}"]) as client:
        assert client.get(f"http://127.0.0.1:{listener.port}/redirect").status_code == 302
    assert len(listener.hosts) == 1


def test_a_public_name_that_leads_inside_is_refused(listener: Listener) -> None:
    base = f"http://pacs.example:{listener.port}"
    for leads_to in ("127.0.0.1", "::1", "169.254.169.254", "10.1.2.3", "192.168.0.9", "fd00::1", "::ffff:127.0.0.1"):
        with open_client([base], resolve=lambda *_: [leads_to]) as client, pytest.raises(Forbidden) as caught:  # noqa: B023 - called within the round
            client.get(base)
        assert caught.value.reason_code == "address-refused"
    assert listener.hosts == []


def test_the_name_is_looked_up_once_and_the_checked_address_is_called(listener: Listener) -> None:
    """DNS rebinding: a name server that first gives a good address and then another one gains nothing."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    base = f"http://localhost:{listener.port}"
    with open_client([base], resolve=lambda *_: answers.pop(0)) as client:
        assert client.get(base).status_code == 200
        assert client.get(base).status_code == 200
    assert answers == [["169.254.169.254"]]


def test_of_several_addresses_only_those_that_pass_are_called(listener: Listener) -> None:
    base = f"http://localhost:{listener.port}"
    with open_client([base], resolve=lambda *_: ["169.254.169.254", "127.0.0.2", "127.0.0.1"]) as client:
        assert client.get(base).status_code == 200


@pytest.mark.parametrize(
    ("address", "host", "private_network", "passes"),
    [
        ("93.184.216.34", "ehr.example", False, True),
        ("2606:2800:220:1::1", "ehr.example", False, True),
        ("10.0.0.5", "pacs.hospital", False, False),
        ("10.0.0.5", "pacs.hospital", True, True),
        ("100.64.3.4", "pacs.hospital", False, False),
        ("100.64.3.4", "pacs.hospital", True, True),
        ("10.0.0.5", "10.0.0.5", False, True),
        ("10.0.0.6", "10.0.0.5", False, False),
        ("127.0.0.1", "pacs.hospital", True, False),
        ("127.0.0.1", "localhost", False, True),
        ("127.0.0.1", "127.1", True, False),  # what a resolver makes of an odd spelling
        ("127.0.0.1", "2130706433", True, False),
        ("::1", "::1", False, True),
        ("::ffff:10.0.0.5", "pacs.hospital", False, False),
        ("64:ff9b::7f00:1", "pacs.hospital", True, False),
        ("2002:7f00:1::", "pacs.hospital", True, False),
        ("169.254.169.254", "169.254.169.254", True, False),
        ("fe80::1%eth0", "pacs.hospital", True, False),
        ("fd00:ec2::254", "pacs.hospital", True, False),
        ("100.100.100.200", "pacs.hospital", True, False),
        ("0.0.0.0", "0.0.0.0", True, False),
        ("::", "pacs.hospital", True, False),
        ("224.0.0.1", "pacs.hospital", True, False),
        ("255.255.255.255", "pacs.hospital", False, False),
        ("240.0.0.1", "pacs.hospital", False, False),
    ],
)
def test_which_addresses_pass(address: str, host: str, private_network: bool, passes: bool) -> None:
    assert (refusal(address, host, private_network=private_network) is None) is passes


def test_origins_are_equal_as_rfc_6454_says() -> None:
    assert same_origin("https://EHR.example/fhir", "https://ehr.example:443/other")
    assert same_origin("https://ehr.example./fhir", "https://ehr.example")
    assert not same_origin("http://ehr.example", "https://ehr.example")
    for odd in (
        "ftp://ehr.example",
        "https://a@ehr.example",
        "https://ehr.example:x",
        "https://",
        "//ehr.example",
        " ",
    ):
        assert origin_of(odd) is None
        assert not same_origin(odd, odd)
    assert origin_of("https://evil.example\\@ehr.example/") is None


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a self-signed certificate of `localhost` by that name alone (no address)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made up")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret


def test_tls_checks_the_name_although_an_address_is_called(listener: Listener, tmp_path: Path) -> None:
    pem, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    context.sni_callback = lambda _socket, name, _context: listener.server_names.append(name)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    base = f"https://localhost:{listener.port}"
    with open_client([base], ca_file=pem, resolve=lambda *_: ["127.0.0.1"]) as client:
        assert client.get(base).status_code == 200
    assert listener.server_names == ["localhost"]
    with open_client([base]) as client, pytest.raises(httpx.ConnectError):
        client.get(base)  # no authority of the machine's signed it
    other = f"https://127.0.0.1:{listener.port}"
    with open_client([other], ca_file=pem) as client, pytest.raises(httpx.ConnectError):
        client.get(other)  # the certificate is of another name


def test_a_ca_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        with pytest.raises(NotConfigured):
            open_client(["https://ehr.example"], ca_file=path)


def test_a_name_that_nobody_knows_is_a_failed_connection() -> None:
    def unknown(*_: object) -> list[str]:
        raise OSError("no such name")

    with open_client(["http://nowhere.example"], resolve=unknown) as client, pytest.raises(httpx.ConnectError):
        client.get("http://nowhere.example/")
