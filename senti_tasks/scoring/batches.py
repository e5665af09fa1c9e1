"""Which texts are scored together: neighbours in length, and as many as a budget of tokens holds."""

from collections.abc import Iterator, Sequence


def by_length(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Positions in ``lengths``, longest first, in batches whose rows times longest row keep to ``token_budget``.

    Sorting leaves little to pad, and a budget of tokens keeps a batch of short texts as large for the machine as one of
    long texts. A row longer than the budget is a batch of its own. Longest first: memory peaks at once or never.
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batch: list[int] = []
    for position in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > token_budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
