"""The BERT tokenizer as a table of characters: the library's ids, some ten times as fast on Chinese."""

import json
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

Rows = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]

# What a character is, where it is not the number of its token:
_SPACE = -1  # no token, and a border between words
_LETTER = -2  # part of a word of ASCII letters and digits
_ELSE = -3  # the library reads the whole text
_UNSEEN = -4

_BORDER = "\n"  # between texts; a normalised text holds none


class CharacterTable:
    """Ids of many texts at once, by looking characters up.

    BERT's pre-tokenizer makes a word of every Han character and every punctuation mark, whatever stands beside it.
    Which characters these are, and the token of each, is asked of the tokenizer itself, once per character, by setting
    it between others. Words of ASCII letters and digits are asked once each. A text with any other character (kana,
    emoji, accents, a special token spelled out) is left to the library as a whole.
    """

    _WORDS_KEPT = 50_000

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens = np.full(0x110000, _UNSEEN, dtype=np.int32)
        self._tokens[ord(_BORDER)] = _SPACE
        self._words: dict[str, list[int]] = {}
        self._spelled_out = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        self._first, self._last = tokenizer.encode("").ids

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Self | None:
        """The table for ``tokenizer``; ``None`` when it is not BERT's kind: WordPiece, BERT's words, [CLS] … [SEP]."""
        parts = json.loads(tokenizer.to_str())
        kinds = ((parts["pre_tokenizer"] or {}).get("type"), parts["model"]["type"])
        added = tokenizer.get_added_tokens_decoder().values()
        # An added token may be looked for in what normalising makes of the text, which the table does not see.
        if kinds != ("BertPreTokenizer", "WordPiece") or any(token.normalized for token in added):
            return None
        if len(tokenizer.encode("").ids) != 2:
            return None
        return cls(tokenizer)

    def encode(self, texts: Sequence[str]) -> Rows:
        """Ids of normalised ``texts``, row after row, and the offsets of the rows: (tokens,) and (n + 1,)."""
        joined = _BORDER + "".join([text + _BORDER for text in texts])
        characters = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        tokens = self._tokens[characters]
        if (unseen := tokens == _UNSEEN).any():
            self._learn(np.unique(characters[unseen]))
            tokens = self._tokens[characters]
        borders = np.flatnonzero(characters == ord(_BORDER))
        foreign = self._foreign(joined, texts, tokens, borders)
        for row in foreign:
            tokens[borders[row] + 1 : borders[row + 1]] = _SPACE
        produced = (tokens >= 0).astype(np.int64)  # tokens that each character gives
        produced[borders] = 2  # [SEP] of the text before and [CLS] of the text after
        letters = np.flatnonzero(np.diff(tokens == _LETTER, prepend=False, append=False)).reshape(-1, 2)
        words = self._ids_of([joined[start:end] for start, end in letters.tolist()])
        produced[letters[:, 0]] = [len(word) for word in words]
        ends = np.cumsum(produced)
        ids = np.empty(int(ends[-1]), dtype=np.int32)
        single = tokens >= 0
        ids[ends[single] - 1] = tokens[single]
        for end, word in zip(ends[letters[:, 0]].tolist(), words, strict=True):
            ids[end - len(word) : end] = word
        ids[ends[borders] - 2] = self._last
        ids[ends[borders] - 1] = self._first
        rows = ids[1:-1], ends[borders] - 2  # without the first border's [SEP] and the last one's [CLS]
        return self._with(rows, texts, foreign) if foreign else rows

    def _learn(self, characters: npt.NDArray[np.uint32]) -> None:
        """Asks the tokenizer what each character is."""
        ascii_letters = (characters < 128) & np.array([chr(code).isalnum() for code in characters])
        self._tokens[characters[ascii_letters]] = _LETTER
        asked = [chr(code) for code in characters[~ascii_letters]]
        beside = ("a", "一")
        forms = [form for one in asked for form in (one, one + one, *(other + one + other for other in beside))]
        encodings = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(forms, add_special_tokens=False)]
        others = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(beside, add_special_tokens=False)]
        for index, one in enumerate(asked):
            alone, twice, *between = encodings[4 * index : 4 * index + 4]
            apart = [*alone, *alone] == twice and between == [[*other, *alone, *other] for other in others]
            self._tokens[ord(one)] = _ELSE if not apart or len(alone) > 1 else alone[0] if alone else _SPACE

    def _foreign(
        self, joined: str, texts: Sequence[str], tokens: npt.NDArray[np.int32], borders: npt.NDArray[np.int64]
    ) -> list[int]:
        """The rows that the library has to read."""
        rows = set((np.searchsorted(borders, np.flatnonzero(tokens == _ELSE)) - 1).tolist())
        for special in self._spelled_out:
            if special in joined:
                rows.update(row for row, text in enumerate(texts) if special in text)
        return sorted(rows)

    def _ids_of(self, words: list[str]) -> list[list[int]]:
        if missing := list({word for word in words if word not in self._words}):
            if len(self._words) + len(missing) > self._WORDS_KEPT:
                self._words.clear()
                missing = list(set(words))
            encodings = self._tokenizer.encode_batch_fast(missing, add_special_tokens=False)
            self._words.update({word: encoding.ids for word, encoding in zip(missing, encodings, strict=True)})
        return [self._words[word] for word in words]

    def _with(self, rows: Rows, texts: Sequence[str], foreign: list[int]) -> Rows:
        """``rows``, with those of ``foreign`` as the library reads them."""
        ids, offsets = rows
        encodings = self._tokenizer.encode_batch_fast([texts[row] for row in foreign])
        parts: list[npt.NDArray[np.int32]] = []
        lengths = np.diff(offsets)
        done = 0
        for row, encoding in zip(foreign, encodings, strict=True):
            parts += [ids[offsets[done] : offsets[row]], np.array(encoding.ids, dtype=np.int32)]
            lengths[row] = len(encoding.ids)
            done = row + 1
        parts.append(ids[offsets[done] :])
        return np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)])
