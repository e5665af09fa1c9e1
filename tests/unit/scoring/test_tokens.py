"""Texts to ids: a table of characters gives those of the tokenizers library, and long texts keep head and tail."""

import gzip
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel, WordPiece
from transformers import AutoTokenizer, PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring.characters import CharacterTable
from senti_tasks.scoring.tokens import HEAD_TOKENS, TextTokenizer
from senti_tasks.text import normalise
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, fit_to_vocabulary
from tests.situations import MODEL_LENGTH, PHRASES
from tests.unit.scoring.rows import rows_of, tokens_of
from tests.unit.scoring.texts import HARD, random_texts

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
UNCUT = 1_000_000


def built() -> Tokenizer:
    """That of ``scratch:*``, before it is fitted."""
    return build_tokenizer(
        [*PHRASES, *PHRASES, "“很好”《书》", "“很好”《书》", "ラー𠮷", "ラー𠮷"], 64
    ).backend_tokenizer


def built_and_fitted() -> Tokenizer:
    """Without curly quotes in its vocabulary, and so with a table that makes them plain."""
    return fit_to_vocabulary(build_tokenizer([*PHRASES, *PHRASES, '"-', '"-'], 64)).backend_tokenizer


def shipped() -> Tokenizer:
    """One like that of bert-base-chinese: it does not lower-case, and knows characters as parts of words too."""
    characters = sorted({character for text in PHRASES for character in text})
    plain = ["”", *"0123456789abcdefghilmnopwxyz,.!?-'\"()①—…ー", "wi", "hotel", "20", "iphone"]
    words = ["##fi", "##26", "##13", *(f"##{one}" for one in [*characters, *"0123456789abcdefxyz"])]
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *characters, *plain, *words])}
    backend = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    backend.add_special_tokens(SPECIAL)
    return backend


def shipped_and_fitted() -> Tokenizer:
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=shipped(), **special)  # type: ignore[no-untyped-call]
    return fit_to_vocabulary(wrapped).backend_tokenizer


def with_added_tokens() -> Tokenizer:
    backend = built()
    backend.add_tokens(
        ["性价比", "好评", AddedToken("差", single_word=True), AddedToken("<店>", lstrip=True, rstrip=True)]
    )
    return backend


OF_BERTS_KIND = [built, built_and_fitted, shipped, shipped_and_fitted]


def words_of_white_space() -> Tokenizer:
    """A tokenizer that is not of BERT's kind: a word is what stands between blanks."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "房间", "很好", "太小", "，", "iPhone13"]
    backend = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return backend


def ids_of_the_library(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch_fast([normalise(text) for text in texts])]


def in_parts(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[start : start + size] for start in range(0, len(texts), size))


def ids(encoder: TextTokenizer, *texts: str) -> list[list[int]]:
    return rows_of(encoder.encode(texts))


# The table of characters


@pytest.fixture(params=[*OF_BERTS_KIND, with_added_tokens], ids=lambda make: make.__name__)
def of_berts_kind(request: pytest.FixtureRequest) -> Tokenizer:
    tokenizer: Tokenizer = request.param()
    return tokenizer


@pytest.mark.parametrize("make", OF_BERTS_KIND)
def test_a_tokenizer_of_berts_kind_has_a_table(make: Any) -> None:
    assert CharacterTable.of(make()) is not None


@pytest.mark.parametrize("make", [built_and_fitted, shipped_and_fitted])
def test_fitted_tokenizers_replace_characters(make: Any) -> None:
    tokenizer = make()
    assert "Precompiled" in tokenizer.to_str()
    assert ids(TextTokenizer(tokenizer, UNCUT), "＂好＂") == ids(TextTokenizer(tokenizer, UNCUT), '"好"')


def test_hard_texts_get_the_ids_of_the_library_together(of_berts_kind: Tokenizer) -> None:
    expected = dict(zip(HARD, ids_of_the_library(of_berts_kind, HARD), strict=True))
    assert dict(zip(HARD, ids(TextTokenizer(of_berts_kind, UNCUT), *HARD), strict=True)) == expected


def test_hard_texts_get_the_ids_of_the_library_one_by_one(of_berts_kind: Tokenizer) -> None:
    encoder = TextTokenizer(of_berts_kind, UNCUT)
    found = {text: ids(encoder, text)[0] for text in HARD}
    assert found == dict(zip(HARD, ids_of_the_library(of_berts_kind, HARD), strict=True))


def test_random_texts_get_the_ids_of_the_library(of_berts_kind: Tokenizer) -> None:
    texts = random_texts(3_000, seed=2026)
    expected = dict(zip(texts, ids_of_the_library(of_berts_kind, texts), strict=True))
    assert dict(zip(texts, ids(TextTokenizer(of_berts_kind, UNCUT), *texts), strict=True)) == expected


def test_a_table_that_has_learnt_reads_on_as_the_library_does(of_berts_kind: Tokenizer) -> None:
    encoder = TextTokenizer(of_berts_kind, UNCUT)
    for texts in in_parts(random_texts(500, seed=7), 25):
        assert ids(encoder, *texts) == ids_of_the_library(of_berts_kind, texts)


def test_any_character_gets_the_ids_of_the_library_between_others() -> None:
    """Every 97th character there is: beside Han characters, letters, digits, punctuation and itself."""
    tokenizer = shipped_and_fitted()
    characters = [chr(code) for code in range(0, 0x11_0000, 97) if not 0xD800 <= code < 0xE000]
    texts = [f"好{one}好a{one} b{one}{one}1，{one}x{one}" for one in characters]
    expected = dict(zip(texts, ids_of_the_library(tokenizer, texts), strict=True))
    assert dict(zip(texts, ids(TextTokenizer(tokenizer, UNCUT), *texts), strict=True)) == expected


def test_words_are_dropped_when_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CharacterTable, "_WORDS_KEPT", 10)
    tokenizer = built()
    encoder = TextTokenizer(tokenizer, UNCUT)
    for texts in in_parts([f"房间{number}很好wifi{number % 7}" for number in range(200)], 20):
        assert ids(encoder, *texts) == ids_of_the_library(tokenizer, texts)


@pytest.mark.parametrize("text", ["WiFi好", "wifi好", "ＷｉＦｉ好", "WiFi 好", "性价⽐很好", "很性价比"])
def test_added_tokens_are_found_in_what_normalising_makes_of_a_text(text: str) -> None:
    tokenizer = built_and_fitted()
    tokenizer.add_tokens(["wifi好", "性价比"])
    assert ids(TextTokenizer(tokenizer, UNCUT), text) == ids_of_the_library(tokenizer, [text])


def test_no_texts_have_no_tokens() -> None:
    tokens = TextTokenizer(built(), UNCUT).encode([])
    assert (tokens.ids.tolist(), tokens.offsets.tolist(), tokens.truncated.tolist()) == ([], [0], [])


@pytest.mark.parametrize("make", [built, words_of_white_space])
def test_ids_and_offsets_have_the_types_they_say(make: Any) -> None:
    tokens = TextTokenizer(make(), UNCUT).encode(["房间很好", "😊", "a"])
    kinds = [column.dtype.name for column in (tokens.ids, tokens.offsets, tokens.truncated)]
    assert kinds == ["int32", "int64", "bool"]


def test_a_tokenizer_of_another_kind_is_left_to_the_library() -> None:
    tokenizer = words_of_white_space()
    texts = ["房间 很好 ， iPhone13", "房间很好", "", "😊 太小", *HARD, *random_texts(200, seed=3)]
    assert CharacterTable.of(tokenizer) is None
    assert ids(TextTokenizer(tokenizer, UNCUT), *texts) == ids_of_the_library(tokenizer, texts)


def test_a_tokenizer_with_other_special_tokens_is_left_to_the_library() -> None:
    tokenizer = built()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    assert CharacterTable.of(tokenizer) is None
    assert ids(TextTokenizer(tokenizer, UNCUT), "房间很好", "", "😊") == ids_of_the_library(
        tokenizer, ["房间很好", "", "😊"]
    )


def test_padding_and_truncation_of_the_tokenizer_play_no_part() -> None:
    tokenizer = built()
    plain = ids(TextTokenizer(tokenizer, UNCUT), "房间太小", "好")
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(4)
    assert ids(TextTokenizer(tokenizer, UNCUT), "房间太小", "好") == plain
    assert None not in (tokenizer.padding, tokenizer.truncation)  # its own are left alone


@pytest.mark.skipif("SENTI_REAL_DATA" not in os.environ, reason="SENTI_REAL_DATA does not point to the real files")
@pytest.mark.parametrize("is_fitted", [True, False])
def test_real_reviews_get_the_ids_of_the_library(is_fitted: bool) -> None:
    folder = Path(os.environ["SENTI_REAL_DATA"])
    loaded: Any = AutoTokenizer.from_pretrained(folder / "bert-base-chinese")
    tokenizer = (fit_to_vocabulary(loaded) if is_fitted else loaded).backend_tokenizer
    encoder = TextTokenizer(tokenizer, UNCUT)
    reviews = gzip.decompress((folder / "unlabelled.txt.gz").read_bytes()).decode("utf-8").split("\n")
    assert len(reviews) > 90_000
    for texts in in_parts(reviews, 10_000):
        compared = zip(texts, ids_of_the_library(tokenizer, texts), ids(encoder, *texts), strict=True)
        assert not [text for text, expected, found in compared if expected != found]


# What is cut from a long text

CLS, SEP = 2, 3
ALPHABET = "abcdefghijklmnopqrst"


@pytest.fixture(params=["table", "library"])
def letters(request: pytest.FixtureRequest) -> Tokenizer:
    """A tokenizer to which a letter between blanks is a token: a is 4, b is 5, and so on."""
    vocabulary = {token: number for number, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *ALPHABET])}
    kinds: dict[str, Any] = {"table": WordPiece, "library": WordLevel}
    backend = Tokenizer(kinds[request.param](vocabulary, unk_token="[UNK]"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    return backend


def spaced(letters: str) -> str:
    return " ".join(letters)


def between_special_tokens(letters: str) -> list[int]:
    return [CLS, *(4 + ALPHABET.index(letter) for letter in letters), SEP]


@pytest.mark.parametrize(
    ("head_tokens", "kept"),
    [(None, "abcdefgh"), (3, "abcpqrst"), (1, "anopqrst"), (0, "mnopqrst"), (8, "abcdefgh"), (500, "abcdefgh")],
)
def test_a_long_text_keeps_its_head_and_its_tail(head_tokens: int | None, kept: str, letters: Tokenizer) -> None:
    tokens = TextTokenizer(letters, 10, head_tokens).encode([spaced(ALPHABET)])
    assert rows_of(tokens) == [between_special_tokens(kept)]
    assert tokens.truncated.tolist() == [True]


@pytest.mark.parametrize("head_tokens", [None, 0, 3, 8, 500])
@pytest.mark.parametrize("length", [0, 1, 7, 8])
def test_a_text_that_fits_is_untouched(length: int, head_tokens: int | None, letters: Tokenizer) -> None:
    tokens = TextTokenizer(letters, 10, head_tokens).encode([spaced(ALPHABET[:length])])
    assert rows_of(tokens) == [between_special_tokens(ALPHABET[:length])]
    assert tokens.truncated.tolist() == [False]


@pytest.mark.parametrize(("head_tokens", "kept"), [(None, "abcdefgh"), (3, "abcefghi")])
def test_a_text_of_one_token_too_many_loses_one(head_tokens: int | None, kept: str, letters: Tokenizer) -> None:
    assert ids(TextTokenizer(letters, 10, head_tokens), spaced("abcdefghi")) == [between_special_tokens(kept)]


@pytest.mark.parametrize(("head_tokens", "kept"), [(None, "abcdefgh"), (3, "abcpqrst")])
def test_the_neighbours_of_a_long_text_are_untouched(head_tokens: int | None, kept: str, letters: Tokenizer) -> None:
    short, long = spaced("abc"), spaced(ALPHABET)
    tokens = TextTokenizer(letters, 10, head_tokens).encode([long, short, "", long, long, short])
    assert tokens.truncated.tolist() == [True, False, False, True, True, False]
    cut, whole = between_special_tokens(kept), between_special_tokens("abc")
    assert rows_of(tokens) == [cut, whole, [CLS, SEP], cut, cut, whole]
    assert tokens.lengths.tolist() == [10, 5, 2, 10, 10, 5]


def test_a_model_may_read_no_more_than_the_special_tokens(letters: Tokenizer) -> None:
    assert ids(TextTokenizer(letters, 2), spaced("abc"), "") == [[CLS, SEP], [CLS, SEP]]


@pytest.mark.parametrize(
    ("special", "kept", "short"),
    [
        (None, [4, 5, 6, 7, 8], [4, 5]),
        ("[CLS] $A", [CLS, 4, 5, 6, 7], [CLS, 4, 5]),
        ("$A [SEP]", [4, 5, 6, 7, SEP], [4, 5, SEP]),
    ],
)
def test_tokenizers_with_fewer_special_tokens_cut_as_well(
    special: str | None, kept: list[int], short: list[int], letters: Tokenizer
) -> None:
    letters.post_processor = processors.TemplateProcessing(  # $A alone is what a decoder's tokenizer has
        single=special or "$A", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
    )
    assert ids(TextTokenizer(letters, 5), spaced("abcdefgh"), spaced("ab")) == [kept, short]


# Rows


def test_rows_are_taken_in_the_order_asked_for() -> None:
    tokens = tokens_of([[1, 2, 3], [], [4], [5, 6]])
    taken = tokens.take(np.array([3, 0, 1, 3]))
    assert rows_of(taken) == [[5, 6], [1, 2, 3], [], [5, 6]]
    assert taken.lengths.tolist() == [2, 3, 0, 2]
    assert rows_of(tokens.take(np.array([], dtype=np.int64))) == []


def test_a_row_that_is_taken_keeps_its_flag() -> None:
    tokens = TextTokenizer(built(), 6).encode(["好", "很好" * 9, "差"])
    assert tokens.take(np.array([1, 2])).truncated.tolist() == [True, False]


# A saved model's


def changed(folder: Path, file: str, **fields: Any) -> Path:
    """``folder``, with these fields of a JSON file set; ``None`` leaves a field out."""
    values = json.loads((folder / file).read_text("utf-8")) | fields
    kept = {name: value for name, value in values.items() if value is not None}
    (folder / file).write_text(json.dumps(kept), encoding="utf-8")
    return folder


@pytest.fixture
def saved(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.mark.parametrize(
    ("tokenizer_says", "model_says", "length"),
    [(64, 64, 64), (32, 64, 32), (512, 48, 48), (int(1e30), 64, 64), (None, 64, 64), (600, None, 512), (40, None, 40)],
)
def test_a_saved_model_reads_as_much_as_tokenizer_and_model_allow(
    tokenizer_says: int | None, model_says: int | None, length: int, saved: Path
) -> None:
    changed(saved, "tokenizer_config.json", model_max_length=tokenizer_says)
    encoder = TextTokenizer.load(changed(saved, "config.json", max_position_embeddings=model_says))
    assert encoder.max_length == length
    assert encoder.encode(["很好" * 1_000]).lengths.tolist() == [length]


def test_a_saved_model_says_how_much_of_the_head_is_kept(saved: Path) -> None:
    text = "很" * 100 + "好" * 100
    (first, *head, last) = ids(TextTokenizer.load(saved), text)[0]
    assert len(set(head)) == 1
    (same_first, *both, same_last) = ids(TextTokenizer.load(changed(saved, "config.json", **{HEAD_TOKENS: 20})), text)[
        0
    ]
    assert (same_first, same_last) == (first, last)
    assert [both.index(both[-1]), len(both)] == [20, MODEL_LENGTH - 2]


@pytest.mark.parametrize(("written", "pad_id"), [(7, 7), (0, 0), (None, 0)])
def test_a_saved_model_says_what_pads(written: int | None, pad_id: int, saved: Path) -> None:
    assert TextTokenizer.load(changed(saved, "config.json", pad_token_id=written)).pad_id == pad_id


@pytest.mark.parametrize("lost", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_folder_without_a_file_is_no_model(lost: str, saved: Path) -> None:
    (saved / lost).unlink()
    with pytest.raises(ArtifactError, match=r"is no model folder: .*; expected what save_pretrained writes"):
        TextTokenizer.load(saved)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_folder_with_a_file_that_breaks_off_is_no_model(share: float, file: str, saved: Path) -> None:
    content = (saved / file).read_text("utf-8")
    (saved / file).write_text(content[: int(share * len(content))], encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"is no model folder"):
        TextTokenizer.load(saved)


@pytest.mark.parametrize("pad_id", [1, 3])
def test_a_roberta_reads_fewer_tokens_than_it_has_positions(pad_id: int, saved: Path) -> None:
    """Its positions start at pad_token_id + 1: one token more is an index error within the model."""
    config = RobertaConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=32, pad_token_id=pad_id,
    )  # fmt: skip
    config.save_pretrained(saved)
    longest = TextTokenizer.load(saved).max_length
    assert longest == 31 - pad_id
    model: Any = RobertaForSequenceClassification(config)
    ids = torch.full((1, longest + 1), 7)
    assert model(ids[:, :longest]).logits.shape == (1, 2)
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        model(ids)
