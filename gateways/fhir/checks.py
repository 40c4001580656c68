"""Whether a FHIR server lets us in, and says that it does what we need. For `vbq doctor`; shows no secret."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gateways.access.logins import Login
from gateways.fhir.client import FhirClient
from schemas.errors import EhrUnavailable, NotConfigured, VbqError

WRITTEN = ("Device", "Observation", "RiskAssessment", "Provenance")
Json = Mapping[str, Any]


class Finding(NamedTuple):
    """`wrong`: what keeps us from working with the server; `fine`: how we will."""

    fine: list[str]
    wrong: list[str]


def signed_in(login: Login) -> Finding:
    """Whether a token can be had, or whatever the login needs."""
    try:
        kind = "with a token" if login.headers().get("Authorization", "").startswith("Bearer") else "by password"
    except (EhrUnavailable, NotConfigured) as error:
        return Finding([], [error.detail])
    return Finding([f"logs in {kind}"] if login.headers() else ["no login"], [])


def described(client: FhirClient, *, writes: bool, reads: Iterable[str]) -> Finding:
    """What the server's CapabilityStatement says of what we do there. Raises no error of the server's."""
    try:
        statement = client.capability()
    except VbqError as error:
        return Finding([], [error.detail])
    found = Finding([], [])
    version = statement.get("fhirVersion")
    if isinstance(version, str) and not version.startswith("4."):
        found.wrong.append(f"it is FHIR {version[:10]}, and only R4 is understood")
    rest = server_part(statement)
    if writes:
        writing(rest, found)
    kinds = list(reads)
    if kinds:
        reading(rest, kinds, found)
    return found


def server_part(statement: Json) -> Json:
    """The `rest` whose mode is server; {} where there is none."""
    return next((row for row in _rows(statement.get("rest")) if row.get("mode") == "server"), {})


def writing(rest: Json, found: Finding) -> None:
    """Add what `rest` says of writing results."""
    if "transaction" not in _codes(rest.get("interaction")):
        found.wrong.append("it does not state transactions, by which results are sent")
    resources = _resources(rest)
    lacking = [
        kind for kind in WRITTEN if not _codes(resources.get(kind, {}).get("interaction")) & {"create", "update"}
    ]
    if lacking:
        found.wrong.append(f"it does not state that one may write {', '.join(lacking)}")
    risk = resources.get("RiskAssessment", {})
    if risk.get("conditionalCreate") is True and "identifier" in _names(risk):
        found.fine.append("results go by conditional create")
    elif risk.get("updateCreate") is True:
        found.fine.append("results go under our own ids")
    elif not lacking:
        found.wrong.append(
            "it states neither conditional creates of RiskAssessment by identifier nor ids chosen by the client; "
            "results may be refused, or stand there twice"
        )


def reading(rest: Json, kinds: list[str], found: Finding) -> None:
    """Add what `rest` says of searching `kinds`."""
    resources = _resources(rest)
    lacking = [kind for kind in kinds if "search-type" not in _codes(resources.get(kind, {}).get("interaction"))]
    if lacking:
        found.wrong.append(f"it does not state searches of {', '.join(lacking)}")
    common = _names(rest)
    unsearched = [
        kind for kind in kinds if kind not in lacking and "_lastUpdated" not in _names(resources.get(kind, {})) | common
    ]
    if unsearched:  # many servers do it and do not say so
        found.fine.append(f"searches by _lastUpdated are not stated for {', '.join(unsearched)}")
    operations = {str(row.get("name", "")).lstrip("$") for row in _rows(rest.get("operation"))}
    everywhere = {
        str(row.get("name", "")).lstrip("$") for one in resources.values() for row in _rows(one.get("operation"))
    }
    offered = "export" in operations | everywhere
    found.fine.append("back-fill by $export" if offered else "back-fill by searches ($export is not stated)")


def _resources(rest: Json) -> dict[str, Json]:
    return {str(row.get("type")): row for row in _rows(rest.get("resource"))}


def _codes(value: object) -> set[str]:
    return {str(row.get("code")) for row in _rows(value)}


def _names(resource: Json) -> set[str]:
    return {str(row.get("name")) for row in _rows(resource.get("searchParam"))}


def _rows(value: object) -> Iterator[Json]:
    for row in value if isinstance(value, list) else ():
        if isinstance(row, Mapping):
            yield row
