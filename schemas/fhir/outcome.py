"""OperationOutcome: what FHIR calls an answer in words."""

from collections.abc import Sequence
from typing import Any


def outcome(rows: Sequence[tuple[str, str, str, str]]) -> dict[str, Any]:
    """An OperationOutcome with one issue per row of (severity, issue type, text, FHIRPath or "").

    Severity is fatal, error, warning or information; the issue type a code of
    http://hl7.org/fhir/R4/valueset-issue-type.html. FHIR asks for at least one issue.
    """
    if not rows:
        raise ValueError("an OperationOutcome needs at least one issue")
    return {"resourceType": "OperationOutcome", "issue": [_issue(*row) for row in rows]}


def _issue(severity: str, code: str, text: str, path: str) -> dict[str, Any]:
    row: dict[str, Any] = {"severity": severity, "code": code, "diagnostics": text}
    return {**row, "expression": [path]} if path else row
