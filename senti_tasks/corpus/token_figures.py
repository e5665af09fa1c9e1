"""Token figures of a corpus: lengths in tokens, and characters that are not in the vocabulary."""

from collections import Counter
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

_UNKNOWN_SHOWN = 20
_TEXTS_AT_ONCE = 5_000  # an encoding takes 14 KB


def length_figures(texts: list[str], tokenizer: PreTrainedTokenizerFast, max_length: int | None) -> dict[str, Any]:
    """Quantiles of the lengths of ``texts`` (tokens, [CLS] and [SEP] included), the share of [UNK] in all tokens, and
    the share of texts longer than ``max_length``, if there is such a limit."""
    lengths, unknown = np.zeros(len(texts), dtype=np.int64), 0
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        encodings = tokenizer.backend_tokenizer.encode_batch_fast(texts[start : start + _TEXTS_AT_ONCE])
        lengths[start : start + len(encodings)] = [len(encoding.ids) for encoding in encodings]
        unknown += sum(encoding.ids.count(tokenizer.unk_token_id) for encoding in encodings)
    quantiles = {f"p{q}": int(np.percentile(lengths, q, method="higher")) for q in (50, 90, 95, 99)}
    figures = {
        "lengths": {**quantiles, "max": int(lengths.max())},
        "unknown_share": round(unknown / int(lengths.sum()), 6),
    }
    if max_length is None:
        return figures
    return figures | {
        "max_length": max_length,
        "over_max_length_share": round(float((lengths > max_length).mean()), 6),
    }


def unknown_figures(
    texts: list[str], published: PreTrainedTokenizerFast, fitted: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """The characters of ``texts`` that become [UNK], ``before`` (published tokenizer) and ``after`` (fitted one).

    share: of all characters that are not white space; characters: how many different ones; most_frequent: the shares
    of the most frequent ones. A character that the tokenizer drops (a control character) does not count as unknown.
    """
    counts = Counter(character for one in texts for character in one if not character.isspace())
    total, figures = counts.total(), {}
    for when, tokenizer in (("before", published), ("after", fitted)):
        # Twice in a row, so that a character is also checked within a word.
        twice = [one + one for one in counts]
        encodings = tokenizer.backend_tokenizer.encode_batch(twice, add_special_tokens=False)
        unknown = [one for one, found in zip(counts, encodings, strict=True) if tokenizer.unk_token_id in found.ids]
        unknown.sort(key=lambda character: (-counts[character], character))
        figures[when] = {
            "share": round(sum(counts[character] for character in unknown) / total, 6),
            "characters": len(unknown),
            "most_frequent": {one: round(counts[one] / total, 6) for one in unknown[:_UNKNOWN_SHOWN]},
        }
    return figures
