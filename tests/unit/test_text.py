"""What is done to a review's text."""

import hashlib

import pytest

from senti_tasks import text


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  房间\t很\n\n好  ", "房间 很 好"),
        ("全角　空格", "全角 空格"),
        ("零\u200b宽\ufeff字\u2060符", "零宽字符"),
        ("响\x07铃", "响铃"),
        ("很好！？，。“”", "很好！？，。“”"),
        ("ＡＢＣ１２３", "ＡＢＣ１２３"),
        ("👍🏽👨‍👩‍👧❤️", "👍🏽👨‍👩‍👧❤️"),
        ("繁體𠮷", "繁體𠮷"),
        ("", ""),
        (" \n\u200b", ""),
    ],
)
def test_normalising_drops_what_cannot_be_seen_and_nothing_else(raw: str, clean: str) -> None:
    assert text.normalise(raw) == clean


def test_normalising_twice_is_normalising_once() -> None:
    raw = " a\u200b \u3000b\x00 \u200b c "
    assert text.normalise(text.normalise(raw)) == text.normalise(raw)


def test_the_digest_is_that_of_postgresql_over_the_raw_text() -> None:
    assert text.text_hash(" 很好") == hashlib.sha256(" 很好".encode()).hexdigest()[:32]
    assert text.text_hash(" 很好") != text.text_hash("很好")


@pytest.mark.parametrize("other", ["很好吃！", " 很 好 吃", "很，好。吃~", "很好吃😊"])
def test_texts_that_differ_in_punctuation_alone_share_a_split(other: str) -> None:
    assert text.content_hash(other) == text.content_hash("很好吃")


@pytest.mark.parametrize(("one", "other"), [("ＨＯＴＥＬ", "hotel"), ("①", "1"), ("ﬁne", "FINE")])
def test_texts_that_differ_in_width_or_case_alone_share_a_split(one: str, other: str) -> None:
    assert text.content_hash(one) == text.content_hash(other)


def test_other_words_and_other_emoji_have_splits_of_their_own() -> None:
    keys = [text.content_hash(one) for one in ("很好", "不好", "很好2", "😊", "😡", "！", "？")]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


@pytest.mark.parametrize("fit", ["好", "😡", "。", "很好" * 50_000, "👨‍👩‍👧", "坏\x07了"])
def test_what_can_be_scored_has_no_defect(fit: str) -> None:
    assert text.defect(fit) is None


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [
        (None, "blank"),
        ("", "blank"),
        (" \u3000\n\u200b", "blank"),
        ("\0", "blank"),
        ("坏\0了", "NUL"),
        ("半\ud83d个", "half of a surrogate pair"),
        (b"\xe5\xa5\xbd\xff".decode("utf-8", "surrogateescape"), "not UTF-8: its byte 0xff"),
    ],
)
def test_what_cannot_be_scored_says_why(unfit: str | None, reason: str) -> None:
    found = text.defect(unfit)
    assert found is not None
    assert reason in found


def test_half_a_surrogate_pair_can_be_digested() -> None:
    assert len(text.text_hash("\ud83d")) == 32
    assert len(text.content_hash("\ud83d")) == 64
