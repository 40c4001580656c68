"""Broken versions of good inputs, from a seeded generator: for tests and for benchmarks/fuzz.py."""

import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_BYTES = 2**20
ODD_BYTES = (b"\0", b"\xff", b"\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\xff\xff\xff\x7f")
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
ODD_TEXT = (
    "", " ", "\0", "\u202e", "A" * 5000, "é", "\U0001f9b4", "../../etc/passwd", "${jndi:x}", "2024-02-30", "-0",
    "1e999", "Patient/../Patient/1", "urn:uuid:x", "http://[", "#", "9999-12-31T23:59:60Z", "2020-01-01T00:00:00+99:99",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (None, True, [], {}, [[]], [None], 0, -1, 1e300, 10**17, *ODD_TEXT)
ODD_JSON = (b"NaN", b"Infinity", b"1e999", b"-", b"[" * 80, b'{"a":' * 80, b'"\\ud800"', b"\xff", b'"a":1,"a":2', b"\0")


def broken_bytes(good: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """`good` with one to four faults in it. `others` are spliced in now and then."""
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 2, 4, 8, 64, 512))
        kind = rng.randrange(9)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            odd = rng.choice(ODD_BYTES)
            data[at : at + len(odd)] = odd
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        elif kind == 4:
            data[at:at] = rng.randbytes(size)
        elif kind == 5:
            del data[at:]
        elif kind == 6:
            data[at:at] = ITEM * rng.choice((1, 20, 200))
        elif kind == 7:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[at : at + size] = other[start : start + size]
        else:  # a length, a count or a size becomes another one: most of a DICOM header is these
            at = min(at, len(data)) & ~1
            data[at : at + 2] = struct.pack("<H", rng.choice((0, 1, 15, 16, 255, 4096, 32767, 65535)))
    return bytes(data)


def broken_json(good: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A JSON document with a fault in its text, or with an odd value, key or repetition in its tree."""
    if rng.random() < 0.4:
        if rng.random() < 0.5:
            return broken_bytes(good, others, rng)
        at = rng.randrange(len(good) + 1)
        return good[:at] + rng.choice(ODD_JSON) + good[at + rng.choice((0, 1, 4)) :]
    document = json.loads(good)
    for _ in range(rng.choice((1, 1, 2, 5))):
        holder = rng.choice(_holders(document))
        if not holder:
            continue
        keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = rng.choice(keys)
        kind = rng.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = [holder[key]] * rng.choice((1, 2, 50))
        elif kind == 2 and isinstance(holder, dict):
            holder[rng.choice(ODD_TEXT) or "x"] = holder[key]
        elif kind == 3:
            holder[key] = rng.choice(_holders(json.loads(rng.choice(others))))
        else:
            holder[key] = rng.choice(ODD_VALUES)
    made = json.dumps(document).encode()
    return made if len(made) <= MOST_BYTES else made[:MOST_BYTES]  # repetitions of repetitions grow without end


def _holders(document: Any) -> list[Any]:
    """Every object and array of a document."""
    found: list[Any] = []
    left = [document]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            found.append(one)
            left += one.values()
        elif isinstance(one, list):
            found.append(one)
            left += one
    return found or [{}]


def pydicom_files(most_bytes: int = 400_000) -> list[bytes]:
    """The test files that pydicom brings along."""
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size <= most_bytes]
    return [data for path in found if (data := path.read_bytes())[128:132] == b"DICM"]
