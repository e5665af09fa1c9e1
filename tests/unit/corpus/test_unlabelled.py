"""What an encoder may learn from: never a text that judges a model."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from senti_tasks.corpus import unlabelled
from senti_tasks.corpus.erasure import holds
from senti_tasks.corpus.near_duplicates import NearDuplicates, shingles
from senti_tasks.corpus.splits import split_of
from senti_tasks.corpus.unlabelled import Selection
from senti_tasks.errors import CorpusError
from senti_tasks.text import content_hash
from tests.made_up_reviews import made_up_reviews, of_split


def unlike(texts: list[str]) -> list[str]:
    """``texts`` without those that resemble an earlier one."""
    known = NearDuplicates()
    for one in texts:
        if not known.matches(shingles(one)):
            known.add(one, shingles(one))
    return [one for one in texts if known.matches(shingles(one)) == [one]]


TEXTS = unlike([review.text for review in made_up_reviews(300)])
LONG = (
    "这家酒店的房间很干净，早餐也非常丰富，前台热情周到，位置离地铁站很近，出行方便，下次来还会选择这里，推荐给大家。"
)
SAME_BUT_FOR_ONE = LONG.replace("丰富", "丰盛")


def offered(
    texts: list[str | None], ledger: Mapping[str, str] | None = None, judges: tuple[str, ...] = (), limit: int = 10**6
) -> Selection:
    """A selection to which ``texts`` were offered in chunks of seven."""
    near = NearDuplicates()
    for one in judges:
        near.add(content_hash(one), shingles(one))
    selection = Selection(near, limit)
    known = {content_hash(one): split for one, split in (ledger or {}).items()}
    for start in range(0, len(texts), 7):
        chunk = [(str(number), one) for number, one in enumerate(texts[start : start + 7], start)]
        selection.offer(chunk, lambda keys: {key: known[key] for key in keys if key in known})
    return selection


def kept(selection: Selection) -> list[str]:
    return [one.text for one in selection.result()[0]]


def counts(selection: Selection) -> dict[str, int]:
    return selection.result()[1]


def in_training(texts: list[str]) -> list[str]:
    return [one for one in texts if split_of(content_hash(one)) == "train"]


def test_texts_that_would_judge_a_model_once_labelled_are_left_out() -> None:
    selection = offered([*TEXTS])
    assert kept(selection) == in_training(TEXTS) != TEXTS
    assert counts(selection)["held out"] == len(TEXTS) - len(kept(selection))


@pytest.mark.parametrize("split", ["validation", "test", "set_aside"])
def test_the_ledger_decides_for_the_texts_that_it_knows(split: str) -> None:
    train = in_training(TEXTS)
    other = next(one for one in TEXTS if one not in train)
    assert kept(offered([*TEXTS], {train[0]: split})) == train[1:]
    assert set(kept(offered([*TEXTS], {other: "train"}))) == {*train, other}


def test_near_duplicates_of_what_judges_a_model_are_left_out() -> None:
    ledger = {SAME_BUT_FOR_ONE: "train", LONG: "test"}
    assert kept(offered([SAME_BUT_FOR_ONE], ledger)) == [SAME_BUT_FOR_ONE]
    selection = offered([SAME_BUT_FOR_ONE, LONG], ledger, judges=(LONG,))
    assert kept(selection) == []
    assert (counts(selection)["near-duplicate of held out"], counts(selection)["held out"]) == (1, 1)


def test_near_duplicates_of_what_would_judge_a_model_once_labelled_are_left_out_whichever_comes_first() -> None:
    judge, follower = of_split("test", LONG), of_split("train", LONG)
    for texts in ([judge, follower], [follower, judge]):
        selection = offered([*texts])
        assert kept(selection) == []
        assert (counts(selection)["near-duplicate of held out"], counts(selection)["held out"]) == (1, 1)


def test_a_text_is_learnt_from_once_and_one_that_cannot_be_scored_never() -> None:
    one = in_training(TEXTS)[0]
    selection = offered([one, f" {one}！", None, "", "\x07", one])
    assert kept(selection) == [one]
    assert counts(selection) == {
        "read": 6,
        "blank": 3,
        "duplicate": 2,
        "held out": 0,
        "near-duplicate of held out": 0,
        "kept": 1,
    }


def test_no_more_texts_are_kept_than_asked_for() -> None:
    selection = offered([*TEXTS], limit=10)
    assert kept(selection) == in_training(TEXTS)[:10]
    assert selection.is_full


def test_text_snapshots_are_parted_by_their_keys(tmp_path: Path) -> None:
    selection = offered([*TEXTS])
    for name, offers in (("first", TEXTS), ("again", TEXTS), ("more", [*TEXTS, LONG])):
        unlabelled.write(offered([*offers], {LONG: "train"}), tmp_path / name)
    first, again = ((tmp_path / name / unlabelled.FILE).read_bytes() for name in ("first", "again"))
    assert first == again
    train, held_out = unlabelled.load(tmp_path / "first", 0.2)
    assert sorted(train + held_out) == sorted(kept(selection))
    assert 0.1 < len(held_out) / len(kept(selection)) < 0.3
    assert set(held_out) <= set(unlabelled.load(tmp_path / "more", 0.2)[1]), "what is held out once always is"
    assert len(unlabelled.load(tmp_path / "first", 1e-9)[1]) == 1
    assert unlabelled.counts(tmp_path / "first") == counts(selection)


def test_too_few_texts_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"needs 2 texts .* of 0 reviews 0 may be used"):
        unlabelled.write(offered([]), tmp_path)
    with pytest.raises(CorpusError, match="holds no text snapshot: make it again"):
        unlabelled.load(tmp_path, 0.02)


# Erasure


def snapshot(folder: Path, texts: list[str]) -> Path:
    """A snapshot of ``texts`` under the review_ids 0, 1, …"""
    unlabelled.write(offered([*texts], dict.fromkeys(texts, "train")), folder)
    return folder


def left(folder: Path) -> set[str]:
    train, held_out = unlabelled.load(folder, 0.1)
    return {*train, *held_out}


def test_erased_texts_are_found_by_the_review_that_they_were_taken_from(tmp_path: Path) -> None:
    texts = ["很好吃", "太咸了", "还不错", "很好吃！"]
    folder = snapshot(tmp_path / "texts", texts)
    assert unlabelled.without(folder, {"3", "99"}, tmp_path / "rest") is None, "another review has it"
    assert not (tmp_path / "rest").exists()
    found = unlabelled.without(folder, {"0"}, tmp_path / "rest")
    assert left(tmp_path / "rest") == {"太咸了", "还不错"}
    assert found is not None
    assert found == unlabelled.counts(tmp_path / "rest")
    assert (found["read"], found["kept"], found["erased"]) == (4, 2, 1)
    again = unlabelled.without(tmp_path / "rest", {"1"}, tmp_path / "last")
    assert again is not None
    assert (again["kept"], again["erased"]) == (1, 2)
    with pytest.raises(CorpusError, match=r"1 texts are left in .*, the others were erased: make a new snapshot"):
        unlabelled.load(tmp_path / "last", 0.1)


def test_a_row_of_an_erased_review_is_found_in_any_folder(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "texts", ["很好吃", "太咸了"])
    assert holds(tmp_path, {"1"})
    assert not holds(tmp_path, {"2"})
    assert not holds(tmp_path, set())
    (folder / "half.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match=r"half\.parquet cannot be read"):
        holds(tmp_path, {"2"})
