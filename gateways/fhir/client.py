"""One client for reading from a FHIR server and writing to it: by reference, by search with paging, by transaction.

    with ehr_client(config.ehr) as client:      # gateways/fhir/servers.py; reader(sender) for a sender's server
        client.read("Patient/p1")
        for resource in client.search("Observation", {"patient": "p1"}): ...
        client.transaction(bundle)

Raises EhrUnavailable where later may be better (no answer, 429, 5xx, a login that failed), Rejected where it never
will: `ehr-not-found`, `ehr-gone`, `ehr-refused`, `ehr-not-supported`, `ehr-reply` (not what it must be), and Forbidden
`ehr-elsewhere` (another server than the configured one). Messages never repeat what a server said in its own words.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urljoin

from gateways.fhir.http import FhirHttp, Reply, inside
from schemas.errors import Forbidden, Rejected
from schemas.fhir.parse import parse_json
from schemas.fhir.reference import read_reference, same_base
from schemas.fhir.types import R4_TYPES

MOST_PAGES = 1000
CONFLICTS = {409: "ehr-conflict", 412: "ehr-precondition"}
MOST_EMPTY_PAGES = 20
MOST_LINK_CHARS = 8192
Json = dict[str, Any]
Params = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """One page of a search. `following`: the address of the next one, checked to lie below the base."""

    resources: tuple[Json, ...] = field(repr=False)
    following: str | None


class FhirClient(AbstractContextManager["FhirClient"]):
    """One FHIR server. For one thread at a time; keeps its connections until it is closed."""

    def __init__(self, http: FhirHttp) -> None:
        self.http = http
        self.base = http.base

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def read(self, reference: str) -> Json:
        """The resource behind a literal reference: Type/id, with /_history/version or not, or absolute below the base.

        A reference to another server is Forbidden; nothing of it is repeated in the error.
        """
        literal = read_reference(self.http.own(reference))
        if literal is None or literal.resource_type not in R4_TYPES:
            raise Rejected("not a literal reference to a FHIR R4 resource; it cannot be read", code="ehr-reference")
        if literal.base is not None and not same_base(literal.base, self.base):
            raise Forbidden(
                "a reference leads to another server than the configured FHIR base; it was not followed",
                code="ehr-elsewhere",
            )
        version = f"/_history/{literal.version}" if literal.version else ""
        document = self._document(self.http.get(f"{self.base}/{literal.relative}{version}"))
        if document.get("resourceType") != literal.resource_type or document.get("id") != literal.resource_id:
            raise Rejected("the FHIR server answered a read with another resource", code="ehr-reply")
        return document

    def search(self, resource_type: str, params: Params, *, pages: int = MOST_PAGES) -> Iterator[Json]:
        """Every resource that a search finds, page by page; what was included comes too, outcomes do not.

        Raises Rejected with code ehr-too-much after `pages` pages, with ehr-paging where they go in circles.
        """
        for page in self.pages(resource_type, params, pages=pages):
            yield from page.resources

    def pages(
        self, resource_type: str, params: Params, *, pages: int = MOST_PAGES, start: str | None = None
    ) -> Iterator[Page]:
        """As `search`, page by page; `start` is the `following` of an earlier page, to go on from there."""
        url: str | None = start or self.search_url(resource_type, params)
        seen: set[int] = set()
        empty = 0
        for _ in range(pages):
            if url is None:
                return
            if hash(url) in seen:
                raise Rejected("the FHIR server's pages go in circles; the search was left", code="ehr-paging")
            seen.add(hash(url))
            page = self.page(url)
            empty = 0 if page.resources else empty + 1
            if empty > MOST_EMPTY_PAGES:
                raise Rejected("the FHIR server sends empty pages without end; the search was left", code="ehr-paging")
            yield page
            url = page.following
        if url is not None:
            raise Rejected(f"a search has more than {pages} pages; ask for less at once", code="ehr-too-much")

    def search_url(self, resource_type: str, params: Params) -> str:
        """The address of a search's first page."""
        if resource_type not in R4_TYPES:
            raise Rejected("a search must name a FHIR R4 resource type", code="ehr-reference")
        return f"{self.base}/{resource_type}{_query(params)}"

    def page(self, url: str) -> Page:
        """One page of a search. Raises Rejected where it is no searchset, or says that the search went wrong."""
        bundle = self._document(self.http.get(url))
        if bundle.get("resourceType") != "Bundle" or bundle.get("type") not in ("searchset", "history", None):
            raise Rejected("the FHIR server answered a search with something else than a Bundle", code="ehr-reply")
        return Page(tuple(_resources(bundle)), self.following(bundle, url))

    def transaction(self, bundle: Mapping[str, Any]) -> Json:
        """POST a transaction or batch Bundle, once; the response Bundle.

        After EhrUnavailable nobody knows whether it was done, unless the error says that the server was never reached.
        """
        content = json.dumps(bundle, ensure_ascii=False, allow_nan=False).encode()
        return self._document(self.http.send("POST", self.base, content), about="the transaction")

    def operation(self, path: str, params: Params = ()) -> Json:
        """GET an operation such as Subscription/7/$events; the resource that it returns."""
        return self._document(self.http.get(f"{self.base}/{path}{_query(params)}"))

    def create(self, resource: Mapping[str, Any]) -> Json:
        """POST a resource, once; what the server made of it, {} where it returns nothing."""
        content = json.dumps(resource, ensure_ascii=False, allow_nan=False).encode()
        reply = self.http.send("POST", f"{self.base}/{resource['resourceType']}", content)
        return self._document(reply, about=f"a {resource['resourceType']}") if reply.body.strip() else _done(reply)

    def update(self, resource: Mapping[str, Any]) -> Json:
        """PUT a resource under its id; what the server made of it, {} where it returns nothing."""
        content = json.dumps(resource, ensure_ascii=False, allow_nan=False).encode()
        url = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        reply = self.http.send("PUT", url, content)
        return self._document(reply, about=f"a {resource['resourceType']}") if reply.body.strip() else _done(reply)

    def delete(self, reference: str) -> None:
        """DELETE Type/id; that it is not there is fine."""
        literal = read_reference(reference)
        if literal is None or literal.base is not None:
            raise Rejected("only Type/id can be deleted", code="ehr-reference")
        reply = self.http.send("DELETE", f"{self.base}/{literal.relative}", None)
        if reply.status not in (404, 410):
            _done(reply)

    def capability(self) -> Json:
        """The server's CapabilityStatement."""
        found = self._document(self.http.get(f"{self.base}/metadata"))
        if found.get("resourceType") != "CapabilityStatement":
            raise Rejected(
                "the FHIR server's /metadata is no CapabilityStatement; is it a FHIR base?", code="ehr-reply"
            )
        return found

    def _document(self, reply: Reply, *, about: str = "the request") -> Json:
        if reply.status not in (200, 201):
            raise refusal(reply, about)
        try:
            return parse_json(reply.body)
        except Rejected as error:
            raise Rejected(f"the FHIR server's reply cannot be read: {error.detail}", code="ehr-reply") from None

    def following(self, bundle: Json, url: str) -> str | None:
        """The next page that `bundle` (from `url`) names, below the base; None where there is none."""
        links = bundle.get("link")
        rows = [row for row in links if isinstance(row, dict)] if isinstance(links, list) else []
        stated = next((row.get("url") for row in rows if row.get("relation") == "next"), None)
        if not isinstance(stated, str) or not stated:
            return None
        try:
            following = self.http.own(urljoin(url if stated.startswith("?") else f"{self.base}/", stated))
        except ValueError:
            following = ""
        if len(stated) > MOST_LINK_CHARS or not inside(following, self.base):
            raise Forbidden(
                "the next page of a search lies outside the configured FHIR base; it was not followed (behind a proxy: "
                "tell the server its public address, or give the other one as base_aliases)",
                code="ehr-elsewhere",
            )
        return following


def refusal(reply: Reply, about: str) -> Rejected:
    """What a status other than success means. The words of an OperationOutcome stay out: they may be a patient's."""
    status, reason = reply.status, outcome_codes(reply.body)
    if status in (404, 410):
        word = "is not there" if status == 404 else "was deleted"
        return Rejected(f"what was asked for {word} ({status})", code="ehr-not-found" if status == 404 else "ehr-gone")
    if 300 <= status < 400:
        return Rejected(
            f"the FHIR server answered {status} to {about}: a redirect, which is not followed", code="ehr-refused"
        )
    unsupported = status in (405, 501) or reason == "not-supported"
    code = "ehr-not-supported" if unsupported else CONFLICTS.get(status, "ehr-refused")
    return Rejected(f"the FHIR server answered {status} to {about}: {reason}", code=code)


def outcome_codes(body: bytes) -> str:
    """The issue codes of an OperationOutcome, sorted; a sentence where there are none."""
    try:
        issues = parse_json(body).get("issue")
    except Rejected:
        return "no OperationOutcome"
    codes = {str(row.get("code", "")) for row in issues if isinstance(row, dict)} if isinstance(issues, list) else set()
    return ", ".join(sorted(code for code in codes if code.replace("-", "").isalpha())) or "no reason given"


def _query(params: Params) -> str:
    text = urlencode(list(params.items()) if isinstance(params, Mapping) else list(params))
    return f"?{text}" if text else ""


def _done(reply: Reply) -> Json:
    if not 200 <= reply.status < 300:
        raise refusal(reply, "the request")
    return {}


def _resources(bundle: Json) -> Iterator[Json]:
    """The resources of a searchset; outcomes, deletions of a history and what is none are passed over."""
    entries = bundle.get("entry")
    for row in entries if isinstance(entries, list) else ():
        resource = row.get("resource") if isinstance(row, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") != "OperationOutcome":
            yield resource
