"""dashboards/: what the files of Superset name exists, and the SQL of every data set runs on both databases."""

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy import Engine

from dashboards import serve
from senti_tasks.warehouse import database
from senti_tasks.warehouse.migrations import SQL
from tests.dashboard_shop import fill

FOLDER = Path(serve.__file__).parent
URL = "postgresql+psycopg://li:secret@host/senti"
FILES: dict[str, dict[str, Any]] = {
    name: yaml.safe_load(text) for name, text in serve.contents("postgresql+psycopg2://li@host/senti").items()
}
DATASETS, CHARTS = (
    {config["uuid"]: config for name, config in FILES.items() if name.startswith(f"{kind}/")}
    for kind in ("datasets", "charts")
)
(DATABASE,) = (config for name, config in FILES.items() if name.startswith("databases/"))
(DASHBOARD,) = (config for name, config in FILES.items() if name.startswith("dashboards/"))
PLACES = [part for part in DASHBOARD["position"].values() if isinstance(part, dict) and part["type"] == "CHART"]


def source(dataset: dict[str, Any]) -> str:
    """What stands after FROM, as Superset writes it."""
    return f"({dataset['sql']}\n) AS virtual_table" if "sql" in dataset else str(dataset["table_name"])


def expressions(dataset: dict[str, Any]) -> list[str]:
    """The figures of a data set, and those that its charts compute themselves."""
    own = [metric["expression"] for metric in dataset["metrics"]]
    charts = [chart["params"] for chart in CHARTS.values() if chart["dataset_uuid"] == dataset["uuid"]]
    return own + [
        metric["sqlExpression"] for params in charts for metric in figures(params) if isinstance(metric, dict)
    ]


def figures(params: dict[str, Any]) -> list[Any]:
    return [*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])]


def columns_of(params: dict[str, Any]) -> set[str]:
    """The columns that a chart names."""
    groups = params.get("groupby", [])
    named = {*params.get("all_columns", []), *([groups] if isinstance(groups, str) else groups)}
    named |= set(params.get("column_config", {})) | {
        rule["column"] for rule in params.get("conditional_formatting", [])
    }
    return named | ({params["x_axis"]} if "x_axis" in params else set())


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset["table_name"])
def test_a_data_set_has_rows_with_the_columns_that_its_file_names_and_its_figures_can_be_computed(
    dataset: dict[str, Any], engine: Engine
) -> None:
    fill(engine)
    with database.reading(engine) as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {source(dataset)}")).mappings().all()
        assert found
        assert [column["column_name"] for column in dataset["columns"] if column["column_name"] not in found[0]] == []
        for expression in expressions(dataset):
            where = " WHERE product = '酒店' AND week_start = '2026-10-26'" if "at_least" in str(found[0]) else ""
            value = connection.scalar(sa.text(f"SELECT {expression} FROM {source(dataset)}{where}"))
            assert value is not None, expression
            assert float(value) >= 0


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda dataset: dataset["table_name"])
def test_a_data_set_is_a_view_or_a_query_of_the_cookbook_and_its_file_has_no_sql(dataset: dict[str, Any]) -> None:
    name = dataset["table_name"]
    assert (SQL / "queries" / f"{name}.sql").exists() != (SQL / "views" / f"{name}.sql").exists()
    assert "sql" not in yaml.safe_load((FOLDER / "datasets" / "warehouse" / f"{name}.yaml").read_text("utf-8"))


def test_references_between_files_resolve() -> None:
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == {DATABASE["uuid"]}
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} == set(DATASETS)
    assert sorted(place["meta"]["uuid"] for place in PLACES) == sorted(CHARTS), "each chart once"
    for choice in DASHBOARD["metadata"]["native_filter_configuration"]:
        for target in choice["targets"]:
            dataset = DATASETS[target["datasetUuid"]]
            assert target["column"]["name"] in {column["column_name"] for column in dataset["columns"]}
    uuids = [config["uuid"] for config in FILES.values() if "uuid" in config]
    assert len(set(uuids)) == len(uuids)


@pytest.mark.parametrize("chart", CHARTS.values(), ids=lambda chart: chart["slice_name"])
def test_a_chart_names_columns_and_figures_of_its_data_set_and_says_what_it_shows(chart: dict[str, Any]) -> None:
    dataset, params = DATASETS[chart["dataset_uuid"]], chart["params"]
    assert columns_of(params) <= {column["column_name"] for column in dataset["columns"]}
    known = {metric["metric_name"] for metric in dataset["metrics"]}
    assert {figure for figure in figures(params) if isinstance(figure, str)} <= known
    assert params["viz_type"] == chart["viz_type"]
    assert chart["description"].endswith(".")


def test_the_dashboard_fills_rows_of_twelve_columns_and_shows_names_of_charts() -> None:
    rows = [part for part in DASHBOARD["position"].values() if isinstance(part, dict) and part["type"] == "ROW"]
    for row in rows:
        assert sum(DASHBOARD["position"][name]["meta"]["width"] for name in row["children"]) == 12
    assert sorted(name for row in rows for name in row["children"]) == sorted(place["id"] for place in PLACES)
    for place in PLACES:
        assert place["meta"]["sliceName"] == CHARTS[place["meta"]["uuid"]]["slice_name"]


def test_the_filter_changes_the_chart_with_the_interval_only() -> None:
    (choice,) = DASHBOARD["metadata"]["native_filter_configuration"]
    ids = {place["meta"]["chartId"]: place["id"] for place in PLACES}
    assert {ids[number] for number in set(ids) - set(choice["scope"]["excluded"])} == {"CHART-negatives_of_one_product"}


def test_no_address_or_password_is_in_a_file() -> None:
    for file in FOLDER.rglob("*.yaml"):
        assert not re.search(r"://|password", file.read_text("utf-8")), file
    assert DATABASE["sqlalchemy_uri"] == "postgresql+psycopg2://li@host/senti"
    assert DATABASE["allow_dml"] is False
    assert DATABASE["database_name"] == serve.DATABASE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (URL, "postgresql+psycopg2://li:secret@host/senti"),
        ("sqlite:////var/a b.db", "sqlite:///file:/var/a%20b.db?mode=ro&uri=true"),
    ],
)
def test_superset_gets_the_address_for_its_own_driver_and_a_file_for_reading_only(
    given: str, expected: str, tmp_path: Path
) -> None:
    assert serve.address({"SENTI_DATABASE_URL": given}) == expected
    (tmp_path / "url").write_text(f"{given}\n", "utf-8")
    assert serve.address({"SENTI_DATABASE_URL_FILE": str(tmp_path / "url")}) == expected
