"""dashboards/ in a real Superset, over SQLite and over PostgreSQL as an analyst. With ``SENTI_SUPERSET=1``: 4 minutes.

It needs Superset's environment, which ``make .venv-bi/done`` installs.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from local.bi import PYTHON, LocalSuperset
from senti_tasks.warehouse import database, migrations
from tests.browser import chromium
from tests.conftest import Databases
from tests.dashboard_shop import fill

pytestmark = [
    pytest.mark.skipif(not os.environ.get("SENTI_SUPERSET"), reason="takes four minutes: set SENTI_SUPERSET=1"),
    pytest.mark.skipif(not PYTHON.exists(), reason="no Superset in .venv-bi: make .venv-bi/done"),
]
LOADED_S = 90
ANALYST = "an_analyst"


class Visitor:
    """Somebody who has logged in to Superset."""

    def __init__(self, superset: LocalSuperset, user: str = "", password: str = "") -> None:
        self.client = httpx.Client(base_url=superset.url, trust_env=False, timeout=60)
        form = self.client.get("/login/").text
        token = re.search(r'csrf_token[^>]*value="([^"]+)"', form) or re.search(r"csrf_token&#34;: &#34;([^&]+)&", form)
        assert token
        login = {"username": user or superset.user, "password": password or superset.password, "csrf_token": token[1]}
        assert self.client.post("/login/", data=login).headers["location"] == "/"
        self.client.headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/")
        self.client.headers["Referer"] = superset.url

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()["result"]

    def charts(self) -> dict[str, dict[str, Any]]:
        """The parameters of each chart by its name."""
        found = self.get("/api/v1/chart/?q=(page_size:100)")
        return {chart["slice_name"]: {**json.loads(chart["params"]), "id": chart["id"]} for chart in found}

    def rows(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """The data of a chart, asked for as its plugin in the browser does."""
        groups = params.get("groupby", [])
        columns = [*params.get("all_columns", []), *([groups] if isinstance(groups, str) else groups)]
        number, kind = params["datasource"].split("__")
        query = {
            "columns": [*([params["x_axis"]] if "x_axis" in params else []), *columns],
            "metrics": [*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])],
            "row_limit": 1000,
        }
        asked = {"datasource": {"id": int(number), "type": kind}, "queries": [query], "result_format": "json"}
        answer = self.client.post("/api/v1/chart/data", json=asked)
        assert answer.is_success, answer.text
        found: list[dict[str, Any]] = answer.json()["result"][0]["data"]
        return found


@pytest.fixture(scope="module")
def warehouse(dialect: str, databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the warehouse for an analyst."""
    url = reader = databases.empty()
    engine = database.connect(url)
    if dialect == "postgresql":
        roles = (migrations.SQL / "roles" / "create.sql").read_text("utf-8")
        with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
            connection.exec_driver_sql(roles, execution_options={"no_parameters": True})
            connection.exec_driver_sql(f"CREATE ROLE {ANALYST} LOGIN IN ROLE senti_analyst")
        reader = sa.make_url(url).set(username=ANALYST).render_as_string(hide_password=False)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    fill(engine)
    yield reader
    databases.drop(url)


@pytest.fixture(scope="module")
def superset(warehouse: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSuperset]:
    with LocalSuperset(tmp_path_factory.mktemp("superset"), warehouse) as running:
        yield running
    assert running.processes() == []


@pytest.fixture(scope="module")
def visitor(superset: LocalSuperset) -> Visitor:
    return Visitor(superset)


def test_every_chart_has_rows(visitor: Visitor) -> None:
    charts = visitor.charts()
    assert len(charts) == 13
    rows = {name: visitor.rows(params) for name, params in charts.items()}
    assert [name for name, found in rows.items() if not found] == []
    (labelled,), (pending,), (failed,) = (rows[name] for name in ("Labelled", "Pending", "Failed"))
    assert (list(labelled.values()), list(pending.values()), list(failed.values())) == ([448], [1], [1])
    assert [row["product"] for row in rows["Products that got worse"]] == ["酒店"]
    assert {row["review_text"] for row in rows["Newest certain negatives"]} == {"太差，再也不来了"}


def test_nobody_writes_the_warehouse_through_superset(visitor: Visitor, dialect: str) -> None:
    (warehouse,) = visitor.get("/api/v1/database/")

    def answer(statement: str) -> httpx.Response:
        asked = {"database_id": warehouse["id"], "sql": statement, "runAsync": False}
        return visitor.client.post("/api/v1/sqllab/execute/", json=asked)

    assert answer("SELECT COUNT(*) AS reviews FROM review_sentiment").json()["data"] == [{"reviews": 448}]
    if dialect == "postgresql":
        assert answer("SHOW default_transaction_read_only").json()["data"] == [{"default_transaction_read_only": "on"}]
        assert answer("SHOW statement_timeout").json()["data"] == [{"statement_timeout": "1min"}]
    for statement in ("DELETE FROM review_sentiment", "CREATE TABLE notes (note TEXT)"):
        refused = answer(statement)
        assert not refused.is_success
        assert "DML" in refused.text or "read-only" in refused.text or "permission" in refused.text, refused.text


@pytest.mark.skipif(chromium.PROGRAM is None, reason="no Chromium here: apt-get install chromium")
def test_the_dashboard_shows_rows_in_each_chart_and_loads_nothing_from_elsewhere(
    superset: LocalSuperset, visitor: Visitor, tmp_path: Path
) -> None:
    with chromium.tab(tmp_path) as tab:
        tab.call("Emulation.setDeviceMetricsOverride", width=1440, height=2000, deviceScaleFactor=1, mobile=False)
        tab.call("Network.setCookie", name="session", value=visitor.client.cookies["session"], url=superset.url)
        tab.call("Page.navigate", url=f"{superset.url}/superset/dashboard/sentiment/")
        ids = {params["id"]: name for name, params in visitor.charts().items()}
        until_shown(tab, set(ids))
        assert {ids[number]: rows for number, rows in rows_of_charts(tab).items() if not rows} == {}
        loaded = [event["params"]["response"]["url"] for event in named(tab, "Network.responseReceived")]
        assert [url for url in loaded if not url.startswith((superset.url, "data:", "blob:"))] == []
        assert tab.value("document.querySelectorAll('.ant-alert-error, [data-test=alert-danger]').length") == 0
        assert "酒店" in tab.value("document.body.innerText")


def test_a_colleague_with_two_roles_sees_the_charts_and_not_the_settings(
    superset: LocalSuperset, visitor: Visitor
) -> None:
    roles = [role["id"] for role in visitor.get("/api/v1/security/roles/") if role["name"] in {"Gamma", "Sentiment"}]
    name = {"username": "li", "first_name": "李", "last_name": "小李", "email": "li@localhost"}
    added = {**name, "password": "a-password", "active": True, "roles": roles}
    visitor.client.post("/api/v1/security/users/", json=added).raise_for_status()
    colleague = Visitor(superset, "li", "a-password")
    charts = colleague.charts()
    assert set(charts) == set(visitor.charts())
    assert colleague.rows(charts["Newest certain negatives"])
    assert colleague.client.get("/api/v1/security/users/").status_code == 403


def test_a_later_start_brings_back_what_the_files_say_and_keeps_what_people_made(
    superset: LocalSuperset, visitor: Visitor
) -> None:
    before = visitor.charts()
    held = before["Held"]
    visitor.client.put(f"/api/v1/chart/{held['id']}", json={"slice_name": "Changed"}).raise_for_status()
    number, kind = held["datasource"].split("__")
    own = {
        "slice_name": "我的图",
        "params": "{}",
        "viz_type": "table",
        "datasource_id": number,
        "datasource_type": kind,
    }
    visitor.client.post("/api/v1/chart/", json=own).raise_for_status()
    superset.__exit__(None, None, None)
    assert superset.processes() == []
    with superset:
        assert set(Visitor(superset).charts()) == {*before, "我的图"}


def until_shown(tab: chromium.Tab, ids: set[int]) -> None:
    """Waits until the page has the data of these charts and shows no chart as loading."""
    end = time.monotonic() + LOADED_S
    while set(charts_in(tab)) != ids or tab.value("document.querySelectorAll('.loading').length"):
        assert time.monotonic() < end, "a chart shows nothing"
        time.sleep(0.2)


def charts_in(tab: chromium.Tab) -> dict[int, str]:
    """The requests whose answers have arrived, by the chart that asked."""
    tab.value("1")  # reads the events that wait
    asked = {
        event["params"]["requestId"]: int(found[1])
        for event in named(tab, "Network.requestWillBeSent")
        if (found := re.search(r"chart/data.*slice_id%22%3A(\d+)", event["params"]["request"]["url"]))
    }
    ended = [event["params"]["requestId"] for event in named(tab, "Network.loadingFinished")]
    return {asked[request]: request for request in ended if request in asked}


def rows_of_charts(tab: chromium.Tab) -> dict[int, int]:
    answers = {
        chart: json.loads(tab.call("Network.getResponseBody", requestId=request)["body"])
        for chart, request in charts_in(tab).items()
    }
    return {chart: answer["result"][0]["rowcount"] for chart, answer in answers.items()}


def named(tab: chromium.Tab, method: str) -> list[dict[str, Any]]:
    return [event for event in tab.events if event.get("method") == method]
