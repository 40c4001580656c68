"""Logs hold no word of a patient, whoever writes them."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from gateways.logs import configure
from schemas.errors import NotAcceptable

CANARY = "Jane-Canary-1950"


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root, show = logging.getLogger(), warnings.showwarning
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], warnings.showwarning = handlers, show
    root.setLevel(level)
    for name in ("pydicom", "httpx"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_foreign_exception_is_named_and_its_text_is_not(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    configure("INFO", "worker", as_json=as_json)
    try:
        int(CANARY)
    except ValueError as error:
        said_aloud = str(error)  # as a careless caller would
        logging.getLogger("x").exception("job failed: %s", said_aloud)
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert "test_logs.py" in said
    assert CANARY not in said


def test_our_own_errors_keep_their_words(capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "worker", as_json=True)
    error = NotAcceptable("not FHIR: Observation.status", code="not-fhir")
    logging.getLogger("x").warning("event refused", exc_info=error, extra={"event": 7})
    line = json.loads(capsys.readouterr().err)
    assert line["event"] == 7
    assert line["error"]["code"] == "not-fhir"
    assert line["error"]["detail"] == "not FHIR: Observation.status"
    assert line["process"] == "worker"


def test_a_library_that_warns_or_logs_its_input_is_not_heard(capsys: pytest.CaptureFixture[str]) -> None:
    configure("DEBUG", "worker", as_json=True)
    warnings.showwarning(f"Invalid value for VR DA: {CANARY}", UserWarning, "valuerep.py", 1)
    logging.getLogger("pydicom").warning("invalid value %s", CANARY)
    logging.getLogger("httpx").info("GET https://ehr.example/Patient/%s", CANARY)
    said = capsys.readouterr().err
    assert CANARY not in said
    assert "a library warns" in said
