import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from senti_tasks.corpus import snapshot
from senti_tasks.corpus.snapshot import Example
from senti_tasks.errors import CorpusError
from senti_tasks.labels import LabelSet
from senti_tasks.training import base_models
from tests.made_up_reviews import DUE, made_up_reviews, review, splits_in_turn

THREE = LabelSet(("negative", "neutral", "positive"))


def write_corpus(examples: list[Example], folder: Path, splits: dict[str, str] | None = None) -> dict[str, object]:
    tokenizer = base_models.load_tokenizer("scratch:tiny", ["房间很好，早餐也很好，很好"] * 3)
    both = (tokenizer, tokenizer)
    return snapshot.write(examples, splits or splits_in_turn(examples), {}, DUE, "scratch:tiny", both, folder, 16)


def test_blank_reviews_are_dropped_and_counted() -> None:
    examples, dropped = snapshot.clean([review(1, "房间很好"), review(2, " \u200b　"), review(3, "坏\0字")])
    assert [example.review_id for example in examples] == ["1"]
    assert dropped == {"label of an earlier text": 0, "blank": 2, "duplicate": 0, "contradicting labels": 0}


def test_a_label_of_an_earlier_text_is_set_aside_and_counted() -> None:
    examples, dropped = snapshot.clean([review(1, "房间很好"), replace(review(2, "又脏又吵"), label=None)])
    assert [example.review_id for example in examples] == ["1"]
    assert dropped["label of an earlier text"] == 1


def test_the_first_of_equal_texts_stays() -> None:
    examples, dropped = snapshot.clean([review(3, "房间很好！"), review(2, "房间很好"), review(1, "早餐不错")])
    assert [example.review_id for example in examples] == ["1", "2"]
    assert dropped["duplicate"] == 1


def test_a_text_with_both_labels_is_set_aside_whole() -> None:
    rows = [review(1, "还行吧", 1), review(2, "还行吧。", 0), review(3, "还行吧", 1), review(4, "很差", 0)]
    examples, dropped = snapshot.clean(rows)
    assert [example.review_id for example in examples] == ["4"]
    assert dropped["contradicting labels"] == 3


def test_the_order_of_arrival_in_the_call_changes_nothing() -> None:
    rows = made_up_reviews(40)
    assert snapshot.clean(rows) == snapshot.clean(reversed(rows))


def test_texts_are_normalised() -> None:
    examples, _ = snapshot.clean([review(1, "  房间\n\n很好 \u0007")])
    assert examples[0].text == "房间 很好"


def test_the_same_reviews_give_the_same_bytes(tmp_path: Path) -> None:
    examples, _ = snapshot.clean(made_up_reviews(60))
    for name in ("one", "two"):
        write_corpus(examples, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["summary.json", "test.parquet", "train.parquet", "validation.parquet"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_summary_counts_rows_labels_and_tokens(tmp_path: Path) -> None:
    examples, _ = snapshot.clean([*made_up_reviews(60), review(900, "龘" * 30, 1), review(901, "房间很好" * 8, 0)])
    summary = write_corpus(examples, tmp_path)
    assert summary["rows"] == {"train": 38, "validation": 12, "test": 12}
    assert summary["labels"]["test"] == {"negative": 6, "positive": 6}  # type: ignore[index]
    tokens = summary["tokens"]
    assert tokens["lengths"]["max"] == 47  # type: ignore[index]
    assert 0 < tokens["unknown_share"] < 1  # type: ignore[index]
    assert 0 < tokens["over_max_length_share"] < 1  # type: ignore[index]
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == summary


def test_a_loaded_corpus_holds_what_was_written(tmp_path: Path) -> None:
    examples, _ = snapshot.clean(made_up_reviews(60))
    write_corpus(examples, tmp_path)
    loaded = snapshot.load(tmp_path)
    assert {split: part.num_rows for split, part in loaded.items()} == {"train": 36, "validation": 12, "test": 12}
    first = loaded["train"][0]
    assert (first["text"], first["label"]) == (examples[0].text, examples[0].label)
    assert first["created_at"] == examples[0].created_at


def test_newer_data_in_the_same_folder_is_what_the_next_load_sees(tmp_path: Path) -> None:
    for rows in (60, 80):
        examples, _ = snapshot.clean(made_up_reviews(rows))
        write_corpus(examples, tmp_path)
        longer = snapshot.load(tmp_path).map(lambda row: {"length": len(row["text"])})
        assert sum(part.num_rows for part in longer.values()) == rows
        assert not any(part.cache_files for part in longer.values())


def test_no_labelled_reviews_is_an_error_that_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no review has a label yet, .*: import labels with senti import FILE"):
        write_corpus([], tmp_path)


def test_reviews_of_one_class_are_an_error_that_names_it(tmp_path: Path) -> None:
    examples, _ = snapshot.clean([one for one in made_up_reviews(60) if one.label == 1])
    with pytest.raises(CorpusError, match="none of the 30 labelled reviews is negative: a classifier learns from"):
        write_corpus(examples, tmp_path)


def test_a_label_of_the_set_that_nobody_gave_is_an_error_that_names_it() -> None:
    examples, _ = snapshot.clean(made_up_reviews(60))
    with pytest.raises(CorpusError, match=r"none of the 60 .* is positive: .* \(negative,neutral,positive\)"):
        snapshot.check(examples, splits_in_turn(examples), THREE)


def test_a_label_outside_the_set_is_an_error_that_names_its_review() -> None:
    examples, _ = snapshot.clean([*made_up_reviews(60), review(900, "一般般", 2)])
    with pytest.raises(CorpusError, match=r"review 900 has the label 2, and SENTI_LABELS has 0 to 1"):
        snapshot.check(examples, splits_in_turn(examples))


def test_a_corpus_says_what_its_labels_are_called(tmp_path: Path) -> None:
    rows = [*made_up_reviews(60), *(review(900 + n, f"一般般，第{n}次来", 2) for n in range(30))]
    rows = [replace(one, label={0: 0, 1: 2, 2: 1}[one.label or 0]) for one in rows]
    examples, _ = snapshot.clean(rows)
    tokenizer = base_models.load_tokenizer("scratch:tiny", ["房间很好，早餐也很好，很好"] * 3)
    summary = snapshot.write(
        examples, splits_in_turn(examples), {}, DUE, "scratch:tiny", (tokenizer,) * 2, tmp_path, label_set=THREE
    )
    assert summary["labels"]["test"] == {"negative": 6, "neutral": 6, "positive": 6}
    assert snapshot.label_set(tmp_path) == THREE


def test_a_folder_without_a_summary_is_not_a_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"summary\.json is not a part of a corpus snapshot"):
        snapshot.label_set(tmp_path)


def test_ten_reviews_are_an_error_that_says_how_many_it_takes_and_writes_nothing(tmp_path: Path) -> None:
    examples, _ = snapshot.clean(made_up_reviews(10))
    with pytest.raises(CorpusError, match="10 labelled reviews: at least about 60 are needed") as caught:
        write_corpus(examples, tmp_path / "new", {example.content_hash: "train" for example in examples})
    assert "the test split has no negative review" in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_rare_class_asks_for_more_of_it(tmp_path: Path) -> None:
    rows = [one for one in made_up_reviews(200) if one.label == 1] + [review(999, "太吵了", 0)]
    examples, _ = snapshot.clean(rows)
    with pytest.raises(CorpusError, match="101 labelled reviews: at least about 3030 are needed"):
        write_corpus(examples, tmp_path)


def test_a_missing_part_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"train\.parquet is not a part of a corpus snapshot"):
        snapshot.load(tmp_path)


def test_reviews_of_one_time_are_ordered_by_id() -> None:
    rows = [review(5, "早餐好"), review(4, "前台好")]
    same = [type(one)(one.review_id, one.text, one.label, None, DUE - timedelta(days=1)) for one in rows]
    assert [example.review_id for example in snapshot.clean(same)[0]] == ["4", "5"]
