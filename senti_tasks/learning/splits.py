"""Which split a text belongs to, decided once by its split key."""

SPLITS: tuple[str, str, str] = ("train", "validation", "test")

_HELD_OUT = 0.1  # share of the keys in validation, and again in test


def split_of(split_key: str) -> str:
    """The split of ``split_key`` (64 hex digits, see ``text.split_key``): 80/10/10 by the key's first 52 bits.

    The key is a SHA-256, so its leading digits are as good as random, and the answer never depends on other rows.
    """
    position = int(split_key[:13], 16) / 16**13  # in [0, 1)
    if position < _HELD_OUT:
        return "test"
    if position < 2 * _HELD_OUT:
        return "validation"
    return "train"
