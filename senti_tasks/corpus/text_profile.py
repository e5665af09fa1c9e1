"""What the texts of a training look like, so that scoring can find texts that are unlike them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from senti_tasks.errors import ArtifactError

FILE = "text_profile.safetensors"
"""The file in the folder of a model and of each of its variants."""
UNLIKE_SHARE = 0.05
"""Share of the validation texts that count as unlike the training texts."""
MOST_UNLIKENESS = 5.0
"""A single text counts no more, whatever it holds."""
LEAST_SPREAD = 0.5
"""Of a count without correlation it is 1; a smaller one comes from validation texts that are much alike."""
LEAST_LIMIT = 1.0
"""Standard deviations that a text needs in any case: an empty one is not unlike."""

_CODE_POINTS = 0x110000
_PAIRS = 1 << 22
"""Bits for pairs of characters; a pair is looked up by its hash. Half a million different pairs, those of some
200,000 reviews, leave an unseen pair a chance of one in nine to be taken for a seen one."""
_KNOWN_BLOCK = 20_000

Codes = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class TextFigures:
    """Figures of n texts, in order."""

    characters: npt.NDArray[np.int64]
    """(n,): characters, without white space."""
    unknown: npt.NDArray[np.int64]
    """(n,): those for which the tokenizer of the model has no token."""
    unlike: npt.NDArray[np.bool_]
    """(n,): whether the text is unlike those of the training."""
    unlikeness: npt.NDArray[np.float32]
    """(n,): how unlike them it is, in [-5, 5]; with mean 0 and standard deviation 1 on the validation texts."""


@dataclass(frozen=True, slots=True)
class TextProfile:
    """The characters that a model knows, and the pairs of neighbouring characters in its training texts.

    A text is unlike these if more of its pairs are unseen than in 95 of 100 validation texts, measured in standard
    deviations of a beta-binomial count, so that the length of the text does not matter: with a binomial one, only long
    texts would count, because the pairs of one text are unseen together.
    """

    known: npt.NDArray[np.bool_]
    """(0x110000,), by code point: whether the tokenizer has tokens for the character."""
    pairs: npt.NDArray[np.bool_]
    """(2**22,), by hash: whether the training texts have the pair."""
    unseen_share: float
    """Share of unseen pairs in the validation texts."""
    correlation: float
    """How much the pairs of one validation text are unseen together, in [0, 1]."""
    mean: float
    spread: float
    """Mean and standard deviation of the deviations of the validation texts."""
    limit: float
    """Deviation above which a text is unlike the training texts."""

    @classmethod
    def of(cls, train: Sequence[str], validation: Sequence[str], known: npt.NDArray[np.bool_]) -> Self:
        """The profile of ``train``; ``validation`` determines how many unseen pairs are usual. ``known`` are the
        characters that the model knows, by code point, (0x110000,)."""
        pairs = np.zeros(_PAIRS, dtype=bool)
        for start in range(0, len(train), _KNOWN_BLOCK):
            codes, _ = _codes(train[start : start + _KNOWN_BLOCK])
            pairs[_hashes(codes)] = True
        bare = cls(known, pairs, 0.5, 0.0, 0.0, 1.0, math.inf)
        unseen, n = bare._unseen(*_codes(validation))
        share = float((unseen.sum() + 1) / (n.sum() + 2))
        correlation = _correlation(unseen, n, share)
        deviations = _deviations(unseen, n, share, correlation)
        if not len(validation):
            return cls(known, pairs, share, correlation, 0.0, 1.0, math.inf)
        limit = float(np.quantile(deviations, 1 - UNLIKE_SHARE, method="higher"))
        mean, spread = float(deviations.mean()), float(deviations.std())
        return cls(known, pairs, share, correlation, mean, max(spread, LEAST_SPREAD), max(limit, LEAST_LIMIT))

    def measure(self, texts: Sequence[str | None]) -> TextFigures:
        """The figures of ``texts``; those of ``None`` are 0."""
        codes, rows = _codes(texts)
        visible = ~_is_space(codes)
        characters = np.bincount(rows[visible], minlength=len(texts))
        unknown = np.bincount(rows[visible & ~self.known[codes]], minlength=len(texts))
        deviations = _deviations(*self._unseen(codes, rows), self.unseen_share, self.correlation)[: len(texts)]
        unlikeness = np.clip((deviations - self.mean) / self.spread, -MOST_UNLIKENESS, MOST_UNLIKENESS)
        return TextFigures(
            characters[: len(texts)], unknown[: len(texts)], deviations > self.limit, unlikeness.astype(np.float32)
        )

    def _unseen(self, codes: Codes, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Number of unseen pairs of each text, and number of all its pairs. The last row stands for no text."""
        size = int(rows[-1]) + 1 if len(rows) else 0
        inside = rows[1:] == rows[:-1]
        unseen = inside & ~self.pairs[_hashes(codes)]
        return np.bincount(rows[1:][unseen], minlength=size), np.bincount(rows[1:][inside], minlength=size)

    def save(self, folder: Path) -> None:
        """Writes the profile into ``folder``."""
        figures = [self.unseen_share, self.correlation, self.mean, self.spread, self.limit]
        packed = {"known": np.packbits(self.known), "pairs": np.packbits(self.pairs)}
        save_file({**packed, "figures": np.array(figures, dtype=np.float64)}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The profile in ``folder``; ``None`` if the model was trained before there were profiles. Raises
        ``ArtifactError`` if it cannot be read."""
        if not (folder / FILE).is_file():
            return None
        try:
            found = load_file(folder / FILE)
            unseen_share, correlation, mean, spread, limit = found["figures"].tolist()
            known, pairs = (np.unpackbits(found[name]).astype(bool) for name in ("known", "pairs"))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ArtifactError(f"{folder / FILE} is no profile of texts: {error}; retrain the model") from error
        return cls(known, pairs, unseen_share, correlation, mean, spread, limit)


def _codes(texts: Sequence[str | None]) -> tuple[Codes, npt.NDArray[np.int64]]:
    """The code points of all texts, one text after the other, and the row of each. Digits count as one digit, capital
    letters as small ones. One more row with one blank stands at the end."""
    joined = "".join(text or "" for text in texts) + " "
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).copy()
    codes[(codes >= ord("0")) & (codes <= ord("9"))] = ord("0")
    codes[(codes >= ord("A")) & (codes <= ord("Z"))] += ord("a") - ord("A")
    return codes, np.repeat(np.arange(len(texts) + 1), [*(len(text or "") for text in texts), 1])


def _hashes(codes: Codes) -> npt.NDArray[np.uint64]:
    """(characters - 1,): the hash of each character and its successor, by Fibonacci hashing (Knuth, TAOCP 3, 6.4)."""
    pairs = (codes[:-1].astype(np.uint64) << np.uint64(21)) | codes[1:].astype(np.uint64)
    return (pairs * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - (_PAIRS.bit_length() - 1))


def _is_space(codes: Codes) -> npt.NDArray[np.bool_]:
    spaces = [9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x3000]
    return np.isin(codes, spaces) | ((codes >= 0x2000) & (codes <= 0x200B))


def _deviations(
    unseen: npt.NDArray[np.int64], n: npt.NDArray[np.int64], share: float, correlation: float
) -> npt.NDArray[np.float64]:
    """By how many standard deviations of a beta-binomial count ``unseen`` of ``n`` pairs exceed ``share``."""
    variance = share * (1 - share) * n * (1 + np.maximum(n - 1, 0) * correlation)
    found: npt.NDArray[np.float64] = (unseen - share * n) / np.sqrt(variance + 0.1)
    return found


def _correlation(unseen: npt.NDArray[np.int64], n: npt.NDArray[np.int64], share: float) -> float:
    """The correlation of the pairs of a text, by the method of moments (Williams 1975, Biometrics 31:949-952)."""
    expected = share * (1 - share) * n.astype(np.float64)
    among_pairs = float((expected * (n - 1)).sum())
    if among_pairs <= 0:
        return 0.0
    return float(np.clip((((unseen - share * n) ** 2) - expected).sum() / among_pairs, 0.0, 1.0))


def known_letters(ngrams: Iterable[str]) -> npt.NDArray[np.bool_]:
    """(0x110000,): whether the character, or its small form, is one of ``ngrams``, the vocabulary of a TF-IDF model."""
    known = np.zeros(_CODE_POINTS, dtype=bool)
    for letter in ngrams:
        if len(letter) == 1:
            forms = (letter, letter.upper())
            known[[ord(form) for form in forms if len(form) == 1]] = True
    known[ord("0")] = known[ord("0") : ord("9") + 1].any()  # a profile reads each digit as this one
    return known


def known_characters(tokenizer: Tokenizer, unknown_token: str) -> npt.NDArray[np.bool_]:
    """(0x110000,): whether ``tokenizer`` has tokens for the character. Everything is known to a tokenizer without an
    unknown token. ``unknown_token`` is what it gives for a character that it does not know."""
    known = np.ones(_CODE_POINTS, dtype=bool)
    unknown_id = tokenizer.token_to_id(unknown_token)
    if unknown_id is None:
        return known
    # Surrogates are no characters, and the planes from 4 on have none that people write.
    codes = [*range(0x20, 0xD800), *range(0xE000, 0x40000)]
    for start in range(0, len(codes), _KNOWN_BLOCK):
        block = codes[start : start + _KNOWN_BLOCK]
        encodings = tokenizer.encode_batch_fast([chr(code) for code in block], add_special_tokens=False)
        known[block] = [unknown_id not in encoding.ids for encoding in encodings]
    known[0x40000:] = False
    return known
