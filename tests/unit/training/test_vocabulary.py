import json
import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from senti_tasks.errors import BaseModelError
from senti_tasks.training.tokenizer.charsmap import compile_charsmap
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer, check_coverage, fit_to_vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<S>"]
BERT_TOKENS = [*SPECIAL, "很", "好", "，", ",", ".", '"', "-", "①", "wi", "##fi"]


def bert_like(tokens: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer as bert-base-chinese ships it: it does not lower-case."""
    backend = Tokenizer(WordPiece({token: number for number, token in enumerate(tokens)}, unk_token=tokens[1]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = {"unk_token": tokens[1], "pad_token": tokens[0]}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)  # type: ignore[no-untyped-call]


def test_a_vocabulary_without_capitals_gets_lower_case() -> None:
    assert bert_like(BERT_TOKENS).tokenize("WiFi") == ["[UNK]"]
    assert fit_to_vocabulary(bert_like(BERT_TOKENS)).tokenize("WiFi") == ["wi", "##fi"]


def test_a_vocabulary_with_capitals_keeps_them() -> None:
    fitted = fit_to_vocabulary(bert_like([*BERT_TOKENS, "W", "##F"]))
    assert fitted.tokenize("W很") == ["W", "很"]
    assert fitted.tokenize("wifi") == ["wi", "##fi"]


def test_only_what_the_vocabulary_lacks_is_made_plain() -> None:
    fitted = fit_to_vocabulary(bert_like(BERT_TOKENS))
    assert fitted.tokenize("“很好”——①，…") == ['"', "很", "好", '"', "-", "-", "①", "，", ".", ".", "."]
    assert fitted.tokenize("ｗｉｆｉ") == ["[UNK]"]  # no single full-width letter has a plain form in this vocabulary


def test_what_has_no_known_plain_form_stays_as_it_was() -> None:
    shipped = bert_like(BERT_TOKENS).backend_tokenizer.normalizer
    fitted = fit_to_vocabulary(bert_like(BERT_TOKENS)).backend_tokenizer.normalizer
    for text in ("很好👍🏻", "㊗㎡", "龘！", "❤️", "👨‍👩‍👧"):
        assert fitted.normalize_str(text) == shipped.normalize_str(text)


def test_the_fitted_rule_is_in_the_saved_tokenizer(tmp_path: Path) -> None:
    fitted = fit_to_vocabulary(bert_like(BERT_TOKENS))
    fitted.save_pretrained(tmp_path)
    # with a BERT config beside it, transformers would like to build a BertTokenizer, which erases the normaliser
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.tokenize("“WiFi”") == ['"', "wi", "##fi", '"']
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("WiFi").tokens == ["wi", "##fi"]


def test_fitting_twice_changes_nothing() -> None:
    once = fit_to_vocabulary(bert_like(BERT_TOKENS))
    text = "“WiFi”——很好①"
    assert fit_to_vocabulary(once).tokenize(text) == fit_to_vocabulary(bert_like(BERT_TOKENS)).tokenize(text)


def test_a_compiled_map_replaces_exactly_its_characters() -> None:
    table = {chr(code): f"<{code:x}>" for code in [*range(0xA1, 0x3000, 7), *range(0xF900, 0xFA6D), 0x1F600, 0x20000]}
    normaliser = normalizers.Precompiled(compile_charsmap(table))
    for code in [*range(0x20, 0x3400), *range(0xF8F0, 0xFB00), *range(0x1F5F0, 0x1F610), 0x20000, 0x20001]:
        character = chr(code)
        if unicodedata.category(character) == "Cf":
            continue  # the library reads graphemes, and some of these make one with the character after them
        assert normaliser.normalize_str(f"好{character}好") == f"好{table.get(character, character)}好"


def test_the_same_map_compiles_to_the_same_bytes() -> None:
    assert compile_charsmap({"“": '"', "—": "-"}) == compile_charsmap({"—": "-", "“": '"'})


def test_a_built_vocabulary_holds_what_occurs_twice() -> None:
    tokenizer = build_tokenizer(["房间很好", "房间很差", *["WiFi 2026"] * 5], max_length=64)
    assert tokenizer.tokenize("房间很好 WIFI 2026 2025") == [
        "房",
        "间",
        "很",
        "[UNK]",
        "wifi",
        "2026",
        "2",
        "##0",
        "##2",
        "##5",
    ]
    assert tokenizer("房间")["input_ids"][0] == tokenizer.cls_token_id
    assert tokenizer.model_max_length == 64


def test_the_same_texts_build_the_same_tokenizer_in_any_order() -> None:
    texts = ["早餐好吃早餐", "前台好前台", "电池好 abc abc"]
    one, two = build_tokenizer(texts, 64), build_tokenizer(reversed(texts), 64)
    assert one.backend_tokenizer.to_str() == two.backend_tokenizer.to_str()


def test_a_tokenizer_that_knows_nothing_is_refused() -> None:
    with pytest.raises(BaseModelError, match="the vocabulary of some/model does not know 4 of 4 tokens"):
        check_coverage(bert_like(["[PAD]", "[UNK]", "hotel"]), ["房间很好"], "some/model")
