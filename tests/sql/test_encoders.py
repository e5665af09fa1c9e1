"""The encoders in the registry, and the texts that they are pretrained on, as the warehouse hands them over."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from senti_tasks.errors import RegistryError
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, encoders, texts
from tests.situations import MONDAY, TUESDAY, add_reviews


def register(
    connection: Connection, version: str, idempotency_key: str, now: datetime = MONDAY, training: Any = None
) -> str:
    built: dict[str, Any] = {"base_model": "scratch:tiny", "base_revision": None, "config": {}, "code_version": "0.1.0"}
    stored = {"artifact": f"encoders/{version}", "digest": "0" * 64, "training": training or {"history": []}}
    row = {
        "version": version,
        "idempotency_key": idempotency_key,
        **built,
        **stored,
        "normaliser_version": 1,
        "trained_at": now,
    }
    return encoders.register(connection, row)


def test_of_two_attempts_of_one_pretraining_the_first_to_arrive_is_registered(engine: Engine) -> None:
    with database.writing(engine) as connection:
        assert register(connection, "e1", "monthly") == "e1"
        assert register(connection, "e2", "monthly") == "e1"
        found = encoders.encoder_by_key(connection, "monthly")
        assert found is not None
        assert (found["version"], found["artifact"], found["trained_at"]) == ("e1", "encoders/e1", MONDAY)
        assert encoders.encoder_by_key(connection, "yearly") is None
        with pytest.raises(RegistryError, match="version e1 was registered by another training"):
            register(connection, "e1", "yearly")


def test_the_newest_encoder_is_the_one_trained_last(engine: Engine) -> None:
    with database.writing(engine) as connection:
        register(connection, "b", "second", TUESDAY)
        register(connection, "c", "first", MONDAY)
        assert encoders.newest(connection)["version"] == "b"
        assert encoders.encoder(connection, "c")["idempotency_key"] == "first"
        with pytest.raises(RegistryError, match="there is no encoder 'a'; the newest is b"):
            encoders.encoder(connection, "a")


def test_without_an_encoder_the_error_says_how_to_get_one(engine: Engine) -> None:
    with database.reading(engine) as connection:
        for ask in (encoders.newest, lambda connection: encoders.encoder(connection, "a")):
            with pytest.raises(RegistryError, match="no encoder was pretrained yet: run the pretrain_encoder DAG"):
                ask(connection)


def test_every_text_comes_once_in_chunks_the_newest_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "CHUNK_ROWS", 3)
    with database.writing(engine) as connection:
        add_reviews(connection, {key: f"第{key}条" for key in range(-2, 5)})
        add_reviews(connection, {2**40: "最新"})
    with database.reading(engine) as connection:
        chunks = []
        for chunk in texts.read_chunks(connection):
            corpora.splits_of(connection, ["a" * 64])  # as a selection asks between two chunks
            chunks.append([text for _, text in chunk])
    assert chunks == [["最新", "第4条", "第3条"], ["第2条", "第1条", "第0条"], ["第-1条", "第-2条"]]


def test_no_reviews_no_chunks(engine: Engine) -> None:
    with database.reading(engine) as connection:
        assert list(texts.read_chunks(connection)) == []
