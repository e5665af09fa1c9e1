"""What the tokenizer makes of a corpus: lengths in tokens, and characters that the vocabulary does not know."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

_UNKNOWN_SHOWN = 20
_TEXTS_AT_ONCE = 5_000  # an encoding takes 14 KB


def length_figures(texts: list[str], tokenizer: PreTrainedTokenizerFast, max_length: int) -> dict[str, Any]:
    """How long ``texts`` are in tokens ([CLS] and [SEP] included), the share of [UNK], and the share longer than
    ``max_length``."""
    lengths, unknown = np.zeros(len(texts), dtype=np.int64), 0
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        encodings = tokenizer.backend_tokenizer.encode_batch_fast(texts[start : start + _TEXTS_AT_ONCE])
        lengths[start : start + len(encodings)] = [len(encoding.ids) for encoding in encodings]
        unknown += sum(encoding.ids.count(tokenizer.unk_token_id) for encoding in encodings)
    quantiles = {f"p{q}": int(np.percentile(lengths, q, method="higher")) for q in (50, 90, 95, 99)}
    return {
        "lengths": {**quantiles, "max": int(lengths.max())},
        "unknown_share": round(unknown / int(lengths.sum()), 6),
        "max_length": max_length,
        "over_max_length_share": round(float((lengths > max_length).mean()), 6),
    }


def unknown_figures(
    texts: list[str], shipped: PreTrainedTokenizerFast, fitted: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """What the vocabulary does not know, before and after the tokenizer was fitted to it, the most frequent first."""
    counts = Counter(character for one in texts for character in one if not character.isspace())
    total = sum(counts.values())
    figures: dict[str, Any] = {}
    for when, tokenizer in (("before", shipped), ("after", fitted)):
        unknown = unknown_characters(tokenizer, counts)
        ranked = sorted(unknown, key=lambda character: (-counts[character], character))
        figures[when] = {
            "share": round(sum(counts[character] for character in unknown) / total, 6),
            "characters": len(unknown),
            "most_frequent": {one: round(counts[one] / total, 6) for one in ranked[:_UNKNOWN_SHOWN]},
        }
    return figures


def unknown_characters(tokenizer: PreTrainedTokenizerFast, characters: Iterable[str]) -> list[str]:
    """Those of ``characters`` that ``tokenizer`` makes [UNK] of, alone or within a word; none where there is no [UNK].

    One that it drops (a control character) is not unknown.
    """
    backend, unknown = tokenizer.backend_tokenizer, tokenizer.unk_token_id
    asked = list(characters)
    encodings = backend.encode_batch([one + one for one in asked], add_special_tokens=False)
    return [one for one, encoding in zip(asked, encodings, strict=True) if unknown in encoding.ids]
