"""Made-up reviews that several tests read."""

import random
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from senti_tasks.corpus import snapshot
from senti_tasks.corpus.snapshot import Example, LabelledReview
from senti_tasks.corpus.splits import split_of
from senti_tasks.text import content_hash
from senti_tasks.training import base_models

DUE = datetime(2026, 3, 1, tzinfo=UTC)

_THINGS = ["房间", "早餐", "前台", "位置", "电池", "屏幕", "外卖", "包装", "情节", "印刷"]
_WORDS = {
    1: ["很干净", "非常满意", "味道好", "热情周到", "物超所值", "推荐购买"],
    0: ["太脏了", "非常失望", "味道差", "态度恶劣", "不值这个价", "再也不来"],
}


def review(number: int, text: str, label: int = 1) -> LabelledReview:
    return LabelledReview(str(number), text, label, None, DUE - timedelta(days=90) + timedelta(minutes=number))


def made_up_reviews(rows: int) -> list[LabelledReview]:
    """Reviews that say what they mean, half of them positive, each text once."""
    draw = random.Random(7)  # noqa: S311
    texts: dict[str, int] = {}
    while len(texts) < rows:
        label = len(texts) % 2
        things, words = draw.sample(_THINGS, 2), draw.sample(_WORDS[label], 2)
        texts[f"{things[0]}{words[0]}，{things[1]}{words[1]}。" * draw.randint(1, 3)] = label
    return [review(number, text, label) for number, (text, label) in enumerate(texts.items())]


def splits_in_turn(examples: list[Example]) -> dict[str, str]:
    """Six in ten pairs of rows to train, two to validation, two to test."""
    parts = ("train", "train", "train", "validation", "test")
    return {example.content_hash: parts[number // 2 % 5] for number, example in enumerate(examples)}


def of_split(split: str, text: str, start: int = 0) -> str:
    """``text`` with a number behind it, the first from ``start`` on with which the hash puts it into ``split``."""
    return next(spelt for n in count(start) if split_of(content_hash(spelt := f"{text}{n}")) == split)


def write_corpus(examples: list[Example], splits: dict[str, str], dropped: dict[str, int], folder: Path) -> Path:
    """Writes a corpus snapshot of them for ``scratch:tiny`` into ``folder``, and returns it."""
    texts = [example.text for example in examples if splits[example.content_hash] == "train"]
    tokenizer = base_models.load_tokenizer("scratch:tiny", texts)
    snapshot.write(examples, splits, dropped, DUE, "scratch:tiny", (tokenizer, tokenizer), folder)
    return folder
