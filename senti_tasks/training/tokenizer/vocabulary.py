"""Fits a tokenizer to its vocabulary, checks that the vocabulary covers texts, and builds a tokenizer from texts."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from senti_tasks.errors import BaseModelError
from senti_tasks.training.tokenizer.charsmap import compile_charsmap

_PLAIN = {
    **dict.fromkeys("“”„‟〝〞＂", '"'),
    **dict.fromkeys("‘’‚‛", "'"),
    **dict.fromkeys("‐‑‒–—―⸺⸻", "-"),
}
_SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]  # the inputs of BERT
_MIN_CHARACTER_COUNT, _MIN_WORD_COUNT = 2, 5  # occurrences from which on a character, or a word or number, is a token


def fit_to_vocabulary(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """``tokenizer`` with its normaliser fitted to its vocabulary.

    It lower-cases if the vocabulary has no upper-case Latin letter (bert-base-chinese as published maps ``Hotel`` to
    [UNK]). A character that is not in the vocabulary becomes its NFKC form, or else, for a curly quote or a long dash,
    its plain form, if the vocabulary has that form. Characters in the vocabulary do not change. Tokenizers other than
    WordPiece do not change, because they have no unknown characters (byte level).

    The result is a ``PreTrainedTokenizerFast``, which saves and loads its normaliser. ``BertTokenizer`` would build its
    default normaliser when it is loaded.
    """
    backend = tokenizer.backend_tokenizer
    if isinstance(backend.model, WordPiece):
        steps = [backend.normalizer] if backend.normalizer is not None else []
        tokens = backend.get_vocab()
        if not any(one in tokens or f"##{one}" in tokens for one in ascii_uppercase):
            steps.insert(0, normalizers.Lowercase())
        backend.normalizer = normalizers.Sequence(steps)
        if table := _replacements(backend):
            backend.normalizer = normalizers.Sequence([normalizers.Precompiled(compile_charsmap(table)), *steps])
    special = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return _wrap(
        backend,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side="right",
        truncation_side="right",
        **special,
    )


def _replacements(backend: Tokenizer) -> dict[str, str]:
    """Character to plain form, for characters that ``backend`` maps to [UNK] and whose plain form it covers."""
    forms = _plain_forms()
    covered = _covered(backend, [*forms, *(form for plain in forms.values() for form in plain)])
    choices = {
        character: [form for form in plain if form in covered]
        for character, plain in forms.items()
        if character not in covered
    }
    return {character: plain[0] for character, plain in choices.items() if plain}


@cache
def _plain_forms() -> dict[str, list[str]]:
    """Each character that has plain forms, with these forms, the preferred one first. 17,000 characters."""
    found: dict[str, list[str]] = {}
    for code in range(0xA0, sys.maxunicode + 1):
        character = chr(code)
        compatible = unicodedata.normalize("NFKC", character)
        forms = [compatible] if compatible.strip() and compatible != character else []
        forms += [_PLAIN[character]] if character in _PLAIN else []
        if forms:
            found[character] = forms
    return found


def _covered(backend: Tokenizer, texts: Sequence[str]) -> set[str]:
    """Those of ``texts`` that ``backend`` encodes without [UNK].

    Each text is encoded twice in a row, so that the ``##`` pieces of the second one must be in the vocabulary too.
    """
    unknown = backend.model.unk_token
    encodings = backend.encode_batch([text + text for text in texts], add_special_tokens=False)
    tokens = zip(texts, (encoding.tokens for encoding in encodings), strict=True)
    return {text for text, found in tokens if found and unknown not in found}


def check_coverage(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], base_model: str) -> None:
    """Raises ``BaseModelError`` if half or more of the tokens of ``texts`` (the first 200) are [UNK].

    The vocabulary is then one of another language, or it was not loaded, and a model could learn nothing from it.
    """
    sample = [text for text, _ in zip(texts, range(200), strict=False)] or ["这家酒店很好，下次还来。"]
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(sample, add_special_tokens=False)
    tokens = sum(len(encoding.ids) for encoding in encodings)
    unknown = sum(encoding.ids.count(tokenizer.unk_token_id) for encoding in encodings)
    if 2 * unknown >= tokens:
        raise BaseModelError(
            f"the vocabulary of {base_model} does not know {unknown} of {tokens} tokens of these reviews: "
            "expected a vocabulary for their language; take another base model, or scratch:small"
        )


def build_tokenizer(texts: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer for ``texts`` that returns ``max_length`` tokens at most.

    Its tokens are the characters that occur at least twice, the Latin words and numbers that occur at least five times,
    and single letters and digits (with and without ``##``), which spell all other words and numbers. The most frequent
    tokens come first, equally frequent ones in code point order: the same texts give the same tokenizer.
    """
    spelling = [prefix + character for prefix in ("", "##") for character in digits + ascii_lowercase]
    normaliser = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    characters: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text)):
            characters.update(word)
            if len(word) > 1 and word.isascii():
                words[word] += 1
    counts = {character: n for character, n in characters.items() if n >= _MIN_CHARACTER_COUNT}
    counts |= {word: n for word, n in words.items() if n >= _MIN_WORD_COUNT}
    frequent = sorted(counts.keys() - set(spelling), key=lambda token: (-counts[token], token))
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL.values(), *spelling, *frequent])}
    backend = Tokenizer(WordPiece(vocabulary, unk_token=_SPECIAL["unk_token"]))
    backend.normalizer = normaliser
    backend.pre_tokenizer = splitter
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return _wrap(backend, model_max_length=max_length, model_input_names=_INPUTS, **_SPECIAL)


def _wrap(backend: Tokenizer, **fields: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, **fields)  # type: ignore[no-untyped-call]
