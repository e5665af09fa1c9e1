"""Small known situations, built through the project's own functions: reviews, labels by people, models, runs."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from senti_tasks import labels
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, promotions, registry
from senti_tasks.warehouse.schema import models, review_annotations, reviews
from senti_tasks.warehouse.scoring import publication, runs, series, shards, staging

on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)

MONDAY = datetime(2026, 11, 2, 12, tzinfo=UTC)
TUESDAY = MONDAY + timedelta(days=1)
WEDNESDAY = MONDAY + timedelta(days=2)
SHANGHAI = ZoneInfo("Asia/Shanghai")
MODEL_LENGTH = 64
"""Tokens that the tiny classifier reads."""

SAMPLE_ROWS = 600
"""Reviews of the sample that a test imports: enough to train on, and few enough not to wait for."""
LENIENT = {"margin": 0.99, "calibration_margin": 0.99, "loss_margin": 100.0}
"""A gate that lets a model pass which learnt next to nothing."""

PHRASES = (
    "这家酒店很好，下次还来。", "房间太小，隔音很差！", "味道不错", "物流慢得离谱", "屏幕清晰，电池耐用",
    "客服不理人", "孩子很喜欢这本书", "用了两天就坏了", "性价比高", "早餐一般，位置倒是方便", "再也不买了", "值得推荐",
)  # fmt: skip


def build_model(folder: Path, layers: int = 1, hidden: int = 32) -> Path:
    """Saves a BERT classifier to ``folder``; its weights are random and always the same."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from senti_tasks.training.tokenizer.vocabulary import build_tokenizer

    tokenizer = build_tokenizer([*PHRASES, *PHRASES], MODEL_LENGTH)
    shape: dict[str, Any] = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * hidden,
    }
    config = BertConfig(
        **shape,
        vocab_size=len(tokenizer),
        max_position_embeddings=MODEL_LENGTH,
        pad_token_id=tokenizer.pad_token_id,
        id2label=labels.DEFAULT.names,
        label2id=labels.DEFAULT.numbers,
        initializer_range=0.5,  # wide enough that texts get both labels, and no two the same score
    )
    with torch.random.fork_rng():
        torch.manual_seed(2026)
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def deploy(engine: Engine, folder: Path, home: Path, version: str = "2026-11-02-tiny") -> str:
    """Stores the classifier in ``folder`` under ``home``, registers it and promotes it; returns its version."""
    artifact, checksum = ArtifactStore(str(home / "var/artifacts"), home / "var/work").put(folder, "models", version)
    with database.writing(engine) as connection:
        add_model(connection, version, artifact=artifact, checksum=checksum)
        promote(connection, version)
    return version


def add_model(
    connection: Connection,
    version: str,
    *,
    artifact: str = "models/none",
    checksum: str = "0" * 64,
    verdict: str | None = "promote",
    corpus: str = "2026-11-01-demo",
    label_set: labels.LabelSet = labels.DEFAULT,
) -> str:
    """Registers a model and, unless it is there, the corpus it came from; no promotion."""
    row = {"corpus": corpus, "idempotency_key": corpus, "due": MONDAY, "artifact": "corpora/none"}
    corpora.record_corpus(connection, {**row, "digest": "0" * 64, "summary": {"rows": {}}, "created_at": MONDAY})
    lineage = {"version": version, "idempotency_key": f"training {version}", "corpus": corpus}
    built: dict[str, Any] = {"base_model": "scratch:tiny", "base_revision": None, "config": {}, "code_version": "0.1.0"}
    stored = {
        "artifact": artifact,
        "digest": checksum,
        "training": {"weights_digest": "ab" * 32, "history": [{"epoch": 1, "train_loss": 0.5}]},
    }
    variant = {"variant": "fp32", "artifact": artifact, "digest": checksum, "library": "torch", "agreement": 1.0}
    proof = {"verdict": "proven", "reason": "the model as it was trained", "temperature": 1.0, "serves": True}
    registry.register(
        connection,
        {**lineage, **built, **stored, "normaliser_version": 1, "trained_at": MONDAY},
        label_names=label_set.names,
        variant={**variant, **proof},
    )
    connection.execute(sa.update(models).where(models.c.version == version).values(verdict=verdict))
    return version


def promote(
    connection: Connection, version: str, *, kind: str = "gate", now: datetime = MONDAY, anchors: bool = False
) -> dict[str, Any]:
    """Promotes ``version`` over whatever the champion is."""
    return promotions.promote(
        connection,
        version,
        kind=kind,
        compared_with=promotions.champion(connection),
        actor="小李",
        reason="演示",
        now=now,
        anchors=anchors,
    )


def add_reviews(
    connection: Connection,
    texts: Mapping[Any, str],
    *,
    product: str | None = None,
    now: datetime = MONDAY,
    created_at: datetime | None = None,
) -> None:
    """Writes reviews (review_id to text) as a shop's own software would."""
    row = {"product": product, "created_at": created_at or now, "updated_at": now}
    connection.execute(
        sa.insert(reviews), [{"review_id": key, "review_text": text, **row} for key, text in texts.items()]
    )


def edit(connection: Connection, review_id: Any, text: str, *, now: datetime = TUESDAY) -> None:
    edited = sa.update(reviews).where(reviews.c.review_id == review_id)
    connection.execute(edited.values(review_text=text, updated_at=now))


def delete(connection: Connection, review_id: Any) -> None:
    connection.execute(sa.delete(reviews).where(reviews.c.review_id == review_id))


def annotate(
    connection: Connection, review_id: Any, label: int, text: str, *, annotator: str = "小王", now: datetime = MONDAY
) -> None:
    """A person's label of ``text``, whatever the review says by now."""
    row = {"review_id": review_id, "annotator": annotator, "annotated_at": now, "label": label}
    connection.execute(sa.insert(review_annotations).values(**row, text_hash=text_hash(text)))


def open_planned_run(
    connection: Connection, idempotency_key: str = "run", *, scope: str = "new", model: str | None = None
) -> int:
    """A run for ``model``, or the one in service; planned into one shard."""
    (run,) = series.open_series(
        connection,
        idempotency_key=idempotency_key,
        scope=scope,
        model_version=model or promotions.in_service(connection),
        variant="fp32",
        due=WEDNESDAY,
        now=WEDNESDAY,
    )
    runs.plan(connection, run, shards=1)
    return run


def judged(items: Iterable[shards.Item]) -> staging.Answers:
    """Answers as a scorer gives them: negative where it reads 差, unsure where 一般, an error where nothing."""
    present = [item for item in items if not item.superseded]
    texts = [item.text or "" for item in present]
    blank = [not text.strip() for text in texts]
    scores = np.array([0.2 if "差" in text else 0.6 if "一般" in text else 0.9 for text in texts])
    return staging.Answers(
        [item.review_id for item in present],
        [text_hash(text) for text in texts],
        labels=np.where(blank, -1, scores > 0.5),
        scores=scores,
        confidences=np.maximum(scores, 1 - scores),
        truncated=np.zeros(len(texts), dtype=bool),
        local_days=[(item.created_at or WEDNESDAY).astimezone(SHANGHAI).date() for item in present],
        products=[item.product for item in present],
        scored_at=WEDNESDAY,
        reasons=dict.fromkeys(np.flatnonzero(blank).tolist(), "the text is blank"),
    )


def answer(connection: Connection, run: int, shard: int = 0) -> None:
    """Scores a shard to its end with ``judge`` in place of a model."""
    claim = shards.claim(connection, run, shard)
    assert claim is not None
    chunk = shards.read_chunk(connection, run, shard, after=claim.cursor, limit=1_000)
    if chunk:
        claim = shards.stage(connection, claim, judged(chunk), cursor=chunk[-1].review_id)
    shards.accept(connection, claim)


def scoring_run(
    engine: Engine, idempotency_key: str = "run", *, scope: str = "new", model: str | None = None
) -> dict[str, Any]:
    """A whole run, each step in a transaction of its own; returns its row."""
    with database.writing(engine) as connection:
        run = open_planned_run(connection, idempotency_key, scope=scope, model=model)
    with database.writing(engine) as connection:
        answer(connection, run)
    with database.writing(engine) as connection:
        publication.audit(connection, run)
    with database.writing(engine) as connection:
        return publication.publish(connection, run, now=WEDNESDAY)


def rows(engine: Engine, table: sa.Table | str, *, order_by: str | None = None) -> list[dict[str, Any]]:
    """Every row of a table or view."""
    source = sa.table(table) if isinstance(table, str) else table
    statement = sa.select(sa.text("*")).select_from(source) if isinstance(table, str) else sa.select(table)
    if order_by is not None:
        statement = statement.order_by(sa.column(order_by))
    with database.reading(engine) as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]


def count(engine: Engine, table: sa.Table) -> int:
    return len(rows(engine, table))
