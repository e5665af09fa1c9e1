"""Who gets what from the page in Airflow's UI: the table of docs/airflow-page.md, with both auth managers."""

from collections.abc import Iterator

import httpx
import pytest

from local.airflow import free_port
from senti_tasks.warehouse import database, migrations
from tests.page.api_server import MANAGERS, Server, running
from tests.page.conftest import fill

READS = ("/sentiment/", "/sentiment/reports/model/m1", "/sentiment/reports/run/1")
QUESTIONS = ("publish/2", "give-up/2", "promote/m2", "roll-back/m1", "freeze", "unfreeze")


@pytest.fixture(scope="module", params=MANAGERS)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with this auth manager, whose page shows a warehouse."""
    folder = tmp_path_factory.mktemp(request.param)
    url = f"sqlite:///{folder / 'warehouse.db'}"
    engine = database.connect(url)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    fill(engine)
    with running(request.param, folder, free_port()) as server:
        server.use(url)
        yield server


def test_who_is_logged_out_is_sent_to_the_login_and_decides_nothing(shown: Server) -> None:
    nobody = shown.browser()
    for path in (*READS, *(f"/sentiment/decide/{name}" for name in QUESTIONS)):
        answer = nobody.get(path)
        assert answer.status_code == 303, path
        login = httpx.URL(answer.headers["location"])
        assert login.path.startswith("/auth/login")
        assert login.params["next"].endswith(path)
    for name in QUESTIONS:
        assert nobody.post(f"/sentiment/decide/{name}", data={"reason": "为什么"}).status_code == 401
    nobody.cookies.set("_token", "forged")
    assert nobody.get("/sentiment/").status_code == 303
    assert nobody.post("/sentiment/decide/freeze", data={"reason": "为什么"}).status_code == 401
    for path in ("/sentiment/docs", "/sentiment/openapi.json", "/sentiment/nothing"):
        assert nobody.get(path).status_code == 404


def test_a_viewer_reads_everything_and_decides_nothing(shown: Server) -> None:
    viewer = shown.browser("viewer")
    for path in READS:
        answer = viewer.get(path)
        assert answer.status_code == 200, answer.text
        assert "/decide/" not in answer.text
    assert "Run 2 is held" in viewer.get("/sentiment/").text
    for name in QUESTIONS:
        assert viewer.get(f"/sentiment/decide/{name}").status_code == 403
        assert viewer.post(f"/sentiment/decide/{name}", data={"reason": "为什么"}).status_code == 403


def test_an_admin_gets_a_button_for_each_possible_decision(shown: Server) -> None:
    admin = shown.browser("admin")
    text = admin.get("/sentiment/").text
    possible = ("publish/2", "give-up/2", "promote/m2", "promote/m3", "freeze")
    for name in possible:
        assert f'href="/sentiment/decide/{name}"' in text, name
        question = admin.get(f"/sentiment/decide/{name}")
        assert question.status_code == 200
        assert f'action="/sentiment/decide/{name}"' in question.text
        assert "with your name, admin," in question.text
    assert text.count("/decide/") == len(possible), "nothing to roll back to, no freeze to end, and m1 is the champion"


def test_airflow_shows_the_page_in_its_navigation_and_no_error(shown: Server) -> None:
    admin = shown.browser("admin")
    (plugin,) = admin.get("/api/v2/plugins").json()["plugins"]
    (view,) = plugin["external_views"]
    assert (view["name"], view["href"], view["destination"]) == ("Sentiment", "sentiment/", "nav")
    assert admin.get("/api/v2/plugins/importErrors").json()["import_errors"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_what_another_site_has_a_browser_send_is_refused(shown: Server, headers: dict[str, str]) -> None:
    answer = shown.browser("admin").post("/sentiment/decide/freeze", data={"reason": "为什么"}, headers=headers)
    assert answer.status_code == 403
    assert "this page did not send" in answer.text.lower()


def test_no_other_site_may_frame_the_page(shown: Server) -> None:
    headers = shown.browser("admin").get("/sentiment/").headers
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert headers["cache-control"] == "no-store"
