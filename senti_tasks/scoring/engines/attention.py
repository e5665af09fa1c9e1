"""Attention within each text of a batch, for packed and for padded batches."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Varlen = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Tensor]
"""Attention within segments. Arguments: q (N, heads, d), k and v (M, heads, d), the offsets of the segments in q and in
k (S + 1,), the length of the longest segment in q and in k. Result: (N, heads, d). These are the first seven arguments
of ``torch.nn.attention.varlen.varlen_attn``; the others differ between versions of torch."""


def flash(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int) -> Tensor:
    """The variable-length attention of torch: CUDA, half precision, torch 2.10 or later."""
    from torch.nn.attention.varlen import varlen_attn

    return varlen_attn(q, k, v, cu_q, cu_k, max_q, max_k)  # type: ignore[return-value]  # a tuple only with return_aux


def by_segments(q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int) -> Tensor:
    """The same on any device and in any precision: one call for each run of segments of equal length.

    Texts are sorted by length, so there are few runs.
    """
    pairs = torch.stack([cu_q.diff(), cu_k.diff()], dim=1)  # (S, 2)
    lengths, counts = torch.unique_consecutive(pairs, dim=0, return_counts=True)
    attended = torch.empty_like(q)
    from_q = from_k = 0
    for (in_q, in_k), count in zip(lengths.tolist(), counts.tolist(), strict=True):
        to_q, to_k = from_q + in_q * count, from_k + in_k * count
        square = (count, -1, *q.shape[1:])
        context = functional.scaled_dot_product_attention(
            q[from_q:to_q].reshape(square).transpose(1, 2),  # (count, heads, in_q, d)
            k[from_k:to_k].reshape(square).transpose(1, 2),
            v[from_k:to_k].reshape(square).transpose(1, 2),
        )
        attended[from_q:to_q] = context.transpose(1, 2).reshape(-1, *q.shape[1:])
        from_q, from_k = to_q, to_k
    return attended


class Packed:
    """Attention for packed texts: the tokens of all texts of a batch in one row, without padding."""

    def __init__(self, heads: int, cu_seqlens: Tensor, longest: int, varlen: Varlen) -> None:
        """``cu_seqlens``: the offsets of the texts, (S + 1,), int32. ``longest``: the length of the longest text."""
        self._heads = heads
        self._cu_seqlens = cu_seqlens
        self._longest = longest
        self._varlen = varlen
        self._one_each = torch.arange(len(cu_seqlens), dtype=torch.int32, device=cu_seqlens.device)

    def first(self, x: Tensor) -> Tensor:
        """(N, H) to (S, H)."""
        return x[self._cu_seqlens[:-1]]

    def of_all(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cu, longest = self._cu_seqlens, self._longest
        q, k, v = (_split(part, self._heads) for part in (q, k, v))  # (N, heads, d)
        return self._varlen(q, k, v, cu, cu, longest, longest).flatten(-2)

    def of_first(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cu, longest = self._cu_seqlens, self._longest
        q, k, v = (_split(part, self._heads) for part in (q, k, v))
        return self._varlen(q, k, v, self._one_each, cu, 1, longest).flatten(-2)


class Padded:
    """Attention for texts that are padded to the longest one. Padding is masked."""

    def __init__(self, heads: int, lengths: Tensor, longest: int) -> None:
        """``lengths``: the number of tokens of each text, (B,). ``longest``: the width T that they are padded to."""
        self._heads = heads
        self._bias = torch.where(is_token(lengths, longest), 0.0, torch.finfo(torch.float32).min)[
            :, None, None, :
        ]  # (B, 1, 1, T)

    def first(self, x: Tensor) -> Tensor:
        return x[:, :1]

    def of_all(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (_split(part, self._heads).transpose(1, 2) for part in (q, k, v))  # (B, heads, T, d)
        context = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._bias.to(q.dtype))
        return context.transpose(1, 2).flatten(-2)

    def of_first(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.of_all(q, k, v)


def is_token(lengths: Tensor, width: int) -> Tensor:
    """(B, width), bool: True for tokens, False for padding."""
    return torch.arange(width, device=lengths.device)[None] < lengths[:, None]


def _split(x: Tensor, heads: int) -> Tensor:
    """(..., H) to (..., heads, d)."""
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads)
