"""Masking: the number of selected tokens, how they are masked, and that a resumed training masks the same ones."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from senti_tasks.training.masking import IGNORE_INDEX, MaskingCollator
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer
from tests.made_up_reviews import made_up_reviews

TEXTS = [review.text for review in made_up_reviews(200)] * 5


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(TEXTS, 128)


def rows_of(tokenizer: PreTrainedTokenizerFast, texts: list[str] = TEXTS) -> list[dict[str, Any]]:
    encodings = tokenizer.backend_tokenizer.encode_batch(texts)
    return [{"row": number, "input_ids": np.array(one.ids, np.int32)} for number, one in enumerate(encodings)]


def test_the_wanted_share_of_each_text_is_selected_and_most_of_it_becomes_the_mask_token(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    batch = MaskingCollator(tokenizer, 0.15, seed=1)(rows_of(tokenizer))
    read, selected = batch["input_ids"], batch["labels"] != IGNORE_INDEX
    words = batch["attention_mask"].sum(dim=1) - 2  # without [CLS] and [SEP]
    assert (selected.sum(dim=1) - 0.15 * words).abs().max() <= 0.5 + 1e-6, "as many as rounding allows, in every text"
    answers = batch["labels"][selected]
    masked = (read[selected] == tokenizer.mask_token_id).float().mean()
    kept = (read[selected] == answers).float().mean()
    assert float(masked) == pytest.approx(0.8, abs=0.03)
    assert float(kept) == pytest.approx(0.1, abs=0.03)  # and a tenth became another token


def test_tokens_that_are_not_selected_stay_as_they_are(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = rows_of(tokenizer)
    batch = MaskingCollator(tokenizer, 0.15, seed=1)(rows)
    whole = torch.where(batch["labels"] != IGNORE_INDEX, batch["labels"], batch["input_ids"])
    for row, ids, there in zip(rows, whole, batch["attention_mask"].bool(), strict=True):
        assert ids[there].tolist() == list(row["input_ids"])
        assert set(ids[~there].tolist()) <= {tokenizer.pad_token_id}


def test_no_special_token_is_selected_or_replaces_another_token(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["龘龘龘好龘龘", *TEXTS]  # a character that the vocabulary does not know
    batch = MaskingCollator(tokenizer, 0.5, seed=1)(rows_of(tokenizer, texts))
    selected = batch["labels"] != IGNORE_INDEX
    special = torch.tensor(tokenizer.all_special_ids)
    assert not torch.isin(batch["labels"][selected], special).any()
    replaced = batch["input_ids"][selected]
    assert not torch.isin(replaced[replaced != tokenizer.mask_token_id], special).any()
    assert selected[0].sum() == 1


def test_a_text_without_a_maskable_token_is_recognised(tokenizer: PreTrainedTokenizerFast) -> None:
    masking = MaskingCollator(tokenizer, 0.15, seed=1)
    nothing, something = (row["input_ids"] for row in rows_of(tokenizer, ["龘", "好"]))
    assert not masking.has_maskable_token(nothing)
    assert masking.has_maskable_token(something)


def test_the_positions_name_the_selected_tokens_and_their_number_follows_from_the_shape(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rows = sorted(rows_of(tokenizer), key=lambda row: len(row["input_ids"]))
    numbers: dict[tuple[int, ...], int] = {}
    for share in (0.01, 0.15, 0.5, 1.0):
        masking = MaskingCollator(tokenizer, share, seed=1, width_step=8)
        for start in range(0, len(rows), 32):
            batch = masking(rows[start : start + 32])
            answers = batch["labels"].flatten()[batch["positions"]]
            there = answers != IGNORE_INDEX
            assert answers[there].tolist() == batch["labels"][batch["labels"] != IGNORE_INDEX].tolist()
            assert there[: there.sum()].all(), "the fill comes last"
            shape = tuple(batch["labels"].shape)
            assert numbers.setdefault((*shape, round(share * 100)), len(answers)) == len(answers)
            assert shape[1] % 8 == 0


def test_the_same_batch_of_the_same_epoch_is_masked_the_same_way(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = rows_of(tokenizer)[:32]

    def read(seed: int, epoch: int) -> list[list[int]]:
        masking = MaskingCollator(tokenizer, 0.15, seed, epoch=lambda: epoch)
        masking(rows[::-1])  # an earlier call must not change the result
        ids: list[list[int]] = masking(rows)["input_ids"].tolist()
        return ids

    assert read(1, 0) == read(1, 0)
    assert read(1, 0) != read(1, 1)
    assert read(1, 0) != read(2, 0)
