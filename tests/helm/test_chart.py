"""The chart, linted and rendered by a real Helm and validated against the Kubernetes API's schemas."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from commands.__main__ import GROUPS
from gateways.settings import Settings
from schemas.config import Config
from workers.heartbeat import Heartbeat

CHART = Path(__file__).parents[2] / "helm" / "vbq-cds"
KUBERNETES = "1.31"
DEFAULTS: dict[str, Any] = {}
EVERYTHING: dict[str, Any] = {
    "publicUrl": "https://vbq.example/bone",
    "image": {"repository": "registry.example/vbq-cds", "digest": "sha256:" + "0" * 64, "pullSecrets": ["pull"]},
    "secrets": {
        "database": {"name": "db", "key": "url"},
        "redis": {"name": "broker", "key": "url"},
        "environment": ["vbq-hmac"],
        "files": ["vbq-jwks"],
    },
    "config": {
        "study_roots": ["/data/studies"],
        "merge": {"t_score_window_days": 365},
        "receive": {"host": "0.0.0.0", "port": 4242, "peers": [{"ae_title": "SCANNER", "addresses": ["10.1.2.20"]}]},
    },
    "receive": {"enabled": True, "claim": "studies", "allowFrom": ["10.1.2.0/24"], "service": {"type": "LoadBalancer"}},
    "environment": {"VBQ_LOG_LEVEL": "DEBUG"},
    "ingress": {"enabled": True, "host": "vbq.example", "tlsSecret": "vbq-tls", "className": "nginx"},
    "networkPolicy": {"enabled": True, "ingressFrom": [{"team": "integration"}]},
    "autoscaling": {"cds": {"enabled": True}},
    "nodeSelector": {"disk": "ssd"},
    "podAnnotations": {"note": "made up"},
}


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="bone", namespace="clinic")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def test_helm_lint_finds_nothing_to_mend() -> None:
    findings = helm.lint(str(CHART), EVERYTHING)
    information = 1  # Helm's severities: 1 information, 2 warning, 3 error
    assert findings["total_charts_linted"] == 1
    assert [finding for finding in findings["messages"] if finding["severity"] > information] == []


@pytest.mark.parametrize("values", [DEFAULTS, EVERYTHING], ids=["defaults", "everything"])
def test_every_manifest_is_valid_kubernetes(values: dict[str, Any]) -> None:
    documents = render(values)
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_intake_cds_worker_and_sweeper_are_deployments_of_their_own() -> None:
    deployments = of_kind(render(DEFAULTS), "Deployment")
    assert set(deployments) == {"bone-intake", "bone-cds", "bone-worker", "bone-sweeper"}


def test_the_receiver_is_one_pod_and_shares_its_studies_with_the_workers() -> None:
    documents = render(EVERYTHING)
    deployments = of_kind(documents, "Deployment")
    receiver = deployments["bone-receive"]["spec"]
    assert (receiver["replicas"], receiver["strategy"]) == (1, {"type": "Recreate"})
    (container,) = receiver["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "dicom", "containerPort": 4242, "protocol": "TCP"}]
    assert container["readinessProbe"]["tcpSocket"] == {"port": "dicom"}
    mounted = {
        name
        for name, one in deployments.items()
        for row in one["spec"]["template"]["spec"]["volumes"]
        if row.get("persistentVolumeClaim") == {"claimName": "studies"}
    }
    assert mounted == {"bone-receive", "bone-worker"}
    service = of_kind(documents, "Service")["bone-receive"]["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    (rule,) = of_kind(documents, "NetworkPolicy")["bone-receive"]["spec"]["ingress"]
    assert rule["ports"] == [{"port": 4242, "protocol": "TCP"}]
    assert rule["from"] == [{"ipBlock": {"cidr": "10.1.2.0/24"}}]


def test_everything_that_the_configuration_may_hold_may_be_given_to_the_chart() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]["config"]["properties"]) == set(Config.model_fields)


def test_no_container_runs_as_root_or_may_write_to_its_image() -> None:
    for deployment in of_kind(render(EVERYTHING), "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["initContainers"], *pod["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_every_long_running_container_has_a_liveness_probe() -> None:
    for deployment in of_kind(render(EVERYTHING), "Deployment").values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert "livenessProbe" in container
        if container["name"] in ("intake", "cds"):
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_containers_run_commands_that_the_program_has() -> None:
    for deployment in of_kind(render(EVERYTHING), "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        for container in [*pod["initContainers"], *pod["containers"]]:
            assert container["args"][0] in GROUPS[""]


def test_background_probes_look_at_the_heartbeat_that_the_process_writes(tmp_path: Path) -> None:
    for name in ("worker", "sweeper", "receive"):
        Heartbeat(tmp_path, name).beat()
        (container,) = of_kind(render(EVERYTHING), "Deployment")[f"bone-{name}"]["spec"]["template"]["spec"][
            "containers"
        ]
        program = container["livenessProbe"]["exec"]["command"][-1].replace("/var/lib/vbq", str(tmp_path))
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
        old = time.time() - 3600
        os.utime(tmp_path / f"{name}.heartbeat", (old, old))
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 1


def test_database_and_broker_urls_come_from_secrets_and_nowhere_else() -> None:
    for deployment in of_kind(render(EVERYTHING), "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        for container in [*pod["initContainers"], *pod["containers"]]:
            environment = {row["name"]: row for row in container["env"]}
            for name in ("VBQ_DATABASE_URL", "VBQ_REDIS_URL"):
                assert set(environment[name]) == {"name", "valueFrom"}
                assert "secretKeyRef" in environment[name]["valueFrom"]


def test_every_variable_that_the_chart_sets_is_a_setting() -> None:
    known = {f"VBQ_{name.upper()}" for name in Settings.model_fields}
    for deployment in of_kind(render(EVERYTHING), "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        for container in [*pod["initContainers"], *pod["containers"]]:
            assert {row["name"] for row in container["env"]} <= known


def test_the_configuration_reaches_the_pods_as_it_was_written() -> None:
    (config,) = of_kind(render(EVERYTHING), "ConfigMap").values()
    assert yaml.safe_load(config["data"]["vbq.yaml"]) == EVERYTHING["config"]


def test_a_changed_configuration_restarts_the_pods() -> None:
    def checksum(values: dict[str, Any]) -> str:
        template = of_kind(render(values), "Deployment")["bone-cds"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum(DEFAULTS) != checksum({"config": {"study_roots": ["/elsewhere"]}})


def test_the_ingress_keeps_metrics_and_health_inside_the_cluster() -> None:
    (ingress,) = of_kind(render(EVERYTHING), "Ingress").values()
    paths = {row["path"]: row["backend"]["service"]["name"] for row in ingress["spec"]["rules"][0]["http"]["paths"]}
    assert paths["/events"] == "bone-intake"
    assert paths["/cds-services"] == "bone-cds"
    assert {paths[f"/{name}"] for name in ("review", "launch", "callback", "models", "static")} == {"bone-cds"}
    assert not {"/metrics", "/healthz", "/readyz"} & set(paths)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"worker": {"replicas": "many"}}, "replicas"),
        ({"wroker": {}}, "wroker"),
        ({"worker": {"queues": ["imging"]}}, "queues"),
        ({"environment": {"VBQ_DEV_OPEN": "1"}}, "VBQ_DEV_OPEN"),
        ({"environment": {"PATH": "/"}}, "PATH"),
        ({"ingress": {"enabled": True}}, "host"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"publicUrl": "vbq.example"}, "publicUrl"),
        ({"config": {"sendres": []}}, "sendres"),
        ({"receive": {"enabled": True}}, "claim"),
        ({"receive": {"enabled": True, "claim": "studies"}}, "config.receive"),
        ({"receive": {"enabled": True, "claim": "studies"}, "config": {"receive": {"port": 4242}}}, "host: 0.0.0.0"),
        ({"receive": {"allowFrom": ["scanner.example"]}}, "allowFrom"),
    ],
)
def test_a_wrong_value_is_refused_and_named(wrong: dict[str, Any], place: str) -> None:
    with pytest.raises(helm.HelmError, match=place):
        render(wrong)


def test_the_address_that_tokens_are_checked_against_follows_the_ingress() -> None:
    def public_url(values: dict[str, Any]) -> str:
        pod = of_kind(render(values), "Deployment")["bone-cds"]["spec"]["template"]["spec"]
        return str(next(row["value"] for row in pod["containers"][0]["env"] if row["name"] == "VBQ_PUBLIC_URL"))

    ingress = {"enabled": True, "host": "bone.example", "tlsSecret": "tls"}
    assert public_url(DEFAULTS) == "http://bone-cds.clinic.svc"
    assert public_url({"ingress": ingress}) == "https://bone.example"
    assert public_url({"ingress": ingress, "publicUrl": "https://vbq.example/a"}) == "https://vbq.example/a"


def test_the_schema_describes_every_value_of_the_chart() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(values) == set(schema["properties"]) - {"global"}
