"""The EHR's FHIR server: gets each result as one transaction that may be sent again without harm.

Two ways, both idempotent: conditional creates and updates by our identifier, or (where the server cannot search by it,
or the configuration says so) PUTs under our own ids, which are UUIDv5 of what a resource is about. After a send whose
end nobody saw the server is asked first what it has: conditional creates that overtake one another have made doubles
in more than one server.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateways.fhir.client import FhirClient
from gateways.fhir.http import Limits
from gateways.fhir.servers import ehr_client
from schemas.config import Ehr as EhrConfig
from schemas.errors import EhrUnavailable, Rejected
from schemas.fhir.full import checked
from schemas.fhir.results import as_transaction

LIMITS = Limits(reply_bytes=4 * 2**20, reply_seconds=60.0, silence_seconds=20.0)
MOST_PAGES_LOOKED_AT = 3
UNSUPPORTED, CONFLICT, PRECONDITION = "ehr-not-supported", "ehr-conflict", "ehr-precondition"
Json = dict[str, Any]

log = logging.getLogger(__name__)


class Ehr:
    """One EHR."""

    def __init__(self, config: EhrConfig, client: FhirClient | None = None) -> None:
        """Raises NotConfigured where the login cannot work."""
        self._config = config
        self._client = client or ehr_client(config, limits=LIMITS)

    def deliver(self, resources: Sequence[Json], *, unsure: bool = False) -> None:
        """Have the EHR hold `resources` (of resources_of, of one patient's assessments), each of them once.

        `unsure`: an earlier send was not seen to end, so what is there is looked up first. Raises EhrUnavailable where
        the same is to be tried again, then with `unsure`; Rejected where that is useless.
        """
        if unsure and self._has(resources):
            log.info("an earlier send had arrived after all", extra={"code": "ehr-had-it"})
            return
        if self._config.writes != "client-ids":
            try:
                self.send(checked(as_transaction(resources, ehr_base=self._config.base_url)))
                return
            except Rejected as error:
                if error.reason_code == CONFLICT:
                    raise _changed() from error
                if error.reason_code != UNSUPPORTED or self._config.writes == "conditional":
                    raise
        self._put(resources)

    def send(self, bundle: Mapping[str, Any]) -> list[str]:
        """POST a transaction Bundle, once; returns the status line of each entry, in order.

        Raises EhrUnavailable where it makes sense to send the same again (no answer, 429, 5xx; then nobody knows
        whether it was written), Rejected where it does not.
        """
        return _statuses(self._client.transaction(bundle), sent=len(bundle.get("entry", [])))

    def _put(self, resources: Sequence[Json]) -> None:
        """Under our own ids. What may be there already is overwritten only in the version that we looked at."""
        versions = self._versions(row for row in resources if row["resourceType"] == "RiskAssessment")
        bundle = as_transaction(resources, ehr_base=self._config.base_url, own_ids=True, versions=versions)
        try:
            self.send(checked(bundle))
        except Rejected as error:
            if error.reason_code not in (CONFLICT, PRECONDITION):
                raise
            raise _changed() from error

    def _versions(self, resources: Iterable[Json]) -> dict[str, str]:
        """Type/id -> version that the server has, of those that it has."""
        found = {}
        for row in resources:
            there = self._by_id(row)
            version = there.get("meta", {}).get("versionId") if there is not None else None
            if isinstance(version, str):
                found[f"{row['resourceType']}/{row['id']}"] = version
        return found

    def _has(self, resources: Sequence[Json]) -> bool:
        """Whether the server has every RiskAssessment of `resources` in its present state.

        A transaction is done as a whole, so the rest is there with them. Where it cannot be found out: False.
        """
        return all(self._has_one(row) for row in resources if row["resourceType"] == "RiskAssessment")

    def _has_one(self, resource: Json) -> bool:
        key = resource["identifier"][0]
        try:
            query = {"identifier": f"{key['system']}|{key['value']}"}
            rows = list(self._client.search("RiskAssessment", query, pages=MOST_PAGES_LOOKED_AT))
        except Rejected:  # it cannot search by identifier, or answers something else than a search's result
            rows = []
        mine = [row for row in rows if _same(row, resource)]  # a server may ignore a parameter and return everything
        if len(mine) > 1:
            log.warning("the EHR holds a result more than once", extra={"code": "ehr-doubles", "count": len(mine)})
        there = mine or [row for row in (self._by_id(resource),) if row is not None and _same(row, resource)]
        return any(_says_the_same(row, resource) for row in there)

    def _by_id(self, resource: Json) -> Json | None:
        try:
            return self._client.read(f"{resource['resourceType']}/{resource['id']}")
        except Rejected:
            return None


def _changed() -> EhrUnavailable:
    return EhrUnavailable("the EHR's copy changed while ours was on its way; it is looked at again", code=CONFLICT)


def _same(found: Json, ours: Json) -> bool:
    """Whether `found` is about the same: it carries all of our identifiers."""
    rows = found.get("identifier")
    theirs = [(row.get("system"), row.get("value")) for row in rows if isinstance(row, dict)] if rows else []
    return all((row["system"], row["value"]) in theirs for row in ours["identifier"])


def _says_the_same(found: Json, ours: Json) -> bool:
    """Whether `found` is in the state of `ours`: status and notes; all else follows from the identifiers."""
    return bool(found.get("status") == ours.get("status") and _notes(found) == _notes(ours))


def _notes(resource: Json) -> list[object]:
    rows = resource.get("note")
    return [row.get("text") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _statuses(document: Json, *, sent: int) -> list[str]:
    entries = document.get("entry")
    rows = entries if isinstance(entries, list) else []
    statuses = [str(_status_of(entry)) for entry in rows if isinstance(entry, dict)]
    if document.get("resourceType") != "Bundle" or len(statuses) != sent:
        raise Rejected("the EHR's reply does not match the transaction; check that it is a FHIR base", code="ehr-reply")
    refused = [line for line in statuses if not line.startswith("2")]
    if refused:
        raise Rejected(f"the EHR refused {len(refused)} of {sent} entries of the transaction", code="ehr-refused")
    return statuses


def _status_of(entry: Mapping[str, Any]) -> object:
    response = entry.get("response")
    return response.get("status", "") if isinstance(response, dict) else ""
