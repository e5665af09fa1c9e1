"""Scoring with torch: a BERT packed, on a CPU's cores side by side or as CUDA graphs, and any other encoder padded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from senti_tasks.scoring import batches
from senti_tasks.scoring.attention import Packed, Varlen, by_segments, flash, is_token
from senti_tasks.scoring.batches import Batch
from senti_tasks.scoring.bert import Bert, finish_layer
from senti_tasks.scoring.tokens import Tokens

Logits = npt.NDArray[np.float32]

CPU_BUDGETS = (512, 1024, 2048, 4096)
CUDA_BUDGETS = (8192, 16384, 32768, 65536)


class Pack(NamedTuple):
    """The rows of a batch, one after the other."""

    ids: npt.NDArray[np.int32]
    """(N,)"""
    positions: npt.NDArray[np.int32]
    """(N,): of each token in its text."""
    cu_seqlens: npt.NDArray[np.int32]
    """(S + 1,): where each text starts, and where the last one ends."""

    @classmethod
    def of(cls, tokens: Tokens, batch: Batch) -> "Pack":
        rows = tokens.take(np.asarray(batch))
        positions = np.arange(rows.offsets[-1]) - np.repeat(rows.offsets[:-1], rows.lengths)
        return cls(rows.ids, positions.astype(np.int32), rows.offsets.astype(np.int32))

    def filled(self, tokens: int, segments: int, longest: int, pad_id: int) -> "Pack":
        """This pack at a fixed size: ``tokens`` in all, in ``segments`` of at most ``longest``.

        What is left is filled with padding in segments of its own, which no text attends to, and the segments left
        over are empty: their offset is the last one.
        """
        used = len(self.ids)
        left = tokens - used
        filler = np.arange(used + longest, tokens, longest, dtype=np.int32)
        cu = np.full(segments + 1, tokens, dtype=np.int32)
        cu[: len(self.cu_seqlens)] = self.cu_seqlens
        cu[len(self.cu_seqlens) : len(self.cu_seqlens) + len(filler)] = filler
        ids = np.concatenate([self.ids, np.full(left, pad_id, dtype=np.int32)])
        positions = np.concatenate([self.positions, np.zeros(left, dtype=np.int32)])
        return Pack(ids, positions, cu)


class PackedTorch:
    """A BERT classifier without padding.

    On a CPU each core computes a batch of its own, which is faster than sharing one: no thread waits for another. In
    bf16 on CUDA every batch has one of a few shapes, each captured as a graph.
    """

    def __init__(
        self, bert: Bert, device: torch.device, dtype: torch.dtype, pad_id: int, *, fixed_shapes: bool | None = None
    ) -> None:
        """``fixed_shapes`` is for tests of that path on a CPU; left out, bf16 on CUDA has them."""
        self._bert = bert.to(device, dtype).eval()
        self._device = device
        self._pad_id = pad_id
        self._cuda = device.type == "cuda"
        self._capture = self._cuda and dtype == torch.bfloat16
        self._fixed = self._capture if fixed_shapes is None else fixed_shapes
        self._varlen: Varlen = flash if self._capture else by_segments
        self._replays: dict[tuple[int, int], _Replay] = {}
        self._pool = torch.cuda.graph_pool_handle() if self._capture else None
        self._token_budget = 0
        self.token_budgets: Sequence[int] = CUDA_BUDGETS if self._cuda else CPU_BUDGETS
        self.at_once = 3 if self._cuda else torch.get_num_threads()
        self._cores = None if self._cuda else _cores(self.at_once)

    def compile(self) -> None:
        """Fuses what follows the products of a layer into them (CUDA; takes up to minutes, the next time seconds)."""
        if self._capture:
            self._replays.clear()
            self._bert.use(torch.compile(finish_layer, dynamic=False, mode="max-autotune-no-cudagraphs"))

    def release(self) -> None:
        """Gives back what graphs hold of the device's memory."""
        self._replays.clear()
        if self._cuda:
            torch.cuda.empty_cache()

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        """Batches for ``run``, in rows of ``lengths``."""
        if not self._fixed:
            return batches.packed(lengths, token_budget)
        self._token_budget = max(token_budget, int(lengths.max(initial=0)))
        return batches.packed(
            lengths,
            self._token_budget,
            lambda longest: _texts_of(self._token_budget, _bucket(longest)),
        )

    def run(self, tokens: Tokens, planned: Iterable[Batch]) -> Iterator[tuple[Batch, Logits]]:
        """Logits (len(batch), n_labels) of each batch, in their order. The host packs while the device computes."""
        under_way: deque[tuple[Batch, Callable[[], Logits]]] = deque()
        for batch in planned:
            cores = self._cores
            wait = self._start(tokens, batch) if cores is None else cores.submit(self._score, tokens, batch).result
            under_way.append((batch, wait))
            if len(under_way) > self.at_once:
                done, wait = under_way.popleft()
                yield done, wait()
        for done, wait in under_way:
            yield done, wait()

    def _score(self, tokens: Tokens, batch: Batch) -> Logits:
        return self._start(tokens, batch)()

    @torch.inference_mode()
    def _start(self, tokens: Tokens, batch: Batch) -> Callable[[], Logits]:
        """Sets the device to work on a batch; the function returned waits for it."""
        pack = Pack.of(tokens, batch)
        longest = int(np.diff(pack.cu_seqlens).max())
        if self._fixed:
            longest = _bucket(longest)
            fillers = self._token_budget // longest + 1
            segments = _texts_of(self._token_budget, longest) + fillers
            pack = pack.filled(self._token_budget, segments, longest, self._pad_id)
        if not self._capture:
            logits = self._forward(
                self._there(pack.ids), self._there(pack.positions), self._there(pack.cu_seqlens), longest
            )
            return lambda: logits[: len(batch)].cpu().numpy()
        key = (self._token_budget, longest)
        if key not in self._replays:
            self._replays[key] = _Replay(self._forward, pack, longest, self._device, self._pool)
        return self._replays[key].start(pack, len(batch))

    def _there(self, array: npt.NDArray[np.int32]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _forward(self, ids: Tensor, positions: Tensor, cu_seqlens: Tensor, longest: int) -> Tensor:
        return self._bert(ids, positions, Packed(self._bert.heads, cu_seqlens, longest, self._varlen))  # type: ignore[no-any-return]


def _cores(count: int) -> ThreadPoolExecutor:
    """Threads that compute with one core each; how many torch uses elsewhere stays as it is."""
    return ThreadPoolExecutor(count, thread_name_prefix="scoring", initializer=torch.set_num_threads, initargs=(1,))


class _Replay:
    """A forward pass of fixed shapes, captured once as a CUDA graph: one launch in place of some hundred."""

    def __init__(
        self,
        forward: Callable[[Tensor, Tensor, Tensor, int], Tensor],
        like: Pack,
        longest: int,
        device: torch.device,
        pool: Any,
    ) -> None:
        """Graphs with the same ``pool`` share their memory: they run one after the other, and so do the copies."""
        ids, positions, cu_seqlens = (torch.from_numpy(array).to(device) for array in like)
        self._inputs = (ids, positions, cu_seqlens)
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # compiling and filling caches cannot be captured
            for _ in range(2):
                forward(ids, positions, cu_seqlens, longest)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._logits = forward(ids, positions, cu_seqlens, longest)

    def start(self, pack: Pack, texts: int) -> Callable[[], Logits]:
        for own, array in zip(self._inputs, pack, strict=True):
            own.copy_(torch.from_numpy(array).pin_memory(), non_blocking=True)
        self._graph.replay()
        logits = torch.empty((texts, self._logits.shape[1]), dtype=torch.float32, pin_memory=True)
        logits.copy_(self._logits[:texts], non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()

        def wait() -> Logits:
            done.synchronize()
            return logits.numpy()

        return wait


def _bucket(longest: int) -> int:
    """The length that a batch's shapes are made for: the next power of two, 32 or more."""
    return max(32, 1 << (longest - 1).bit_length())


def _texts_of(token_budget: int, bucket: int) -> int:
    """The most texts in a batch: as many as fit when they fill a quarter of the bucket each.

    Every segment costs the attention something, used or not, and texts sorted by length leave few so short.
    """
    return max(1, token_budget // (bucket // 4))


class PaddedTorch:
    """Any classifier of transformers, each batch padded to its longest text."""

    def __init__(self, model: Any, device: torch.device, dtype: torch.dtype, pad_id: int) -> None:
        self._model = model.to(device, dtype).eval()
        self._device = device
        self._pad_id = pad_id
        self.token_budgets: Sequence[int] = CUDA_BUDGETS if device.type == "cuda" else CPU_BUDGETS
        self.at_once = 1

    def compile(self) -> None:
        """Nothing: its shapes change from batch to batch."""

    def release(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def batches(self, lengths: npt.NDArray[np.int64], token_budget: int) -> Iterator[Batch]:
        return batches.padded(lengths, token_budget)

    def run(self, tokens: Tokens, planned: Iterable[Batch]) -> Iterator[tuple[Batch, Logits]]:
        for batch in planned:
            ids, lengths = square(tokens, batch, self._pad_id)
            yield batch, self._forward(torch.from_numpy(ids), torch.from_numpy(lengths))

    @torch.inference_mode()
    def _forward(self, ids: Tensor, lengths: Tensor) -> Logits:
        mask = is_token(lengths, ids.shape[1]).long()  # (B, T)
        output = self._model(input_ids=ids.long().to(self._device), attention_mask=mask.to(self._device))
        logits: Logits = output.logits.float().cpu().numpy()
        return logits


def square(
    tokens: Tokens, batch: Batch, pad_id: int, step: int = 1
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The rows of a batch padded to the longest, rounded up to a multiple of ``step``: ids (B, T) and lengths (B,)."""
    lengths = tokens.lengths[batch]
    width = -(-int(lengths.max()) // step) * step
    ids = np.full((len(batch), width), pad_id, dtype=np.int32)
    ids[np.arange(width)[None] < lengths[:, None]] = Pack.of(tokens, batch).ids
    return ids, lengths.astype(np.int32)
