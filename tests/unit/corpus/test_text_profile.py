"""The profile of training texts: which characters a model knows, and which texts are unlike them."""

from pathlib import Path

import numpy as np
import pytest

from senti_tasks.corpus.text_profile import FILE, TextProfile, known_characters
from senti_tasks.errors import ArtifactError
from senti_tasks.training.tokenizer.vocabulary import build_tokenizer
from tests.made_up_reviews import made_up_reviews

OTHERS = (
    "量子纠缠的实验装置需要极低温环境",
    "本基金季度净值回撤幅度扩大",
    "患者术后第三日体温恢复正常",
    "编译器优化导致寄存器溢出",
)


@pytest.fixture(scope="module")
def profile() -> TextProfile:
    texts = [one.text for one in made_up_reviews(1_200)]
    tokenizer = build_tokenizer(texts[:1_000], 64)
    known = known_characters(tokenizer.backend_tokenizer, str(tokenizer.unk_token))
    return TextProfile.of(texts[:1_000], texts[1_000:], known)


def test_texts_of_another_domain_are_unlike_and_those_of_the_training_are_not(profile: TextProfile) -> None:
    own = profile.measure([one.text for one in made_up_reviews(1_400)][1_200:])
    assert own.unlike.mean() < 0.15
    assert abs(own.unlikeness.mean()) < 0.3
    others = profile.measure(OTHERS)
    assert others.unlike.all()
    assert others.unlikeness.min() > 2


def test_characters_without_a_token_are_unknown_and_white_space_is_no_character(profile: TextProfile) -> None:
    known = made_up_reviews(1)[0].text
    found = profile.measure([known, "𠮷 𠮷\n", "", None])
    assert found.characters.tolist() == [len(known), 2, 0, 0]
    assert found.unknown.tolist() == [0, 2, 0, 0]
    assert found.unlike.tolist()[2:] == [False, False]


def test_the_figures_of_a_text_do_not_depend_on_its_neighbours(profile: TextProfile) -> None:
    texts = [*OTHERS, *(one.text for one in made_up_reviews(50)), "好"]
    together = profile.measure(texts)
    for row, text in enumerate(texts):
        alone = profile.measure([text])
        for name in ("characters", "unknown", "unlike", "unlikeness"):
            assert getattr(alone, name)[0] == getattr(together, name)[row]


def test_a_stored_profile_is_the_same_and_a_damaged_one_is_refused(profile: TextProfile, tmp_path: Path) -> None:
    assert TextProfile.load(tmp_path) is None
    profile.save(tmp_path)
    loaded = TextProfile.load(tmp_path)
    assert loaded is not None
    for name in ("unseen_share", "correlation", "mean", "spread", "limit"):
        assert getattr(loaded, name) == getattr(profile, name)
    assert np.array_equal(loaded.known, profile.known)
    assert np.array_equal(loaded.pairs, profile.pairs)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="is no profile of texts"):
        TextProfile.load(tmp_path)


def test_of_no_texts_there_are_no_figures(profile: TextProfile) -> None:
    assert len(profile.measure([]).characters) == 0
