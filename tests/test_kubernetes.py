"""deploy/helm and deploy/kubernetes as far as they can be judged without a cluster.

With SENTI_HELM_CHART=FOLDER (an unpacked chart of Airflow) and `helm` on the PATH, the chart is rendered as well.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from local.compose import Service, load
from senti_tasks.settings import Settings
from tests.stacks import new_variables

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text())
SERVICES = load(ROOT / "docker-compose.yml", new_variables())
VERSIONS = ("1.31", kubernetes_validate.latest_version())
SECRETS = "/etc/senti/secrets/"
"""Not below /run/secrets, where Kubernetes itself mounts things."""

DIFFERENT = {
    "SENTI_ARTIFACTS": "pods share no volume",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "the chart's name of the API server",
}
ADDED = {
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "pods share no volume",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": "pods share no volume",
    "AIRFLOW__LOGGING__DELETE_LOCAL_LOGS": "the disk of a pod is small",
}
OF_THE_CHART = "AIRFLOW__METRICS__"
"""The chart has a statsd-exporter of its own."""


def _manifests(text: str) -> list[dict[str, Any]]:
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


MANIFESTS = {
    f"{path.stem}/{manifest['kind']}": manifest
    for path in sorted(FOLDER.glob("*.yaml"))
    for manifest in _manifests(path.read_text())
}
SETTINGS: dict[str, str] = MANIFESTS["settings/ConfigMap"]["data"]
SECRET: dict[str, str] = MANIFESTS["secret.example/Secret"]["stringData"]
PODS = {
    "init": "init/Job",
    "redis": "redis/StatefulSet",
    "watch": "watch/Deployment",
    "worker": "worker/StatefulSet",
    "gpu-worker": "gpu-worker/StatefulSet",
}
"""The pod of each service of docker-compose.yml that has a manifest; the chart makes those of the others."""


def _pod(service: str) -> dict[str, Any]:
    pod: dict[str, Any] = MANIFESTS[PODS[service]]["spec"]["template"]["spec"]
    return pod


def _container(service: str) -> dict[str, Any]:
    (container,) = _pod(service)["containers"]
    assert isinstance(container, dict)
    return container


def _files(volumes: list[dict[str, Any]]) -> dict[str, str]:
    """The path of each file of the Secret in a pod, and its key."""
    (items,) = [volume["secret"]["items"] for volume in volumes if volume["name"] == "secrets"]
    return {SECRETS + item["path"]: item["key"] for item in items}


def _here(value: str) -> str:
    """A path or command of docker-compose.yml as it is in a pod."""
    return value.replace("/run/secrets/", SECRETS)


def _expected_files(service: Service) -> set[str]:
    return {_here(path) for path in service.configs if path.startswith("/run/secrets/")}


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_fits_the_schema_of_kubernetes(name: str, version: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], version, strict=True)


def test_the_settings_are_those_of_docker_compose() -> None:
    expected = {
        name: _here(value)
        for name, value in SERVICES["scheduler"].environment.items()
        if value and not name.startswith(OF_THE_CHART)
    }
    same = {name: value for name, value in SETTINGS.items() if name not in DIFFERENT | ADDED}
    assert same == {name: value for name, value in expected.items() if name not in DIFFERENT}
    assert DIFFERENT.keys() <= expected.keys() & SETTINGS.keys()
    assert ADDED.keys() <= SETTINGS.keys() - expected.keys()


@pytest.mark.parametrize("service", ["init", "watch", "worker", "gpu-worker"])
def test_a_pod_has_the_settings_and_what_its_service_has_beside_them(service: str) -> None:
    container = _container(service)
    common = SERVICES["scheduler"].environment
    assert container["envFrom"] == [{"configMapRef": {"name": "senti-settings"}}]
    assert {entry["name"]: entry["value"] for entry in container.get("env", [])} == {
        name: _here(value).replace("http://api-server:", "http://senti-api-server:")
        for name, value in SERVICES[service].environment.items()
        if common.get(name) != value
    }


def test_every_setting_of_ours_exists() -> None:
    given = {name.removesuffix("_FILE") for name in SETTINGS if name.startswith("SENTI_")}
    assert given <= {f"SENTI_{name.upper()}" for name in Settings.model_fields}


def test_the_job_init_runs_the_commands_of_the_service_init() -> None:
    assert [line.strip() for line in _container("init")["command"]] == [
        _here(line).strip() for line in SERVICES["init"].command
    ]


def test_workers_take_the_queues_of_docker_compose_with_a_gpu() -> None:
    beside_a_gpu = re.sub("default,gpu", "default", " ".join(SERVICES["worker"].command))
    assert " ".join(_container("worker")["command"]) == beside_a_gpu
    assert _container("gpu-worker")["command"] == SERVICES["gpu-worker"].command


@pytest.mark.parametrize("service", ["worker", "gpu-worker"])
def test_a_worker_finishes_its_task_first_and_is_not_restarted_while_redis_is_away(service: str) -> None:
    assert _pod(service)["terminationGracePeriodSeconds"] == 3600  # stop_grace_period: 1h
    assert _container(service)["readinessProbe"]["exec"]["command"] == [
        _here(word) for word in SERVICES[service].health_check
    ]
    assert "livenessProbe" not in _container(service)


def test_only_the_worker_of_the_queue_gpu_asks_for_a_gpu() -> None:
    asked = {service: _container(service)["resources"]["limits"].get("nvidia.com/gpu") for service in PODS}
    assert asked == dict.fromkeys(PODS) | {"gpu-worker": 1}


@pytest.mark.parametrize("service", ["init", "worker", "gpu-worker"])
def test_a_pod_has_the_secrets_of_its_service(service: str) -> None:
    assert _files(_pod(service)["volumes"]).keys() == _expected_files(SERVICES[service])


def test_the_pods_of_the_chart_have_the_secrets_of_their_services() -> None:
    (folder,) = [mount["mountPath"] for mount in VALUES["volumeMounts"]]
    assert f"{folder}/" == SECRETS
    assert _files(VALUES["volumes"]).keys() == _expected_files(SERVICES["scheduler"])


def test_a_pod_without_airflow_has_no_secret_of_airflow() -> None:
    named = {value for value in SETTINGS.values() if value.startswith(SECRETS)}
    assert _files(_pod("watch")["volumes"]).keys() == named | {f"{SECRETS}broker"}


def test_only_the_job_init_is_the_owner_of_the_warehouse() -> None:
    mounted = {service: _files(_pod(service)["volumes"]).get(f"{SECRETS}warehouse-url") for service in PODS}
    assert mounted == dict.fromkeys(PODS, "pipeline") | {"init": "owner", "redis": None}


def test_the_example_of_the_secret_has_each_key_that_is_mounted_and_no_value() -> None:
    volumes = [_pod(service)["volumes"] for service in PODS] + [VALUES["volumes"]]
    assert {key for some in volumes for key in _files(some).values()} == SECRET.keys()
    assert set(SECRET.values()) == {""}


@pytest.mark.parametrize("service", PODS)
def test_a_pod_runs_without_privileges_and_within_limits(service: str) -> None:
    pod = _pod(service)
    _assert_unprivileged(pod)
    assert not pod["automountServiceAccountToken"]
    assert _container(service)["resources"]["limits"]["memory"]


@pytest.mark.parametrize("service", ["init", "watch", "worker", "gpu-worker"])
def test_an_image_has_the_version_of_docker_compose(service: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]["image"]
    expected = re.sub(r"\$\{SENTI_VERSION:-(.*)\}", r"\1", compose)
    pod = _pod(service)
    assert {container["image"] for container in pod.get("initContainers", []) + pod["containers"]} == {expected}


def test_the_chart_gets_the_image_without_torch_and_this_version_of_airflow() -> None:
    control = _container("init")["image"]
    image = VALUES["images"]["airflow"]
    assert f"{image['repository']}:{image['tag']}" == control
    assert f"apache-airflow=={VALUES['airflowVersion']} \\\n" in (ROOT / "requirements-control.txt").read_text()


def test_the_values_have_only_keys_of_the_chart() -> None:
    chart = _chart()
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema.Draft7Validator(schema).validate(VALUES)
    assert list(_unknown(VALUES, yaml.safe_load((chart / "values.yaml").read_text()))) == []


def test_the_chart_renders_valid_manifests_without_a_secret(tmp_path: Path) -> None:
    chart, helm = _chart(), shutil.which("helm")
    if not helm:
        pytest.skip("needs `helm` on the PATH")
    done = subprocess.run(
        [helm, "template", "senti", chart, "--values", ROOT / "deploy" / "helm" / "values.yaml"],
        env=os.environ | {"HELM_CACHE_HOME": str(tmp_path), "HELM_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rendered = {f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in _manifests(done.stdout)}
    for manifest in rendered.values():
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
        if pod := _pod_of(manifest):
            _assert_unprivileged(pod)
    assert not [name for name in rendered if name.startswith(("Secret/", "StatefulSet/"))]
    assert {name for name in rendered if name.startswith("Deployment/")} == {
        f"Deployment/senti-{service}" for service in ("api-server", "scheduler", "dag-processor", "triggerer")
    }
    assert "Service/senti-api-server" in rendered  # the address in the settings


def _chart() -> Path:
    folder = os.environ.get("SENTI_HELM_CHART")
    if not folder:
        pytest.skip("needs SENTI_HELM_CHART, the folder of an unpacked chart of Airflow")
    return Path(folder)


def _unknown(values: dict[str, Any], known: dict[str, Any], path: str = "") -> list[str]:
    """The keys of ``values`` that ``known``, the chart's defaults, does not have. An empty default takes any key."""
    found = []
    for key, value in values.items():
        if key not in known:
            found.append(f"{path}{key}")
        elif isinstance(value, dict) and known[key]:
            found += _unknown(value, known[key], f"{path}{key}.")
    return found


def _pod_of(manifest: dict[str, Any]) -> dict[str, Any] | None:
    spec = manifest.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    pod: dict[str, Any] | None = spec.get("template", {}).get("spec")
    return pod


def _assert_unprivileged(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    for container in pod.get("initContainers", []) + pod["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
