"""What must not be in the code at all (docs/security.md)."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "vbq", "gateways", "workers", "services", "commands")


def lines(*folders: str) -> list[tuple[str, str]]:
    """(place, line) of all code, comments left out."""
    return [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if not line.lstrip().startswith("#")
    ]


def test_nothing_turns_data_into_code() -> None:
    code = re.compile(
        r"\b(import|from) (pickle|cPickle|dill|marshal|shelve|joblib|cloudpickle)\b"
        r"|\byaml\.((unsafe_|full_)load\(|load\((?!.*Safe))|allow_pickle=True|read_pickle|torch\.load\(|(?<![\w.])(eval|exec)\(|\bos\.system\(|shell=True"
    )
    assert [(place, line) for place, line in lines(*PACKAGES) if code.search(line)] == []


def test_every_outgoing_http_client_is_the_guarded_one() -> None:
    """Two others are there: the demo's stand-ins call our own service, `vbq up` asks its own child if it is ready."""
    client = re.compile(
        r"httpx\.(Client|AsyncClient|HTTPTransport|get|post|put|request|stream)\(|\brequests\.(get|post|Session|request)\("
        r"|urllib\.request|http\.client|\baiohttp\b|\burllib3\.|HTTPConnection\("
    )
    allowed = {"gateways/outgoing/reach.py", "gateways/stand_ins.py", "commands/up.py"}
    found = [(place, line) for place, line in lines(*PACKAGES) if client.search(line)]
    assert [row for row in found if row[0].split(":")[0] not in allowed] == []


def test_no_decoder_that_aborts_is_installed() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        assert not re.search(r"^(python-gdcm|gdcm|pylibjpeg-libjpeg)==", lock.read_text(), re.MULTILINE)
