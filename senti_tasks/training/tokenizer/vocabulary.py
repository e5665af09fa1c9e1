"""What a tokenizer's vocabulary knows: fitting the tokenizer to it, checking it, and building one from texts."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
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
_INPUTS = ["input_ids", "token_type_ids", "attention_mask"]  # as for every BERT
_SEEN_CHARACTER, _SEEN_WORD = 2, 5  # how often a character, a Latin word or a number occurs to have a token of its own


def fit_to_vocabulary(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """``tokenizer`` with its normaliser fitted to its vocabulary, as a class that keeps it when saved and loaded.

    Lower case where the vocabulary has no upper-case Latin letter (bert-base-chinese as shipped makes ``Hotel`` [UNK]).
    A character that the vocabulary lacks becomes its NFKC form if the vocabulary has that one, else a curly quote or a
    long dash becomes its plain form. What the vocabulary knows stays as it is. Only for WordPiece: others know bytes.

    (``BertTokenizer`` builds its normaliser anew when it is loaded, without this rule.)
    """
    backend = tokenizer.backend_tokenizer
    if isinstance(backend.model, WordPiece):
        own = [backend.normalizer] if backend.normalizer is not None else []
        known = backend.get_vocab()
        letters = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
        lower = [] if any(one in known or f"##{one}" in known for one in letters) else [normalizers.Lowercase()]
        backend.normalizer = normalizers.Sequence([*lower, *own])
        if table := _replacements(backend):
            backend.normalizer = normalizers.Sequence([normalizers.Precompiled(compile_charsmap(table)), *lower, *own])
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
    """Character -> text, for the characters that ``backend`` makes [UNK] of and whose plainer text it knows."""
    foreign = [character for character, _ in _plainer_forms()]
    unknown = [character for character, knows in zip(foreign, _knows(backend, foreign), strict=True) if not knows]
    forms = dict(_plainer_forms())
    choices = [(character, form) for character in unknown for form in forms[character]]
    known = _knows(backend, [form for _, form in choices])
    table: dict[str, str] = {}
    for (character, form), knows in zip(choices, known, strict=True):
        if knows:
            table.setdefault(character, form)
    return table


@cache
def _plainer_forms() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Every character that has plainer forms, with them, the one to prefer first. 17,000 characters."""
    found = []
    for code in range(0xA0, sys.maxunicode + 1):
        character = chr(code)
        compatible = unicodedata.normalize("NFKC", character)
        forms = [compatible] if compatible.strip() and compatible != character else []
        forms += [_PLAIN[character]] if character in _PLAIN else []
        if forms:
            found.append((character, tuple(forms)))
    return tuple(found)


def _knows(backend: Tokenizer, texts: Sequence[str]) -> list[bool]:
    """Per text, whether ``backend`` reads it without [UNK]. Twice in a row, so that ``##`` pieces are asked for too."""
    unknown = backend.model.unk_token
    encodings = backend.encode_batch([text + text for text in texts], add_special_tokens=False)
    return [bool(encoding.tokens) and unknown not in encoding.tokens for encoding in encodings]


def check_knows(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str], base_model: str) -> None:
    """Raises ``BaseModelError`` when ``tokenizer`` makes [UNK] of most of ``texts`` (the first 200 are read).

    That is a vocabulary of another language, or one that was not loaded: a model trained on it would learn nothing.
    """
    sample = [text for text, _ in zip(texts, range(200), strict=False)] or ["这家酒店很好，下次还来。"]
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(sample, add_special_tokens=False)
    tokens = sum(len(encoding.ids) for encoding in encodings)
    unknown = sum(encoding.ids.count(tokenizer.unk_token_id) for encoding in encodings)
    if 2 * unknown >= tokens:
        raise BaseModelError(
            f"the vocabulary of {base_model} does not know {unknown} of {tokens} tokens of these reviews: "
            "expected one for their language; take another base model, or scratch:small"
        )


def build_tokenizer(texts: Iterable[str], max_length: int) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer of characters, and of Latin words and numbers, that occur in ``texts``.

    In it are the characters that occur twice or more, the words and numbers that occur five times or more, and, whether
    they occur or not, the pieces that spell every other word and number. Most frequent first, equals in code order, so
    that the same texts give the same tokenizer.
    """
    spell = [prefix + character for prefix in ("", "##") for character in "0123456789abcdefghijklmnopqrstuvwxyz"]
    normaliser = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    characters: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normaliser.normalize_str(text)):
            characters.update(word)
            if len(word) > 1 and word.isascii():
                words[word] += 1
    counts = {character: n for character, n in characters.items() if n >= _SEEN_CHARACTER}
    counts |= {word: n for word, n in words.items() if n >= _SEEN_WORD}
    frequent = sorted(counts.keys() - set(spell), key=lambda token: (-counts[token], token))
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL.values(), *spell, *frequent])}
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
