"""Ed25519 private keys in PEM files: made for their owner's eyes alone, read, never overwritten."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.errors import NotConfigured


def make_key(path: Path) -> Ed25519PrivateKey:
    """A new key in a new file. Raises NotConfigured where the file is there already."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        # readable by its owner alone from the first byte on, and never over an existing key
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise NotConfigured(f"the key file cannot be made: {error.strerror}; name a new file") from error
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    return key


def read_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file. Raises NotConfigured."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise NotConfigured(f"the key file cannot be read: {error.strerror}; `vbq model key` makes one") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotConfigured("the key file is not an unencrypted PEM private key; `vbq model key` makes one") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise NotConfigured("the key is not an Ed25519 key; `vbq model key` makes one")
    return key
