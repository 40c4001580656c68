"""Keys from a JWKS file."""

import json
import os
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateways.access.keys import KeyFile, read_jwks
from schemas.errors import NotConfigured


def elliptic(kid: str, **more: Any) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return {**jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True), "kid": kid, **more}


def write(path: Path, *rows: object) -> Path:
    path.write_text(json.dumps({"keys": rows}))
    return path


def test_keys_are_found_by_their_name(tmp_path: Path) -> None:
    keys = KeyFile(write(tmp_path / "jwks.json", elliptic("a"), elliptic("b", alg="ES384")))
    found = keys.find("b")
    assert found is not None
    assert found.fits("ES384")
    assert not found.fits("ES256")
    assert not found.fits("RS384")
    assert keys.find("c") is None


def test_a_key_that_names_its_algorithm_serves_that_one_alone(tmp_path: Path) -> None:
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    row = {**jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "r"}
    free, bound = (read_jwks(write(tmp_path / "j.json", {**row, **more}))["r"] for more in ({}, {"alg": "RS384"}))
    assert [free.fits(name) for name in ("RS256", "RS384", "ES384", "HS256")] == [True, True, False, False]
    assert [bound.fits(name) for name in ("RS256", "RS384")] == [False, True]


def test_a_short_rsa_key_fits_nothing(tmp_path: Path) -> None:
    public = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    row = {**jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "r"}
    assert not read_jwks(write(tmp_path / "j.json", row))["r"].fits("RS384")


def test_keys_rotate_without_a_restart_and_a_broken_file_leaves_the_old_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "jwks.json", elliptic("old"))
    keys = KeyFile(path)
    write(path, elliptic("new"))
    os.utime(path, ns=(1, 1))
    assert keys.find("new")
    assert keys.find("old") is None
    path.write_text('{"keys": [')
    os.utime(path, ns=(2, 2))
    assert keys.find("new")
    path.unlink()
    assert keys.find("new")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"keys": 3}',
        '{"keys": []}',
        '{"keys": [{"kty": "RSA"}]}',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]}',
        '{"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "p", "d": "AA"}]}',
        '{"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "p"}]}',
        '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "p"}]}',
    ],
)
def test_a_file_that_is_no_set_of_public_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "jwks.json").write_text(text)
    with pytest.raises(NotConfigured):
        read_jwks(tmp_path / "jwks.json")


def test_a_missing_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="check the path"):
        KeyFile(tmp_path / "nowhere.json")
