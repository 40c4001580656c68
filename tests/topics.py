"""A topic for Backport subscriptions, as sekmet-fhir keeps them."""

from typing import Any

TOPIC = "http://example.org/SubscriptionTopic/observations"
Json = dict[str, Any]


def observations_topic() -> Json:
    """Any Observation, created or changed: a Basic with R5's elements as extensions."""
    url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic"
    trigger = [
        {"url": "description", "valueMarkdown": "any Observation"},
        {"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/Observation"},
        {"url": "supportedInteraction", "valueCode": "create"},
        {"url": "supportedInteraction", "valueCode": "update"},
    ]
    return {
        "resourceType": "Basic",
        "id": "topic-observations",
        "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
        "modifierExtension": [{"url": f"{url}.status", "valueCode": "active"}],
        "extension": [
            {"url": f"{url}.url", "valueUri": TOPIC},
            {"url": f"{url}.title", "valueString": "Observations"},
            {"url": f"{url}.resourceTrigger", "extension": trigger},
        ],
    }
