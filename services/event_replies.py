"""What a sender hears: the receipt inside the reply that its kind of request expects. Pure; no web framework."""

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from schemas.errors import Issue
from schemas.events import Receipt
from schemas.fhir.events import ParsedEvents
from schemas.fhir.outcome import outcome

Json = dict[str, Any]
Receipts = Sequence[Receipt | None]
"""One per event, in order; None where this sender may not push that type."""


def receipt_text(receipts: Receipts) -> str:
    """`{"receipt": [...]}` as JSON text, in ASCII (it may stand in a header): FHIR has no element of its own for it."""
    rows = [
        {"event": row.event, "resource": row.resource, "version": row.version, "repeat": row.repeat}
        for row in receipts
        if row is not None
    ]
    text = msgspec.json.encode({"receipt": rows}).decode()
    return text if text.isascii() else json.dumps({"receipt": rows}, separators=(",", ":"))


def receipt_outcome(receipts: Receipts, skipped: Sequence[Issue]) -> Json:
    """The receipt, then a row for each resource that was not taken, with the reason."""
    rows = [("information", "informational", receipt_text(receipts), "")]
    return outcome([*rows, *(("information", "not-supported", row.text, row.path) for row in skipped)])


def bundle_response(parsed: ParsedEvents, receipts: Receipts) -> Json:
    """The batch-response or transaction-response: one entry for each entry that was sent."""
    entries = [{"response": entry_response(index, parsed, receipts)} for index in parsed.entries]
    return (
        {"resourceType": "Bundle", "type": f"{parsed.kind}-response", "entry": entries}
        if entries
        else {
            "resourceType": "Bundle",
            "type": f"{parsed.kind}-response",
        }
    )


def entry_response(index: int | None, parsed: ParsedEvents, receipts: Receipts) -> Json:
    """The answer to one entry."""
    receipt = None if index is None else receipts[index]
    if index is None or receipt is None:
        return {"status": "200 OK", "outcome": outcome([("information", "not-supported", "not used here", "")])}
    event = parsed.events[index]
    return {
        "status": "200 OK" if receipt.repeat else "202 Accepted",
        "location": f"{event.resource_type}/{event.resource_id}",
        "outcome": receipt_outcome([receipt], ()),
    }


def message_response(
    header: Mapping[str, Any], receipts: Receipts, skipped: Sequence[Issue], *, endpoint: str, now: str
) -> Json:
    """A message Bundle whose header answers `header`. `now`: an instant; `endpoint`: our own address."""
    about = {**receipt_outcome(receipts, skipped), "id": "receipt"}
    kind = {name: header[name] for name in ("eventCoding", "eventUri") if name in header}
    source = header.get("source")
    back = source.get("endpoint") if isinstance(source, Mapping) else None
    answer: Json = {
        "resourceType": "MessageHeader",
        "id": str(uuid.uuid4()),
        **kind,
        **({"destination": [{"endpoint": back}]} if isinstance(back, str) and back else {}),
        "source": {"name": "vbq-cds", "endpoint": endpoint},
        "response": {
            "identifier": header.get("id", "unknown"),
            "code": "ok",
            "details": {"reference": "OperationOutcome/receipt"},
        },
    }
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "message",
        "timestamp": now,
        "entry": [
            {"fullUrl": f"urn:uuid:{answer['id']}", "resource": answer},
            {"fullUrl": f"{endpoint}/OperationOutcome/receipt", "resource": about},
        ],
    }
