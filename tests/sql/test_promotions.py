"""Which model is in use, and that two people cannot both have decided it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import Connection, Engine

from senti_tasks.errors import NoChampionError, RegistryError
from senti_tasks.jobs import judging, models
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import watermarks
from tests.situations import MONDAY, TUESDAY, add_model, promote, rows

CONTENDERS = 4


@pytest.fixture
def with_models(engine: Engine) -> Engine:
    with database.writing(engine) as connection:
        for version in ("m1", "m2", "m3", "m4"):
            add_model(connection, version)
    return engine


def in_use(connection: Connection) -> tuple[str | None, str]:
    return promotions.champion(connection), promotions.in_service(connection)


def test_without_a_promotion_there_is_no_champion(engine: Engine) -> None:
    with database.reading(engine) as connection:
        assert promotions.champion(connection) is None
        with pytest.raises(NoChampionError, match=r"no model has been promoted yet: run"):
            promotions.in_service(connection)


def test_the_first_model_serves_at_once_and_the_second_waits_for_its_labels(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        first, second = promote(connection, "m1"), promote(connection, "m2")
        assert (first["serving_since"], second["serving_since"]) == (MONDAY, None)
        assert in_use(connection) == ("m2", "m1")
        waiting = promotions.awaiting_service(connection)
        assert waiting is not None
        assert waiting["model_version"] == "m2"
        assert promotions.start_service(connection, second["seq"], now=TUESDAY)
        assert in_use(connection) == ("m2", "m2")
        assert promotions.awaiting_service(connection) is None


def test_service_starts_once(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        second = promote(connection, "m2")
        assert promotions.start_service(connection, second["seq"], now=TUESDAY)
        assert not promotions.start_service(connection, second["seq"], now=MONDAY)
        assert promotions.history(connection)[0]["serving_since"] == TUESDAY


def test_a_promotion_that_was_overtaken_never_serves(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        overtaken = promote(connection, "m2")
        promote(connection, "m3")
        assert not promotions.start_service(connection, overtaken["seq"], now=TUESDAY)
        assert in_use(connection) == ("m3", "m1")


def test_a_judgement_against_an_earlier_champion_is_refused(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        promote(connection, "m2")
    with (
        pytest.raises(RegistryError, match=r"m3 was compared with m1, and the champion is m2 by now: judge it again"),
        database.writing(with_models) as connection,
    ):
        promotions.promote(connection, "m3", kind="gate", compared_with="m1", actor="小李", reason="演示", now=TUESDAY)
    assert len(rows(with_models, "promotions")) == 2


def test_the_champion_is_not_promoted_again(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        with pytest.raises(RegistryError, match=r"m1 is the champion already"):
            promote(connection, "m1")


def test_an_unknown_model_is_refused_and_known_ones_are_named(with_models: Engine) -> None:
    with (
        database.writing(with_models) as connection,
        pytest.raises(RegistryError, match=r"no model 'm9'; the newest are m"),
    ):
        promote(connection, "m9")


def test_of_promotions_at_the_same_time_one_wins(with_models: Engine) -> None:
    everybody_has_looked = Barrier(CONTENDERS)

    def contend(version: str) -> str:
        with database.reading(with_models) as connection:
            compared_with = promotions.champion(connection)
        everybody_has_looked.wait()
        try:
            with database.writing(with_models) as connection:
                promotions.promote(
                    connection,
                    version,
                    kind="person",
                    compared_with=compared_with,
                    actor=version,
                    reason="",
                    now=MONDAY,
                )
        except RegistryError as error:
            return str(error)
        return "won"

    with ThreadPoolExecutor(CONTENDERS) as pool:
        outcomes = list(pool.map(contend, ("m1", "m2", "m3", "m4")))
    assert outcomes.count("won") == 1
    assert all("champion is" in outcome or "at the same time" in outcome for outcome in outcomes if outcome != "won")
    assert len(rows(with_models, "promotions")) == 1


def test_of_two_open_transactions_the_second_to_promote_is_refused(with_models: Engine) -> None:
    """The first has inserted its row and not committed: on PostgreSQL only the UNIQUE previous_seq stops the second."""
    with database.writing(with_models) as connection:
        promote(connection, "m1")
    first_has_inserted = Barrier(2)

    def overtake() -> None:
        first_has_inserted.wait()
        with database.writing(with_models) as connection:
            promotions.promote(
                connection, "m3", kind="person", compared_with="m1", actor="小张", reason="演示", now=TUESDAY
            )

    with ThreadPoolExecutor(1) as pool:
        with database.writing(with_models) as connection:
            promote(connection, "m2")
            second = pool.submit(overtake)
            first_has_inserted.wait()
        with pytest.raises(RegistryError):
            second.result()
    assert [row["model_version"] for row in rows(with_models, "promotions", order_by="seq")] == ["m1", "m2"]


def test_a_rollback_serves_at_once(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        watermarks.advance(connection, "m1", MONDAY)
        promotions.start_service(connection, promote(connection, "m2")["seq"], now=TUESDAY)
        assert promotions.previous_champion(connection) == "m1"
        back = promote(connection, "m1", kind="rollback", now=TUESDAY)
        assert back["serving_since"] == TUESDAY
        assert in_use(connection) == ("m1", "m1")
        with pytest.raises(RegistryError, match="nothing served before m1"):  # and never back to the bad one
            promotions.previous_champion(connection)


def test_a_rollback_to_a_model_without_labels_waits_for_them(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        promotions.start_service(connection, promote(connection, "m2")["seq"], now=TUESDAY)
        assert promote(connection, "m1", kind="rollback", now=TUESDAY)["serving_since"] is None
        assert in_use(connection) == ("m1", "m2")


def test_a_rollback_passes_over_a_model_that_never_served(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        for version in ("m1", "m2", "m3"):
            promote(connection, version)
        assert promotions.previous_champion(connection) == "m1"


def test_there_is_no_rollback_from_the_first_model(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        promote(connection, "m1")
        with pytest.raises(RegistryError, match=r"nothing served before m1"):
            promotions.previous_champion(connection)


def test_a_second_rollback_goes_further_back_and_never_to_what_was_rolled_back(with_models: Engine) -> None:
    with database.writing(with_models) as connection:
        for version in ("m1", "m2", "m3"):
            row = promote(connection, version)
            promotions.start_service(connection, row["seq"], now=TUESDAY)
        assert promotions.previous_champion(connection) == "m2"
        promote(connection, "m2", kind="rollback")
        assert promotions.previous_champion(connection) == "m1"
        promote(connection, "m1", kind="rollback")
        with pytest.raises(RegistryError, match="nothing served before m1"):
            promotions.previous_champion(connection)


def test_a_promotion_that_is_retried_does_not_undo_a_rollback(with_models: Engine, home: Path) -> None:
    judgement = {"model": "m2", "champion": "m1", "promote": True, "reasons": ["更好"]}
    with database.writing(with_models) as connection:
        promote(connection, "m1")
    assert judging.promote(judgement, actor="retrain_sentiment") == {"model": "m2", "serves": False}
    assert models.rollback("标签错了", actor="小李")["model"] == "m1"
    assert judging.promote(judgement, actor="retrain_sentiment") == {"model": "m2", "serves": False}
    with database.reading(with_models) as connection:
        assert in_use(connection) == ("m1", "m1")


def test_a_verdict_once_given_stands_with_its_figures_and_its_champion(with_models: Engine) -> None:
    refusal = {
        "rule": "accuracy",
        "reference": "champion",
        "reference_version": "m1",
        "passed": False,
        "reason": "差一点",
    }
    figure = {"subject": "candidate", "split": "test", "metric": "accuracy"}
    with database.writing(with_models) as connection:
        add_model(connection, "m5", verdict=None)
        registry.record_metrics(connection, "m5", [{**figure, "value": 0.8}])
        first = registry.record_judgement(connection, "m5", promote=False, rules=[refusal])
        registry.record_metrics(connection, "m5", [{**figure, "value": 0.9}])
        passing = {**refusal, "reference_version": "m2", "passed": True, "reason": "更好"}
        again = registry.record_judgement(connection, "m5", promote=True, rules=[passing])
        assert first == again == {"promote": False, "champion": "m1", "reasons": ["差一点"]}
        assert [row["value"] for row in registry.metrics(connection, "m5")] == [0.8]


def test_the_anchor_is_the_last_that_was_better_or_a_persons_and_a_rollback_takes_it_back(
    with_models: Engine,
) -> None:
    with database.writing(with_models) as connection:
        assert promotions.anchor(connection) is None
        promote(connection, "m1", anchors=True)
        promote(connection, "m2")
        assert promotions.anchor(connection) == "m1"
        promote(connection, "m3", anchors=True)
        assert promotions.anchor(connection) == "m3"
        promote(connection, "m2", kind="rollback")
        assert promotions.anchor(connection) == "m1"
        promote(connection, "m4", kind="overruling", anchors=True)
        assert promotions.anchor(connection) == "m4"
