"""What a request means where its sender says it in headers or leaves it unsaid: Medplum's deletes, empty rest-hooks."""

from typing import NamedTuple

from schemas.errors import Issue, NotAcceptable
from schemas.fhir.reference import read_reference
from services.asked import Asked

DELETED = "X-Medplum-Deleted-Resource"
INTERACTION = "X-Medplum-Interaction"
NOTHING = frozenset({b"", b"{}"})


class Meant(NamedTuple):
    """A request as events_of takes it."""

    method: str
    type_: str | None
    id_: str | None
    body: bytes
    delivery: str = ""
    """The same for each attempt of one delivery, where the sender says which it is."""


def meant(asked: Asked, type_: str | None, id_: str | None) -> Meant:
    """What `asked` means. Raises NotAcceptable where a delete does not say of what.

    Medplum tells of a delete by a POST of `{}` and names the resource in a header. That header is not under its
    X-Signature: docs/senders.md says what follows from it.
    """
    headers, body = asked.headers, asked.body
    delivery = (headers.get("webhook-id") or "")[:256]
    named = headers.get(DELETED)
    if asked.method != "POST" or (named is None and headers.get(INTERACTION) != "delete"):
        return Meant(asked.method, type_, id_, body, delivery)
    literal = read_reference(named or "")
    if literal is None or literal.base is not None:
        text = f"a delete must name one resource in {DELETED}, as Type/id"
        raise NotAcceptable(text, [Issue("(header)", text)], code="deleted-resource")
    if body.strip() not in NOTHING:
        text = f"{DELETED} comes with a body that is not {{}}; nothing was taken"
        raise NotAcceptable(text, [Issue("(root)", text)], code="deleted-resource")
    if type_ is not None and (type_, id_ or literal.resource_id) != (literal.resource_type, literal.resource_id):
        text = f"{DELETED} names another resource than the path"
        raise NotAcceptable(text, [Issue("(header)", text)], code="deleted-resource")
    return Meant("DELETE", literal.resource_type, literal.resource_id, b"", delivery)
