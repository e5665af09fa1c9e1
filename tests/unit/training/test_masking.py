"""Which tokens are hidden: how many, how, and the same ones again."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from senti_tasks.training.masking import NOT_ASKED, MaskingCollator
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer
from tests.made_up_reviews import made_up_reviews

TEXTS = [review.text for review in made_up_reviews(200)] * 5


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(TEXTS, 128)


def rows_of(tokenizer: PreTrainedTokenizerFast, texts: list[str] = TEXTS) -> list[dict[str, object]]:
    encodings = tokenizer.backend_tokenizer.encode_batch(texts)
    return [{"row": number, "input_ids": np.array(one.ids, np.int32)} for number, one in enumerate(encodings)]


def test_the_share_asked_for_is_hidden_in_each_text_and_most_of_it_behind_the_mask(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    batch = MaskingCollator(tokenizer, 0.15, seed=1)(rows_of(tokenizer))
    read, asked = batch["input_ids"], batch["labels"] != NOT_ASKED
    words = batch["attention_mask"].sum(dim=1) - 2  # without [CLS] and [SEP]
    assert (asked.sum(dim=1) - 0.15 * words).abs().max() <= 0.5 + 1e-6, "as many as rounding allows, in every text"
    answers = batch["labels"][asked]
    masked = (read[asked] == tokenizer.mask_token_id).float().mean()
    kept = (read[asked] == answers).float().mean()
    assert float(masked) == pytest.approx(0.8, abs=0.03)
    assert float(kept) == pytest.approx(0.1, abs=0.03)  # and a tenth became another token


def test_what_is_not_asked_for_is_read_as_it_stands(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = rows_of(tokenizer)
    batch = MaskingCollator(tokenizer, 0.15, seed=1)(rows)
    whole = torch.where(batch["labels"] != NOT_ASKED, batch["labels"], batch["input_ids"])
    for row, ids, there in zip(rows, whole, batch["attention_mask"].bool(), strict=True):
        assert ids[there].tolist() == list(row["input_ids"])  # type: ignore[call-overload]
        assert set(ids[~there].tolist()) <= {tokenizer.pad_token_id}


def test_no_special_token_is_asked_for_or_put_in_the_place_of_another(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["龘龘龘好龘龘", *TEXTS]  # a character that the vocabulary does not know
    batch = MaskingCollator(tokenizer, 0.5, seed=1)(rows_of(tokenizer, texts))
    asked = batch["labels"] != NOT_ASKED
    special = torch.tensor(tokenizer.all_special_ids)
    assert not torch.isin(batch["labels"][asked], special).any()
    replaced = batch["input_ids"][asked]
    assert not torch.isin(replaced[replaced != tokenizer.mask_token_id], special).any()
    assert asked[0].sum() == 1


def test_a_text_with_nothing_to_predict_is_known(tokenizer: PreTrainedTokenizerFast) -> None:
    masking = MaskingCollator(tokenizer, 0.15, seed=1)
    nothing, something = rows_of(tokenizer, ["龘", "好"])
    assert (masking.can_ask(nothing["input_ids"]), masking.can_ask(something["input_ids"])) == (False, True)  # type: ignore[arg-type]


def test_the_same_batch_of_the_same_epoch_is_hidden_the_same_way(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = rows_of(tokenizer)[:32]

    def read(seed: int, epoch: int) -> list[list[int]]:
        masking = MaskingCollator(tokenizer, 0.15, seed, lambda: epoch)
        masking(rows[::-1])  # whatever it was asked before
        ids: list[list[int]] = masking(rows)["input_ids"].tolist()
        return ids

    assert read(1, 0) == read(1, 0)
    assert read(1, 0) != read(1, 1)
    assert read(1, 0) != read(2, 0)
