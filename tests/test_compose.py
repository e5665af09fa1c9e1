"""docker-compose.yml and the Dockerfile as far as they can be judged without a Docker engine."""

import importlib.util
import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from senti_tasks.settings import Settings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REQUIRED = re.compile(r"\$\{(\w+):\?")
EXAMPLE = (ROOT / ".env.example").read_text()
NOT_PASSED_ON = {
    "SENTI_WORK": "a container's scratch space is in its volume",
    "COMPOSE_PROFILES": "Compose reads it itself",
}
COPIED = {
    source
    for line in re.findall(r"^COPY (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for source in line.split()[:-1]
}


def test_the_file_fits_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests" / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_every_variable_that_must_be_set_stands_in_the_example() -> None:
    example = re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE)
    assert set(REQUIRED.findall(TEXT)) - set(example) == set()


def test_every_variable_of_the_example_is_passed_on_or_has_a_reason_not_to_be() -> None:
    example = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert example - set(re.findall(r"\$\{(\w+)", TEXT)) == set(NOT_PASSED_ON)


def test_every_senti_variable_in_a_container_is_a_setting() -> None:
    passed = {
        key for service in SERVICES.values() for key in service.get("environment", {}) if key.startswith("SENTI_")
    }
    assert {name.removesuffix("_FILE") for name in passed} == {
        f"SENTI_{name.upper()}" for name in Settings.model_fields
    }


def test_a_relative_folder_of_the_settings_lies_in_the_volume() -> None:
    airflow = SERVICES["worker"]
    assert f"senti:{airflow['environment']['SENTI_HOME']}" in airflow["volumes"]


@pytest.mark.parametrize("source", sorted(COPIED))
def test_what_the_image_copies_is_in_git(source: str) -> None:
    found = subprocess.run(["git", "ls-files", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout


def test_only_what_the_image_copies_reaches_the_docker_daemon() -> None:
    first, *rules = re.findall(r"^[^#\n].*", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert first == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == COPIED


def test_no_secret_is_written_in_the_file() -> None:
    """Each is a variable of a file below /run/secrets. That none is in an environment, test_compose_roles.py tries."""
    secrets = set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))
    assert {name for name in secrets if f"${{{name}:?run make secrets}}" in TEXT} == secrets
    assert re.findall(r"://\w*:(?!\$\{\w+:\?)[^/\s]*@", TEXT) == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_unless_it_is_to_end(name: str) -> None:
    awaited = {
        other
        for service in SERVICES.values()
        for other, wait in service.get("depends_on", {}).items()
        if wait["condition"] == "service_completed_successfully"
    }
    assert ("healthcheck" in SERVICES[name]) != (name in awaited or "manual" in SERVICES[name].get("profiles", []))


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].partition(":")
    assert re.search(r"\d+\.\d+", tag)
    assert "latest" not in tag


def test_workers_finish_their_task_before_they_stop() -> None:
    workers = {name for name, service in SERVICES.items() if "worker" in service.get("command", [])}
    assert workers == {"worker", "gpu-worker"}
    assert all("stop_grace_period" in SERVICES[name] for name in workers)


def test_a_machine_without_a_gpu_serves_both_queues_with_one_worker() -> None:
    assert "${SENTI_WORKER_QUEUES:-default,gpu}" in SERVICES["worker"]["command"]
    assert "profiles" not in SERVICES["worker"]
    assert SERVICES["gpu-worker"]["profiles"] == ["gpu"]


def test_superset_can_be_reached_from_this_machine_only_and_reads_as_the_analyst() -> None:
    superset = SERVICES["superset"]
    assert superset["profiles"] == ["bi"]
    assert superset["ports"] == ["${SUPERSET_BIND:-127.0.0.1}:${SUPERSET_PORT:-8088}:8088"]
    assert {config["source"] for config in superset["configs"]} == {"analyst", "superset-key", "superset-password"}
    assert {(config["uid"], config["mode"]) for config in superset["configs"]} == {("50000", 0o400)}
    assert "//senti_analyst:${ANALYST_PASSWORD" in COMPOSE["configs"]["analyst"]["content"]
    assert {"mem_limit", "logging", "healthcheck"} <= set(superset)


def test_every_airflow_setting_in_the_file_is_one_that_this_airflow_knows() -> None:
    known = (
        _settings("airflow", "config_templates/config.yml")
        | _settings("airflow", "providers/celery/get_provider_info.py")
        | {("edge", "api_enabled")}
    )  # of the provider edge3, an extra
    used = {
        tuple(key.lower().removeprefix("airflow__").removesuffix("_cmd").split("__"))
        for service in SERVICES.values()
        for key in service.get("environment", {})
        if key.startswith("AIRFLOW__")
    }
    assert used - known == set()


def _settings(package: str, file: str) -> set[tuple[str, ...]]:
    """(section, option) of all that the installed package's own list of settings names; nothing is imported."""
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / file
    sections = (
        yaml.safe_load(path.read_text())
        if path.suffix == ".yml"
        else runpy.run_path(str(path))["get_provider_info"]()["config"]
    )
    return {(name, option) for name, section in sections.items() for option in section["options"]}
