"""What Prometheus gets from `senti watch`: the figures of the warehouse, over HTTP, whatever state it is in."""

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from local.airflow import free_port
from senti_tasks import settings
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import metrics
from senti_tasks.jobs.operations import watching
from senti_tasks.warehouse import database, health
from senti_tasks.warehouse.schema import models
from senti_tasks.warehouse.scoring import held_runs, publication, runs, shards
from tests.situations import (
    MONDAY,
    PHRASES,
    WEDNESDAY,
    add_model,
    add_reviews,
    judged,
    on_sqlite,
    open_planned_run,
    promote,
)

Samples = dict[tuple[str, ...], float]
"""The value of each sample, by the name of its metric and the values of its labels in the order of their names."""
UNNAMED = "绝密产品"
"""A product that no metric may name."""


@pytest.fixture
def port(home: Path) -> Iterator[int]:
    with metrics.serving("127.0.0.1:0") as found:
        yield found


def text(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def scrape(port: int) -> Samples:
    families = text_string_to_metric_families(text(port))
    return {
        (sample.name.removeprefix("senti_"), *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Two models, of which the older one is in service, and reviews; one of them is blank, so it cannot be labelled."""
    with database.writing(engine) as connection:
        for version in ("m1", "m2"):
            add_model(connection, version)
        training = {"seconds": 7.0, "rates": [{"seconds": 60.5}, {"seconds": 30.0}, {"seconds": None}]}
        connection.execute(
            sa.update(models).where(models.c.version == "m2").values(training=training, trained_at=WEDNESDAY)
        )
        promote(connection, "m1")
        add_reviews(connection, dict(enumerate((*PHRASES, " "))), product=UNNAMED)
    return engine


def night(engine: Engine) -> None:
    """A run that was due on Wednesday at noon: planned in 60 s, scored in 4 s, published after another 26 s."""
    with database.writing(engine) as connection:
        run = open_planned_run(connection)
        claim = shards.claim(connection, run, 0, now=WEDNESDAY + after(60))
        assert claim
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=100)
        claim = shards.stage(connection, claim, judged(chunk), cursor=chunk[-1].review_id)
        shards.accept(connection, claim, now=WEDNESDAY + after(64))
    with database.writing(engine) as connection:
        publication.audit(connection, run)
    with database.writing(engine) as connection:
        publication.publish(connection, run, now=WEDNESDAY + after(90))


def test_a_new_warehouse_is_up_and_has_no_figures_of_models_and_runs(port: int) -> None:
    found = scrape(port)
    assert found == {
        ("warehouse_up",): 1,
        ("held_runs",): 0,
        ("held_reviews",): 0,
        ("publishing_frozen",): 0,
        ("published_labels_total",): 0,
        ("published_runs_total",): 0,
    }


def test_a_scrape_shows_what_waits_the_last_run_and_the_models(shop: Engine, port: int) -> None:
    assert ("pending_reviews",) not in scrape(port), "before the first publication, only reading all reviews would say"
    night(shop)
    with database.writing(shop) as connection:
        add_reviews(connection, {100: "很好", 101: "太差"}, now=WEDNESDAY + after(3600))
        promote(connection, "m2", now=WEDNESDAY)
    found = scrape(port)
    expected: Samples = {
        ("pending_reviews",): 2,
        ("labelled_reviews",): len(PHRASES),
        ("failed_reviews",): 1,
        ("publication_lag_seconds",): 90,
        ("publication_timestamp_seconds",): (WEDNESDAY + after(90)).timestamp(),
        ("run_reviews_per_second",): (len(PHRASES) + 1) / 4,
        ("run_stage_seconds", "plan"): 60,
        ("run_stage_seconds", "score"): 4,
        ("run_stage_seconds", "publish"): 26,
        ("run_reviews", "labelled"): len(PHRASES),
        ("run_reviews", "failed"): 1,
        ("run_negative_ratio",): 1 / len(PHRASES),
        ("published_labels_total",): len(PHRASES),
        ("published_runs_total",): 1,
        ("model_trained_timestamp_seconds",): MONDAY.timestamp(),
        ("model_in_service_timestamp_seconds",): MONDAY.timestamp(),
        ("model_disagreement_ratio",): 0,
        ("last_training_seconds",): 90.5,
        ("last_training_timestamp_seconds",): WEDNESDAY.timestamp(),
        ("model_info", "in_service", "fp32", "m1"): 1,
        ("model_info", "incoming", "fp32", "m2"): 1,
        ("incoming_labelled_reviews",): 0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_a_held_run_and_its_reviews_are_shown_until_it_is_given_up(shop: Engine, port: int) -> None:
    night(shop)
    with database.writing(shop) as connection:
        add_reviews(connection, {100: "很好", 101: "太差"}, now=WEDNESDAY)
        run = open_planned_run(connection, "second night")
        held_runs.hold(connection, run, because="too many negatives", now=WEDNESDAY)
    found = scrape(port)
    assert (found["held_runs",], found["held_reviews",], found["pending_reviews",]) == (1, 2, 0)
    with database.writing(shop) as connection:
        runs.abandon(connection, run)
    found = scrape(port)
    assert (found["held_runs",], found["held_reviews",], found["pending_reviews",]) == (0, 0, 2)


def test_pending_reviews_are_counted_up_to_a_limit(shop: Engine, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    night(shop)
    with database.writing(shop) as connection:
        add_reviews(connection, {100 + number: "很好" for number in range(5)}, now=WEDNESDAY + after(3600))
    monkeypatch.setattr(health, "MOST_PENDING", 3)
    assert scrape(port)["pending_reviews",] == 3


def test_no_text_and_no_product_is_in_a_scrape(shop: Engine, port: int) -> None:
    night(shop)
    shown = text(port)
    assert [word for word in (UNNAMED, *PHRASES) if word in shown] == []


def test_a_warehouse_that_is_away_shows_as_down_and_as_up_when_it_is_back(
    shop: Engine, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("SENTI_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/nowhere")
        assert scrape(port) == {("warehouse_up",): 0}
    assert scrape(port)["warehouse_up",] == 1


def test_a_table_that_is_missing_shows_as_down(shop: Engine, port: int) -> None:
    with database.writing(shop) as connection:
        connection.exec_driver_sql("ALTER TABLE scoring_errors RENAME TO gone")
    assert scrape(port) == {("warehouse_up",): 0}


def test_many_scrapes_at_once_all_get_an_answer(shop: Engine, port: int) -> None:
    night(shop)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scrape(port)["labelled_reviews",], range(8)))
    assert found == [len(PHRASES)] * 8


def test_every_metric_has_a_help_text_and_a_listed_name(shop: Engine, port: int) -> None:
    night(shop)
    families = list(text_string_to_metric_families(text(port)))
    assert [family.name for family in families if not family.documentation.endswith(".")] == []
    assert {sample.name for family in families for sample in family.samples} <= metrics.names()


@on_sqlite
def test_promtool_finds_nothing_to_say_about_a_scrape(shop: Engine, port: int) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    night(shop)
    done = subprocess.run([promtool, "check", "metrics"], input=text(port), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@on_sqlite
def test_the_watch_answers_at_the_address_of_the_setting_as_long_as_it_runs(
    shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("SENTI_METRICS_ADDRESS", str(port))
    found: list[Samples] = []

    def is_over() -> bool:
        found.append(scrape(port))
        return len(found) == 2

    watching.watch(0.01, is_over)
    assert [samples["warehouse_up",] for samples in found] == [1, 1]
    with pytest.raises(OSError, match="refused"):
        scrape(port)


@on_sqlite
def test_a_port_that_is_taken_is_named(home: Path, port: int) -> None:
    with pytest.raises(ConfigError, match=rf"SENTI_METRICS_ADDRESS=127.0.0.1:{port}: cannot listen there"):
        metrics.serving(f"127.0.0.1:{port}").__enter__()


@on_sqlite
@pytest.mark.parametrize(
    ("given", "address"),
    [("9108", "127.0.0.1:9108"), ("0.0.0.0:9108", "0.0.0.0:9108"), ("[::1]:9108", "[::1]:9108")],
)
def test_a_port_alone_listens_on_this_machine_only(
    given: str, address: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_METRICS_ADDRESS", given)
    assert settings.load().metrics_address == address


@on_sqlite
@pytest.mark.parametrize("given", ["here", "localhost:", "1:99999", "９１０８"])
def test_an_address_without_a_port_is_refused(given: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_METRICS_ADDRESS", given)
    with pytest.raises(ConfigError, match="expected PORT or HOST:PORT"):
        settings.load()
