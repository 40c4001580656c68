"""The full check of a resource against FHIR R4B, by fhir.resources: for the worker on the way in, and all that we send.

R4 and R4B agree in every type that is read or made here. fhir.resources checks structure, data types and invariants,
but not the required bindings of codes (schemas/fhir/narrow.py does for what we read), and an unknown type or a deep
extension makes it raise KeyError, ValueError or RecursionError: each is an answer here, never a crash.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from schemas.errors import Issue, NotAcceptable
from schemas.fhir.narrow import issues_of


def validate(resource: Mapping[str, Any]) -> None:
    """Return if `resource` is valid FHIR R4B; raise NotAcceptable (code not-fhir) with an Issue per problem otherwise.

    0.1 to 4 ms for what events usually hold. The first call imports the models of the type (about 0.1 s).
    """
    from fhir.resources.R4B import get_fhir_model_class  # slow: only workers need it

    resource_type = resource.get("resourceType")
    if not isinstance(resource_type, str):
        raise _refused([Issue("resourceType", "Field required")])
    try:
        get_fhir_model_class(resource_type).model_validate(dict(resource))
    except ValidationError as error:
        raise _refused(issues_of(error, resource_type)) from None
    except RecursionError:
        raise _refused([Issue(resource_type, "is nested too deeply to be checked")]) from None
    except (KeyError, ValueError, LookupError):  # the library's ways to say that it does not know a type
        raise _refused([Issue(resource_type, "is, or holds, a resource type that FHIR R4B does not have")]) from None


def checked(resource: dict[str, Any]) -> dict[str, Any]:
    """`resource` itself, after validate."""
    validate(resource)
    return resource


def _refused(issues: list[Issue]) -> NotAcceptable:
    first = issues[0]
    more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
    return NotAcceptable(f"not valid FHIR R4: {first.path}: {first.text}{more}", issues, code="not-fhir")
