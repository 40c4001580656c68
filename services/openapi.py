"""The OpenAPI 3.1 document of every address. A test holds it against the routes that there are."""

from typing import Any, Literal

from pydantic import BaseModel

from schemas.cds import Discovery, FeedbackMessage, HookRequest, HookResponse
from services.card_ids import HOOKS
from services.discovery import SERVICES
from services.fhir_read import FORMATS, TYPES, parameters_of

Json = dict[str, Any]

FHIR = "application/fhir+json"
OBJECT: Json = {"type": "object"}
OPERATION_OUTCOME: Json = {
    "type": "object",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["severity", "code", "diagnostics"],
                "properties": {
                    "severity": {"enum": ["fatal", "error", "warning", "information"]},
                    "code": {"type": "string"},
                    "diagnostics": {"type": "string"},
                    "expression": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}
MESSAGES: dict[type[BaseModel], Literal["validation", "serialization"]] = {
    Discovery: "serialization",
    HookRequest: "validation",
    HookResponse: "serialization",
    FeedbackMessage: "validation",
}

ERRORS: dict[str, str] = {
    "400": "not JSON, or not a request that can be read",
    "401": "not authenticated",
    "403": "another patient's, or not from a configured EHR",
    "404": "nothing at this address",
    "405": "this address does not take this method",
    "406": "JSON is the only format",
    "412": "prefetch that a risk needs could not be had (card policy, missing_data)",
    "413": "the body is too large (VBQ_MAX_BODY_BYTES)",
    "415": "the body must be JSON",
    "422": "not acceptable FHIR: the OperationOutcome names the path",
    "429": "more than this sender's requests_per_second: send again after Retry-After seconds",
    "500": "a fault of ours",
    "503": "nothing could be written or read: send again after Retry-After seconds",
}


def document(base_url: str, version: str) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "VBQ-CDS",
            "version": version,
            "description": "FHIR events in, cards and RiskAssessments out. Research use: not a cleared medical device.",
        },
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}],
        "paths": {**events(), **hooks(), **fhir(), **pages(), **operations()},
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "senders: the token whose SHA-256 is configured, or an access token (JWT) of their "
                    "issuer; CDS clients: a signed JWT per call",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-vbq-review",
                    "description": "what a SMART launch leaves in the browser; vbq-review on loopback without TLS",
                },
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Signature",
                    "description": "hex HMAC-SHA256 of the raw body; for events with a body",
                },
                "webhook": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "Standard Webhooks, with webhook-id and webhook-timestamp (at most 5 minutes away)",
                },
            },
            "schemas": schemas(),
        },
    }


def schemas() -> Json:
    """Every message of CDS Hooks, from the records that read and write them, and the OperationOutcome."""
    found: Json = {"OperationOutcome": OPERATION_OUTCOME}
    for model, mode in MESSAGES.items():
        made = model.model_json_schema(mode=mode, by_alias=True, ref_template="#/components/schemas/{model}")
        found |= made.pop("$defs", {})
        found[model.__name__] = made
    found["HookRequest"]["properties"]["hook"]["enum"] = list(HOOKS)
    return found


def of(model: type[BaseModel]) -> Json:
    """A reference to the schema of a message."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def errors(*statuses: str) -> Json:
    """The answers with an OperationOutcome for `statuses`."""
    outcome: Json = {FHIR: {"schema": {"$ref": "#/components/schemas/OperationOutcome"}}}
    return {status: {"description": ERRORS[status], "content": outcome} for status in statuses}


def found(description: str, kind: str = FHIR, schema: Json = OBJECT) -> Json:
    """A 200 answer."""
    return {"200": {"description": description, "content": {kind: {"schema": schema}}}}


def in_path(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": description}


def in_query(name: str) -> Json:
    schema: Json = {"type": "string"}
    if name in {"_count", "_offset"}:
        schema = {"type": "integer", "minimum": 0}
    elif name == "_format":
        schema["enum"] = list(FORMATS)
    return {"name": name, "in": "query", "required": False, "schema": schema}


def events() -> Json:
    """Intake."""
    accepted: Json = {
        "description": "written down; the receipt is in the answer",
        "content": {FHIR: {"schema": OBJECT}},
    }
    body: Json = {"required": True, "content": {FHIR: {"schema": OBJECT}, "application/json": {"schema": OBJECT}}}

    def take(summary: str, *, with_body: bool = True) -> Json:
        operation: Json = {
            "summary": summary,
            "tags": ["events"],
            "security": [{"bearer": []}, {"signature": []}, {"webhook": []}],
            "responses": {
                "202": accepted,
                **found("all of it was here before, or a PUT's resource"),
                **errors("400", "401", "413", "415", "422", "429", "503"),
            },
        }
        return {**operation, "requestBody": body} if with_body else operation

    type_, id_ = in_path("type_", "FHIR R4 resource type"), in_path("id_", "resource id")
    return {
        "/events": {
            "post": take(
                "A resource, a Bundle (collection, batch, transaction, message, history, subscription notification), "
                "or nothing: a rest-hook without payload"
            )
        },
        "/events/": {"post": take("The same as /events, for an endpoint that was configured with a slash")},
        "/events/{type_}": {"parameters": [type_], "post": take("A resource"), "put": take("A resource")},
        "/events/{type_}/{id_}": {
            "parameters": [type_, id_],
            "post": take("A resource"),
            "put": take("A resource; answered with it"),
            "delete": take("A resource was deleted", with_body=False),
        },
    }


def hooks() -> Json:
    """CDS Hooks."""
    name = in_path("name", "a service id of the discovery")
    name["schema"]["enum"] = sorted(SERVICES)
    refusals = ("400", "401", "404", "413", "415", "500", "503")

    def body(model: type[BaseModel]) -> Json:
        return {"required": True, "content": {"application/json": {"schema": of(model)}}}

    return {
        "/cds-services": {
            "get": {
                "summary": "CDS Hooks discovery",
                "description": "Open to everybody where the site sets cds.discovery to open.",
                "tags": ["cds-hooks"],
                "responses": {**found("the services", "application/json", of(Discovery)), **errors("401", "503")},
            }
        },
        "/cds-services/{name}": {
            "parameters": [name],
            "post": {
                "summary": "Call a service: patient-view, order-select or order-sign",
                "description": "Accept-Language chooses the cards' language unless the client has one of its own.",
                "tags": ["cds-hooks"],
                "requestBody": body(HookRequest),
                "responses": {
                    **found("the cards", "application/json", of(HookResponse)),
                    **errors(*refusals, "412"),
                },
            },
        },
        "/cds-services/{name}/feedback": {
            "parameters": [name],
            "post": {
                "summary": "What was done with the cards",
                "tags": ["cds-hooks"],
                "requestBody": body(FeedbackMessage),
                "responses": {**found("kept", "application/json"), **errors(*refusals)},
            },
        },
    }


def fhir() -> Json:
    """The read-only FHIR server."""
    paths: Json = {
        "/fhir/metadata": {
            "get": {
                "summary": "CapabilityStatement",
                "tags": ["fhir"],
                "security": [],
                "responses": {**found("what can be done"), **errors("406")},
            }
        }
    }
    for type_ in TYPES:
        paths[f"/fhir/{type_}"] = {
            "get": {
                "summary": f"Search {type_}, newest first",
                "tags": ["fhir"],
                "parameters": [in_query(name) for name in parameters_of(type_)],
                "responses": {**found("a searchset Bundle"), **errors("400", "401", "406", "503")},
            }
        }
        paths[f"/fhir/{type_}/{{id_}}"] = {
            "parameters": [in_path("id_", "resource id")],
            "get": {
                "summary": f"Read one {type_}",
                "tags": ["fhir"],
                "responses": {**found("the resource"), **errors("401", "404", "406", "503")},
            },
        }
    return paths


def pages() -> Json:
    """Pages for people."""
    html: Json = {"type": "string"}
    model = found("all that is known of the model", "text/html", html)
    model["200"]["content"]["application/json"] = {"schema": OBJECT}
    return {
        "/": {
            "get": {
                "summary": "Overview",
                "tags": ["pages"],
                "security": [],
                "responses": found("HTML", "text/html", html),
            }
        },
        **review(),
        "/models/{name}": {
            "parameters": [in_path("name", "model id")],
            "get": {
                "summary": "A model: coefficients, validation and the 31 source attributes",
                "tags": ["pages"],
                "security": [],
                "responses": {**model, **errors("404")},
            },
        },
    }


def review() -> Json:
    """The page behind a card and the SMART launch to it. Errors are pages where a browser asks for them."""
    html: Json = {"type": "string"}
    identifier = in_path("identifier", "assessment id")
    session: Json = {"tags": ["pages"], "security": [{"session": []}]}
    refusals = errors("400", "401", "403", "404", "503")
    away = {"description": "to the EHR's authorization server, or from there to the page"}

    def asked(name: str, description: str) -> Json:
        return {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": description,
        }

    return {
        "/review/{identifier}": {
            "parameters": [identifier],
            "get": {
                **session,
                "summary": "What stands behind a card: risk, inputs, measurement, history",
                "responses": {**found("HTML", "text/html", html), **refusals},
            },
        },
        "/review/{identifier}/slice.png": {
            "parameters": [identifier],
            "get": {
                **session,
                "summary": "The measured slice",
                "responses": {**found("PNG", "image/png", {}), **refusals},
            },
        },
        "/launch": {
            "get": {
                "tags": ["pages"],
                "security": [],
                "summary": "SMART App Launch from a configured EHR",
                "parameters": [asked("iss", "FHIR base URL of the EHR"), asked("launch", "the EHR's launch parameter")],
                "responses": {"302": away, **errors("400", "403", "503")},
            }
        },
        "/callback": {
            "get": {
                "tags": ["pages"],
                "security": [],
                "summary": "Where the EHR's authorization server sends the browser back to",
                "parameters": [asked("code", "authorization code"), asked("state", "ours"), asked("error", "OAuth 2")],
                "responses": {"303": away, **errors("403", "404", "503")},
            }
        },
    }


def operations() -> Json:
    """For probes, Prometheus and programmers."""
    text: Json = {"type": "string"}
    open_: Json = {"tags": ["operations"], "security": []}
    ready: Json = {
        **found("ready", "application/json"),
        "503": {"description": "not ready: which check failed, and why"},
    }
    return {
        "/healthz": {"get": {**open_, "summary": "Is the process up", "responses": found("up", "application/json")}},
        "/readyz": {"get": {**open_, "summary": "Can it work", "responses": ready}},
        "/metrics": {"get": {**open_, "summary": "Prometheus metrics", "responses": found("text", "text/plain", text)}},
        "/openapi.json": {
            "get": {**open_, "summary": "This document", "responses": found("OpenAPI 3.1", "application/json")}
        },
    }
