"""The sample of `make run`: made-up Chinese product reviews, from the vocabulary in sample.toml.

The reviews are of ten products and nine weeks. People have labelled all but the newest two weeks, with a few mistakes.
Three stories are in them: the delivery of one product goes wrong in the last two weeks, a new version of another one
mends its navigation, and one shop buys praise. `python -m local.sample FILE.csv` writes them to a file.
"""

import csv
import sys
import tomllib
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, Literal

Sense = Literal["good", "bad"]
Words = dict[str, Any]

ROWS, SEED = 4_400, 2026
FIRST_DAY = datetime(2026, 9, 21, tzinfo=timezone(timedelta(hours=8)))  # a Monday
DAYS, LATE_DAY, MENDED_DAY = 63, 49, 28
"""Days of reviews; the days from which the delivery of one product is late, and another product is mended."""
LABELLED_DAYS = LATE_DAY
"""The reviews of later days have no label. So people have labelled none of the late deliveries of that product."""
_NOT_LABELLED, _MISTAKEN = 0.02, 0.015  # shares of the reviews of the labelled days
_KINDS = {"plain": 47, "long": 12, "turn": 18, "aside": 8, "lukewarm": 4, "irony": 4, "terse": 7}  # per cent
_STARS: dict[str, dict[Sense, list[int]]] = {
    "plain": {"good": [5, 5, 5, 4], "bad": [1, 1, 1, 2]},
    "mixed": {"good": [5, 4, 4, 3], "bad": [1, 2, 2, 3]},
    "lukewarm": {"good": [3, 3, 4], "bad": [3, 3, 2]},
    "irony": {"good": [5, 5, 4, 4], "bad": [1, 1, 2, 5]},
}
_TYPO, _EMOJI, _UNPUNCTUATED = 0.08, 0.1, 0.12  # shares of the reviews


@dataclass(frozen=True, slots=True)
class Review:
    """One row of the sample, as its columns."""

    review: str
    label: str
    """``1`` positive, ``0`` negative, empty if nobody labelled it."""
    product: str
    created_at: str
    stars: int
    shop: str
    city: str


def write(file: Path, rows: int = ROWS, seed: int = SEED) -> Path:
    """Writes ``rows`` reviews to ``file`` as CSV, and returns it. The same seed and rows give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(Review.__slots__)
        writer.writerows([getattr(one, name) for name in Review.__slots__] for one in reviews(rows, seed))
    return file


def reviews(rows: int = ROWS, seed: int = SEED) -> list[Review]:
    """``rows`` reviews with different texts, the oldest first."""
    words = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    random = Random(seed)  # noqa: S311  no secret
    texts = _Grammar(words, random)
    found: dict[str, Review] = {}
    while len(found) < rows:
        one = _review(words, random, texts)
        found.setdefault(one.review, one)
    return sorted(found.values(), key=lambda one: one.created_at)


def _review(words: Words, random: Random, texts: "_Grammar") -> Review:
    """A review of a random product and day; that of a story, where there is one for them."""
    day = random.randrange(DAYS)
    product = random.choice(words["product"])
    shop = random.choice(words["shops"])
    sense: Sense = "good" if random.random() < product["good_share"] else "bad"
    kind, stars = "plain", 0
    late, mended, praise = (words["story"][name] for name in ("late", "mended", "praise"))
    luck = random.random()
    if random.random() < praise["share"]:
        product, shop, sense, stars = _named(words, praise["product"]), praise["shop"], "good", 5
        text = texts.praise()
    elif product["name"] == late["product"] and day >= LATE_DAY and luck < late["share"]:
        sense, text = "bad", texts.about(product, "bad", words["common"][late["aspect"]]["bad"])
    elif product["name"] == mended["product"] and day < MENDED_DAY and luck < mended["share_before"]:
        sense, text = "bad", texts.about(product, "bad", product["aspects"][mended["aspect"]]["bad"])
    elif product["name"] == mended["product"] and day >= MENDED_DAY and luck < mended["share_after"]:
        sense, text = "good", texts.about(product, "good", mended["after"])
    else:
        (kind,) = random.choices(list(_KINDS), list(_KINDS.values()))
        text = texts.text(kind, product, sense)
    kind = {"turn": "mixed", "aside": "mixed"}.get(kind, kind)
    moment = FIRST_DAY + timedelta(days=day, hours=random.triangular(6, 24, 21) % 24, seconds=random.randrange(60))
    return Review(
        review=text,
        label=_label(random, day, sense),
        product=product["name"],
        created_at=moment.isoformat(timespec="seconds"),
        stars=stars or random.choice(_STARS.get(kind, _STARS["plain"])[sense]),
        shop=shop,
        city=random.choice(words["cities"]),
    )


def _label(random: Random, day: int, sense: Sense) -> str:
    """What a person labelled the review as: seldom the wrong one, sometimes nothing."""
    mistaken, missing = random.random() < _MISTAKEN, random.random() < _NOT_LABELLED
    if day >= LABELLED_DAYS or missing:
        return ""
    return str(int((sense == "good") != mistaken))


def _named(words: Words, name: str) -> Words:
    (product,) = [one for one in words["product"] if one["name"] == name]
    return dict(product)


class _Grammar:
    """Makes texts of products, each of a sense: whether its writer is contented."""

    def __init__(self, words: Words, random: Random) -> None:
        self._words = words
        self._random = random

    def text(self, kind: str, product: Words, sense: Sense) -> str:
        """A text of one of ``_KINDS``."""
        made: str = getattr(self, f"_{kind}")(product, sense)
        return self._finished(made, sense, product)

    def about(self, product: Words, sense: Sense, clauses: list[str]) -> str:
        """A text about one of ``clauses``, alone, with another one, or after one of the opposite sense."""
        topic = self._pick(clauses)
        (other,) = self._aspects(product, 1)
        form = self._random.choice(["alone", "with another", "after the opposite"])
        if form == "after the opposite":
            made = self._pick(self._words["turn"]["contrast"]).format(x=self._pick(other[_opposite(sense)]), y=topic)
        else:
            made = self._opening() + topic + ("" if form == "alone" else "，" + self._pick(other[sense]))
        return self._finished(made + self._verdict(sense), sense, product)

    def praise(self) -> str:
        """A bought text."""
        story = self._words["story"]["praise"]
        return str(story["text"].format(**{part: self._random.choice(story[part]) for part in "abcde"}))

    def _plain(self, product: Words, sense: Sense) -> str:
        return self._opening() + self._list(product, sense, self._random.choice([1, 1, 2, 2, 2, 3]))

    def _long(self, product: Words, sense: Sense) -> str:
        """Why it was bought, two sentences, at times a clause of the opposite sense, and a verdict."""
        *aspects, last = self._aspects(product, self._random.choice([5, 6, 7, 8]))
        clauses = [self._pick(aspect[sense]) for aspect in aspects]
        middle = len(clauses) // 2
        made = self._pick(product["bought"]) + self._opening() + "，".join(clauses[:middle])
        made += "。" + "，".join(clauses[middle:]) + (self._aside_about(last, sense) if self._chance(0.3) else "")
        return made + "。" + self._pick(self._words["verdict"][sense])

    def _turn(self, product: Words, sense: Sense) -> str:
        kind = self._random.choice(["contrast", "correction"])
        first, second = self._aspects(product, 2)
        before = (first if kind == "contrast" else second)[_opposite(sense)]
        made = self._pick(self._words["turn"][kind])
        made = made.replace("{x}", self._pick(before)).replace("{y}", self._pick(second[sense]))
        return made + (self._verdict(sense) if self._chance(0.3) else "")

    def _aside(self, product: Words, sense: Sense) -> str:
        *aspects, last = self._aspects(product, 3)
        clauses = "，".join(self._pick(aspect[sense]) for aspect in aspects)
        return self._opening() + clauses + self._aside_about(last, sense)

    def _lukewarm(self, product: Words, sense: Sense) -> str:
        return "".join(self._pick(self._words["lukewarm"][part]) for part in ("begin", "middle", "end"))

    def _irony(self, product: Words, sense: Sense) -> str:
        return self._pick(self._words["irony"][sense])

    def _terse(self, product: Words, sense: Sense) -> str:
        made = self._pick(self._words["terse"][sense])
        return self._pick(["", "", product["name"], self._pick(product["called"])]) + made

    def _list(self, product: Words, sense: Sense, count: int) -> str:
        clauses = [self._pick(aspect[sense]) for aspect in self._aspects(product, count)]
        return "，".join(clauses) + self._verdict(sense)

    def _aside_about(self, aspect: Words, sense: Sense) -> str:
        made = self._pick(self._words["aside"][sense])
        return made.replace("{other}", self._pick(aspect[_opposite(sense)]))

    def _aspects(self, product: Words, count: int) -> list[Words]:
        """``count`` different aspects, of the product itself and some that all products have; at most 8."""
        own, common = list(product["aspects"].values()), list(self._words["common"].values())
        return self._random.sample([*own, *self._random.sample(common, max(2, count - len(own)))], count)

    def _opening(self) -> str:
        return self._pick(self._words["opening"]["any"]) if self._chance(0.35) else ""

    def _verdict(self, sense: Sense) -> str:
        return "，" + self._pick(self._words["verdict"][sense]) if self._chance(0.5) else ""

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _pick(self, texts: list[str]) -> str:
        return self._random.choice(texts)

    def _finished(self, made: str, sense: Sense, product: Words) -> str:
        """``made`` with its slots filled, the typing habits of its writer, and an end."""
        made = made.replace("{it}", product["called"][0]).replace("{use}", product["use"])
        for slot, values in (("{t}", self._words["periods"]), ("{who}", self._words["people"])):
            while slot in made:
                made = made.replace(slot, self._pick(values), 1)
        known = [(right, wrong) for right, wrong in self._words["typos"] if right in made]
        if known and self._chance(_TYPO):
            made = made.replace(*self._random.choice(known), 1)
        if self._chance(_UNPUNCTUATED):
            return made.replace("，", " ")
        if self._chance(_EMOJI):
            return made + self._pick(self._words["emoji"][sense]) * self._random.choice([1, 1, 3])
        return made + self._random.choice(["", "", "。", "！", "！！" if sense == "bad" else "～"])


def _opposite(sense: Sense) -> Sense:
    return "bad" if sense == "good" else "good"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
