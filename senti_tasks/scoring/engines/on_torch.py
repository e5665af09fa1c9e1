"""Scoring with torch: BERT models without padding, all other models with padding."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from senti_tasks.scoring import batches
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.engines.attention import Packed, Varlen, by_segments, flash, is_token
from senti_tasks.scoring.engines.bert import Bert
from senti_tasks.scoring.engines.engine import Logits
from senti_tasks.scoring.tokens import Tokens

CPU_BUDGETS = (512, 1024, 2048, 4096)
CUDA_BUDGETS = (32768,)
"""From 16,384 to 65,536 tokens the speed of an H200 differs by 2 % (docs/performance.md), so a probe would not pay."""
CUDA_QUEUE = 4
"""Batches that wait on a GPU while it computes another one. In that time the host prepares the next ones."""


class Pack(NamedTuple):
    """The rows of a batch, one after the other, without padding."""

    ids: npt.NDArray[np.int32]
    """(N,)"""
    positions: npt.NDArray[np.int32]
    """(N,): the position of each token in its text."""
    cu_seqlens: npt.NDArray[np.int32]
    """(S + 1,): the offset of each text, and the end of the last one."""

    @classmethod
    def of(cls, tokens: Tokens, batch: Batch) -> "Pack":
        rows = tokens.take(np.asarray(batch))
        positions = np.arange(rows.offsets[-1]) - np.repeat(rows.offsets[:-1], rows.lengths)
        return cls(rows.ids, positions.astype(np.int32), rows.offsets.astype(np.int32))


class PackedTorch:
    """A BERT classifier without padding.

    On a CPU each core computes another batch. That is faster than all cores on one batch, because no thread waits for
    another. On CUDA, batches are queued on the device while the host packs the next ones; bf16 uses fused layers.
    """

    def __init__(self, bert: Bert, device: torch.device, dtype: torch.dtype) -> None:
        cuda = device.type == "cuda"
        fused = cuda and dtype == torch.bfloat16
        if fused:
            bert.fuse()
        self._bert = bert.to(device, dtype).eval()
        self._device = device
        self._varlen: Varlen = flash if fused else by_segments
        self.token_budgets: Sequence[int] = CUDA_BUDGETS if cuda else CPU_BUDGETS
        self.at_once = CUDA_QUEUE if cuda else torch.get_num_threads()
        self._cores = None if cuda else _cores(self.at_once)

    def release(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        return batches.packed(lengths, token_budget)

    def start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        if self._cores is None:
            return to_host(self._forward(tokens, batch))
        return self._cores.submit(self._compute, tokens, batch).result

    def _compute(self, tokens: Tokens, batch: Batch) -> Logits:
        return to_host(self._forward(tokens, batch))()

    @torch.inference_mode()
    def _forward(self, tokens: Tokens, batch: Batch) -> Tensor:
        pack = Pack.of(tokens, batch)
        ids, positions, cu_seqlens = to_device(pack, self._device)
        longest = int(np.diff(pack.cu_seqlens).max())
        return self._bert(ids, positions, Packed(self._bert.heads, cu_seqlens, longest, self._varlen))  # type: ignore[no-any-return]


def _cores(count: int) -> ThreadPoolExecutor:
    """Threads that compute with one core each. The number of torch threads elsewhere stays as it is."""
    return ThreadPoolExecutor(count, thread_name_prefix="scoring", initializer=torch.set_num_threads, initargs=(1,))


def to_device(arrays: Sequence[npt.NDArray[np.int32]], device: torch.device) -> list[Tensor]:
    """The arrays as tensors on ``device``. One transfer copies them to CUDA, and the host does not wait for it."""
    if device.type != "cuda":
        return [torch.from_numpy(array) for array in arrays]
    # NumPy copies with one thread; torch would wake one on every core.
    pinned = torch.empty(sum(map(len, arrays)), dtype=torch.int32, pin_memory=True)
    np.concatenate(arrays, out=pinned.numpy())
    there = pinned.to(device, non_blocking=True)
    ends = np.cumsum([len(array) for array in arrays]).tolist()
    return [there[end - len(array) : end] for array, end in zip(arrays, ends, strict=True)]


def to_host(logits: Tensor) -> Callable[[], Logits]:
    """Starts to copy ``logits`` from their device. The returned function waits for the copy."""
    if logits.device.type != "cuda":
        return logits.numpy
    fetched = torch.empty(logits.shape, dtype=logits.dtype, pin_memory=True)
    fetched.copy_(logits, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def wait() -> Logits:
        done.synchronize()
        return fetched.numpy()

    return wait


class PaddedTorch:
    """Any classifier of transformers. Each batch is padded to its longest text."""

    def __init__(self, model: Any, device: torch.device, dtype: torch.dtype, pad_id: int) -> None:
        self._model = model.to(device, dtype).eval()
        self._device = device
        self._pad_id = pad_id
        cuda = device.type == "cuda"
        self.token_budgets: Sequence[int] = CUDA_BUDGETS if cuda else CPU_BUDGETS
        self.at_once = CUDA_QUEUE if cuda else 0

    def release(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        return batches.padded(lengths, token_budget)

    @torch.inference_mode()
    def start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        ids, lengths = square(tokens, batch, self._pad_id)
        flat, counts = to_device((ids.ravel(), lengths), self._device)
        mask = is_token(counts, ids.shape[1]).long()  # (B, T)
        logits: Tensor = self._model(input_ids=flat.view(ids.shape).long(), attention_mask=mask).logits
        return to_host(logits.float())


def square(
    tokens: Tokens, batch: Batch, pad_id: int, step: int = 1
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The rows of a batch, padded to the longest, rounded up to a multiple of ``step``: ids (B, T), lengths (B,)."""
    lengths = tokens.lengths[batch]
    width = -(-int(lengths.max()) // step) * step
    ids = np.full((len(batch), width), pad_id, dtype=np.int32)
    ids[np.arange(width)[None] < lengths[:, None]] = Pack.of(tokens, batch).ids
    return ids, lengths.astype(np.int32)
