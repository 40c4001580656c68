"""The sample Mirth channel: well-formed, and its JavaScript makes what we take. It is not run in Mirth here."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from schemas.fhir.events import events_of
from schemas.fhir.full import validate

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
STEP = "elements/com.mirth.connect.plugins.javascriptstep.JavaScriptStep/script"

# What Mirth hands to a step: an HL7 v2 message as XML (E4X), of which the script uses [...], children(), localName(),
# length() and toString().
HARNESS = r"""
function list(items, make) {
    return new Proxy(function () {}, {get: function (_, name) {
        if (name === 'length') { return function () { return items.length; }; }
        if (name === 'toString') { return function () { return items.length ? make(items[0], null) : ''; }; }
        if (/^\d+$/.test(String(name))) { return make(items[Number(name)], list); }
        return items.length ? make(items[0], list)[name] : list([], make);
    }});
}
function component(value) { return {toString: function () { return value === undefined ? '' : value; }}; }
function field(text, name) {
    return new Proxy({}, {get: function (_, key) {
        if (key === 'toString') { return function () { return text; }; }
        return component((text || '').split('^')[Number(String(key).split('.')[2]) - 1]);
    }});
}
function segment(line) {
    var parts = line.split('|'), name = parts[0];
    if (name === 'MSH') { parts.splice(1, 0, '|'); }
    return new Proxy({}, {get: function (_, key) {
        if (key === 'localName') { return function () { return name; }; }
        var repeats = (parts[Number(String(key).split('.')[1])] || '').split('~');
        return list(repeats, function (text) { return field(text, key); });
    }});
}
var input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
var lines = input.hl7.split(/\r?\n|\r/).filter(Boolean);
var msg = new Proxy({}, {get: function (_, name) {
    if (name === 'children') { return function () { return list(lines, segment); }; }
    return list(lines.filter(function (line) { return line.indexOf(String(name)) === 0; }), segment);
}});
var kept = {}, channelMap = {put: function (name, value) { kept[name] = value; }};
var connectorMap = {get: function () { return input.status; }};
var QUEUED = 'QUEUED', ERROR = 'ERROR', responseStatus = 'SENT', responseStatusMessage = '';
(0, eval)('globalThis.run = function (msg, channelMap, connectorMap, QUEUED, ERROR, responseStatus) {'
    + input.script + '\n; return responseStatus; }');
var status = run(msg, channelMap, connectorMap, QUEUED, ERROR, responseStatus);
console.log(JSON.stringify({bundle: kept.bundle ? JSON.parse(kept.bundle) : null, status: status}));
"""


@pytest.fixture(scope="module")
def channel() -> ET.Element:
    return ET.parse(EXAMPLES / "mirth-channel.xml").getroot()


def run(script: str | None, **given: str) -> Any:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on this machine, so the channel's JavaScript cannot be run")
    given = {"hl7": (EXAMPLES / "mirth-sample.hl7").read_text(), "status": "", **given}
    done = subprocess.run(
        [node, "-e", HARNESS],
        input=json.dumps({"script": script, **given}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def transformer(channel: ET.Element) -> str:
    found = channel.findtext(f"destinationConnectors/connector/transformer/{STEP}")
    assert found is not None
    return found


def test_the_channel_posts_its_bundle_to_events_with_a_token_from_the_configuration_map(
    channel: ET.Element,
) -> None:
    sends = channel.find("destinationConnectors/connector/properties")
    assert sends is not None
    assert sends.findtext("host") == "${VBQ_URL}/events"
    assert (sends.findtext("method"), sends.findtext("content")) == ("post", "${bundle}")
    assert sends.findtext("contentType") == "application/fhir+json"
    assert [one.text for one in sends.iter("string")][2:4] == ["Authorization", "Bearer ${VBQ_TOKEN}"]
    assert sends.findtext("destinationConnectorProperties/queueEnabled") == "true"


def test_the_sample_message_becomes_a_bundle_that_is_taken_whole(channel: ET.Element) -> None:
    bundle = run(transformer(channel))["bundle"]
    validate(bundle)
    parsed = events_of(json.dumps(bundle).encode(), source="engine", base=None, several=False)
    assert [(one.resource_type, one.resource_id) for one in parsed.events] == [
        ("Patient", "p1"),
        *[("Observation", f"FILL-1-{number}") for number in (1, 2, 3, 5)],
    ]
    assert {one.patient for one in parsed.events} == {"Patient/p1"}
    _, creatinine, phosphatase, t_score, calcium = (entry["resource"] for entry in bundle["entry"])
    assert creatinine["valueQuantity"] == {
        "value": 0.9,
        "unit": "mg/dL",
        "system": "http://unitsofmeasure.org",
        "code": "mg/dL",
    }
    assert creatinine["effectiveDateTime"] == "2024-01-10T09:30:00+01:00"
    assert (phosphatase["status"], phosphatase["effectiveDateTime"]) == ("corrected", "2024-01-10")
    assert t_score["code"]["coding"][0]["system"] == "http://loinc.org"
    assert t_score["effectiveDateTime"] == "2024-01-10T09:30:00+01:00", "of its order, where it has none of its own"
    assert (calcium["status"], calcium["valueString"]) == ("cancelled", "haemolysed")
    assert parsed.events[0].version == "2024-01-10T10:15:00+01:00"


def test_each_result_belongs_to_the_order_and_the_patient_before_it(channel: ET.Element) -> None:
    """Two orders count their OBX from 1 again, and a message may be of two patients."""
    lines = [
        r"MSH|^~\&|LAB|H|VBQ|VBQ|20240110101500+0100||ORU^R01^ORU_R01|M2|P|2.5.1",
        "PID|1||p1^^^H^MR||||19590204|F",
        "OBR|1||A|x|||20240110",
        "OBX|1|NM|2160-0^Creatinine^LN||0.9|mg/dL||N|||F",
        "OBR|2||B|x|||20240111",
        "OBX|1|NM|2000-8^Calcium^LN||9.1|mg/dL||N|||F",
        "PID|2||p2^^^H^MR||||19610305|F",
        "OBR|1||C|x|||20240112",
        "OBX|1|NM|2160-0^Creatinine^LN||1.4|mg/dL||N|||F",
    ]
    bundle = run(transformer(channel), hl7="\r".join(lines))["bundle"]
    validate(bundle)
    found = [entry["resource"] for entry in bundle["entry"]]
    seen = [(one["id"], one["subject"]["reference"], one["effectiveDateTime"]) for one in found if "subject" in one]
    assert seen == [
        ("A-1", "Patient/p1", "2024-01-10"),
        ("B-1", "Patient/p1", "2024-01-11"),
        ("C-1", "Patient/p2", "2024-01-12"),
    ]
    assert [one["id"] for one in found if one["resourceType"] == "Patient"] == ["p1", "p2"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("HTTP/1.1 202 Accepted", "SENT"),
        ("HTTP/1.1 503 Service Unavailable", "QUEUED"),
        ("HTTP/1.1 429 Too Many Requests", "QUEUED"),
        ("HTTP/1.1 422 Unprocessable Entity", "ERROR"),
        ("", "SENT"),
    ],
)
def test_what_asks_to_wait_is_queued_and_what_was_refused_is_an_error(
    channel: ET.Element, line: str, status: str
) -> None:
    script = channel.findtext(f"destinationConnectors/connector/responseTransformer/{STEP}")
    assert run(script, status=line)["status"] == status
