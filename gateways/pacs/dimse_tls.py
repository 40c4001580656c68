"""TLS below DIMSE (PS3.15 annex B): contexts made of what is configured, and why a handshake failed."""

import socket
import ssl
from pathlib import Path

from schemas.config import DimseArchive, DimseTls, ListenTls
from schemas.errors import NotConfigured

PROBE_SECONDS = 5.0


def client_context(tls: DimseTls) -> ssl.SSLContext:
    """For calling: the peer's certificate must be of a trusted authority and for its name. Raises NotConfigured."""
    context = _of(tls.ca_file, ssl.Purpose.SERVER_AUTH, "tls.ca_file")
    if tls.certificate_file is not None:
        _show(context, tls.certificate_file, tls.key_file)
    return context


def server_context(tls: ListenTls) -> ssl.SSLContext:
    """For being called: nobody without a certificate of `ca_file`'s. Raises NotConfigured."""
    context = _of(tls.ca_file, ssl.Purpose.CLIENT_AUTH, "tls.ca_file")
    context.verify_mode = ssl.CERT_REQUIRED
    _show(context, tls.certificate_file, tls.key_file)
    return context


def why_not(archive: DimseArchive) -> str:
    """What is wrong with an archive's TLS, for a person; empty where the handshake is done, or nobody is there."""
    if archive.tls is None:
        return ""
    context = client_context(archive.tls)
    try:
        with (
            socket.create_connection((archive.host, archive.port), PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=archive.tls.server_name or archive.host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS with it failed: {error.reason or 'no reason given'}"
    except OSError:
        return ""


def _of(ca_file: Path | None, purpose: ssl.Purpose, setting: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(purpose, cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise NotConfigured(f"{setting} cannot be read as PEM certificates; check the path and the file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # BCP 195, as PS3.15 B.9 wants
    return context


def _no_password() -> str:
    raise NotConfigured("tls.key_file is encrypted with a password; give a key without one, readable for us alone")


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise NotConfigured(
            "tls.certificate_file and tls.key_file cannot be read as a PEM certificate and its key; check both"
        ) from error
