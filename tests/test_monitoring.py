"""monitoring/: what Prometheus and Grafana are given names metrics that exist, and Airflow sends what is expected."""

import importlib.util
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from senti_tasks.jobs import metrics

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "monitoring"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "sentiment.json").read_text("utf-8"))
RULES = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
OF_PROMETHEUS = {"up"}
WORDS = {"and", "or", "unless", "by", "on", "offset", "ignoring", "without", "bool"}


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions() -> list[str]:
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in RULES)]


def metrics_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads: names that are no function, no label and no word of the language."""
    bare = re.sub(
        r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|\b(by|on|without|ignoring)\s*\([^)]*\)|offset\s+\w+", " ", expression
    )
    return set(re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - WORDS


@cache
def airflow_metrics() -> dict[str, str]:
    """The kind of each metric of the installed Airflow, by the name that statsd-exporter gives it."""
    spec = importlib.util.find_spec("airflow")
    assert spec
    assert spec.submodule_search_locations
    listed = Path(spec.submodule_search_locations[0]) / "_shared/observability/metrics/metrics_template.yaml"
    found = yaml.safe_load(listed.read_text("utf-8"))["metrics"]
    kinds = {f"airflow_{metric['name'].replace('.', '_')}": metric["type"] for metric in found}
    times = [name for name, kind in kinds.items() if kind == "timer"]
    return kinds | {f"{name}_{part}": "timer" for name in times for part in ("sum", "count", "bucket")}


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_names_metrics_that_exist(expression: str) -> None:
    found = metrics_in(expression)
    assert found
    assert found - metrics.names() - set(airflow_metrics()) - OF_PROMETHEUS == set()


def test_every_figure_of_the_warehouse_is_on_the_dashboard_or_in_a_rule() -> None:
    shown = set().union(*map(metrics_in, expressions()))
    assert metrics.names() - shown == {"senti_published_runs_total"}


def test_panels_have_a_description_a_place_of_their_own_and_the_provisioned_source() -> None:
    source = yaml.safe_load((FOLDER / "grafana" / "datasource.yml").read_text("utf-8"))["datasources"][0]
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == source["uid"]
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_a_rule_points_to_a_part_of_the_runbook() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text("utf-8"), re.MULTILINE)
    anchors = {f"docs/runbook.md#{heading.strip().lower().replace(' ', '-')}" for heading in headings}
    assert {rule["annotations"]["runbook"] for rule in RULES} - anchors == set()


def test_prometheus_asks_services_of_the_compose_file_that_are_in_its_network() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    asked = [target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]]
    assert asked == ["watch:9108", "statsd-exporter:9102"]
    (network,) = COMPOSE["services"]["prometheus"]["networks"]
    for target in asked:
        assert network in COMPOSE["services"][target.partition(":")[0]]["networks"]
    assert COMPOSE["services"]["watch"]["environment"]["SENTI_METRICS_ADDRESS"].endswith(":9108}")


def test_only_grafana_can_be_reached_and_only_from_this_machine_with_a_password() -> None:
    monitoring = {
        name: service for name, service in COMPOSE["services"].items() if "monitoring" in service.get("profiles", [])
    }
    ports = {name: service["ports"] for name, service in monitoring.items() if "ports" in service}
    assert ports == {"grafana": ["${GRAFANA_BIND:-127.0.0.1}:${GRAFANA_PORT:-3000}:3000"]}
    assert all("mem_limit" in service and "logging" in service for service in monitoring.values())
    environment = monitoring["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    files = {config["target"] for config in monitoring["grafana"]["configs"]}
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] in files


def test_airflow_sends_its_metrics_with_labels_as_the_compose_file_sets_it() -> None:
    """With Airflow's own logger, as ``AIRFLOW__METRICS__STATSD_*`` have it made."""
    statsd = pytest.importorskip("statsd", reason="the client of StatsD is in requirements.txt: install it")
    from airflow.sdk._shared.observability.metrics import statsd_logger

    environment = COMPOSE["services"]["scheduler"]["environment"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as exporter:
        exporter.bind(("127.0.0.1", 0))
        exporter.settimeout(10)
        logger = statsd_logger.get_statsd_logger(
            stats_class=statsd.StatsClient,
            host="127.0.0.1",
            port=exporter.getsockname()[1],
            prefix="airflow",
            influxdb_tags_enabled=environment["AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"] == "true",
            statsd_influxdb_enabled=environment["AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"] == "true",
            statsd_disabled_tags="job_id,run_id",
        )
        tags = {"dag_id": "score_reviews", "task_id": "plan", "run_id": "scheduled__2026-11-05T02:00:00+08:00"}
        logger.incr("ti_failures", tags=tags)
        assert exporter.recv(1_000) == b"airflow.ti_failures,dag_id=score_reviews,task_id=plan:1|c"


def promtool(*arguments: str) -> str:
    """What promtool prints; the test is skipped where it is missing."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    assert "9 rules found" in promtool("check", "config", str(FOLDER / "prometheus.yml"))


def test_promtool_accepts_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(expressions())]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(tmp_path / "rules.yml"))
