"""A model that a cheap one can stand in for, and reviews enough to show it."""

import random
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import torch
from sqlalchemy import Engine
from transformers import BertConfig, BertForSequenceClassification

from senti_tasks import labels
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.corpus.near_duplicates import shingles
from senti_tasks.scoring import loading
from senti_tasks.scoring.cascades.layout import Stage
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training import cascades
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora
from senti_tasks.warehouse.schema import model_variants
from tests import candidates
from tests.candidates import VERSION as VERSION
from tests.made_up_reviews import made_up_reviews
from tests.situations import MONDAY, add_model, add_reviews, promote

GENERATED = 2_600
"""Reviews that nobody labelled."""
FEW: dict[str, Any] = {
    "agreement_rows": 600, "threshold_rows": 600, "calibration_rows": 20, "student_texts": 1_000,
    "max_disagreement": 0.05,
}  # fmt: skip

_THINGS = ["房间", "早餐", "前台", "位置", "电池", "屏幕", "外卖", "包装", "情节", "印刷", "服务", "价格"]
_GOOD = ["很干净", "非常满意", "味道好", "热情周到", "物超所值", "推荐", "不错", "挺好"]
_BAD = ["太脏了", "非常失望", "味道差", "态度恶劣", "不值", "再也不来", "很糟", "太差"]
_NEITHER = ["一般", "还行吧", "说不上", "就那样"]


def reviews(number: int, seed: int = 1) -> list[str]:
    """Reviews of several parts, with as many words of both kinds as people use: some are hard to call."""
    draw = random.Random(seed)  # noqa: S311
    texts = []
    for index in range(number):
        words = draw.choices([_GOOD, _BAD], k=2) if draw.random() < 0.3 else [draw.choice([_GOOD, _BAD])] * 2
        parts = [f"{draw.choice(_THINGS)}{draw.choice(kind)}" for kind in (*words, draw.choice([_NEITHER, words[0]]))]
        texts.append("，".join(parts) + f"。{index}")
    return texts


def build_teacher(folder: Path) -> Path:
    """Saves a BERT of one layer that was trained for some seconds to tell the two kinds of words apart."""
    texts = reviews(600, seed=2)
    truth = [int(sum(word in text for word in _GOOD) > sum(word in text for word in _BAD)) for text in texts]
    tokenizer = build_tokenizer([*texts, *(one.text for one in made_up_reviews(100))], 64)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=len(tokenizer),
        max_position_embeddings=64, pad_token_id=tokenizer.pad_token_id, id2label=labels.DEFAULT.names,
        label2id=labels.DEFAULT.numbers,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(2026)
        model = BertForSequenceClassification(config)
        optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
        encoded = tokenizer(texts, padding=True, return_tensors="pt")
        for step in range(90):
            part = torch.arange(step * 40, step * 40 + 40) % len(texts)
            loss = model(
                input_ids=encoded["input_ids"][part],
                attention_mask=encoded["attention_mask"][part],
                labels=torch.tensor(truth)[part],
            ).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    found = loading.load(folder, device="cpu").predict(texts).labels
    assert (found == truth).mean() > 0.9, "the model learnt nothing"
    assert TextTokenizer.load(folder).max_length == 64
    return folder


def candidate_with_reviews(engine: Engine, home: Path, teacher: Path, number: int = GENERATED) -> str:
    """Registers ``teacher`` as a trained model that was not judged yet, with its corpus; and adds the reviews."""
    examples, splits = candidates.register(engine, home, teacher)
    with database.writing(engine) as connection:
        held_out = {one.content_hash: splits[one.content_hash] for one in examples}
        known = {one.content_hash: shingles(one.text).tobytes() for one in examples}
        corpora.record_splits(connection, held_out, shingles=known, now=MONDAY)
        add_reviews(connection, dict(enumerate(reviews(number), start=1)))
    return VERSION


def deploy_cascade(
    engine: Engine, home: Path, teacher: Path, thresholds: tuple[float | None, float | None], share: float = 0.9
) -> str:
    """Registers ``teacher`` with a cascade that serves, and promotes it. Its student learnt from 300 reviews, and
    answers what ``thresholds`` say. ``share`` is the escalated share that is expected; with 0.9, chunks are not
    larger. Returns the version."""
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    artifact, digest = store.put(teacher, "models", VERSION)
    folder = home / "cascade"
    shutil.rmtree(folder, ignore_errors=True)
    learnt = reviews(300, seed=3)
    taught = loading.load(teacher, device="cpu").predict(learnt)
    assert cascades.fit_student(learnt, taught, labels.DEFAULT, (learnt, taught.labels), folder) is not None
    last = Stage(cascades.TEACHER, "scratch:tiny", "fp32", 1.0)
    made = cascades.assemble(folder, cascades.student_stage(1.0, thresholds), last, teacher, share)
    built, its_digest = store.put(folder, "variants", f"{VERSION}-cascade")
    row = {"variant": "cascade", "verdict": "proven", "reason": "演示", "library": "scikit-learn", "temperature": 1.0}
    row |= {"artifact": built, "digest": its_digest, "serves": True, "disagreement_limit": 0.005, "agreement": 1.0}
    row |= {"stages": asdict(made)["stages"], "escalated_share": share}
    with database.writing(engine) as connection:
        add_model(connection, VERSION, artifact=artifact, checksum=digest)
        connection.execute(sa.update(model_variants).values(serves=False))
        connection.execute(sa.insert(model_variants), {"model_version": VERSION, **row})
        promote(connection, VERSION)
    return VERSION
