"""The processes that train one model together. Each computes a part of every batch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from senti_tasks.scoring.devices import device_named


@dataclass(frozen=True)
class Group:
    """This process and the others. Each method that communicates is called by all processes, in the same order."""

    rank: int = 0
    """The number of this process. Process 0 writes the checkpoints, the model and the reports."""
    size: int = 1
    control: dist.ProcessGroup | None = None
    """A gloo group for decisions: with NCCL each decision would wait for the GPU."""
    ready_file: Path | None = None
    """Process 0 writes its process id here while it handles signals."""

    def agreed(self, *decisions: bool) -> list[bool]:
        """The decisions of process 0. The clocks of the others differ, and only process 0 gets signals."""
        if self.size == 1:
            return list(decisions)
        flags = torch.tensor(decisions, dtype=torch.uint8)
        dist.broadcast(flags, src=0, group=self.control)
        return [bool(flag) for flag in flags.tolist()]

    def wait(self) -> None:
        """Returns when every process has called it."""
        if self.size > 1:
            dist.barrier(group=self.control)

    def average(self, gradients: Sequence[Tensor], share: float) -> None:
        """Replaces ``gradients`` by their mean over all processes, with weights ``share`` whose mean is 1.

        They are summed as one tensor whose layout never changes. The buckets of DistributedDataParallel depend on the
        first step after the start. With more than two processes a resumed training could then round differently.
        """
        flat = torch.cat([one.reshape(-1) for one in gradients]).mul_(share / self.size)
        dist.all_reduce(flat)
        sums = torch.split(flat, [one.numel() for one in gradients])
        torch._foreach_copy_(list(gradients), [part.view_as(one) for part, one in zip(sums, gradients, strict=True)])

    @contextmanager
    def receiving_signals(self) -> Iterator[None]:
        """While this is open, the launcher passes its signals to process 0, which must have handlers for them."""
        if self.ready_file is None or self.rank > 0:
            yield
            return
        partial = self.ready_file.with_suffix(".partial")
        partial.write_text(str(os.getpid()), encoding="utf-8")
        partial.replace(self.ready_file)
        try:
            yield
        finally:
            self.ready_file.unlink(missing_ok=True)


ALONE = Group()
"""A training in one process."""


def join(device: str, ready_file: Path) -> Group:
    """The group of this process, which torchrun has started. On GPUs, process n takes the n-th one, and NCCL."""
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device_named(device).type != "cuda":
        dist.init_process_group("gloo")
        return Group(rank, size, dist.group.WORLD, ready_file)
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    dist.init_process_group("nccl", device_id=own)
    return Group(rank, size, dist.new_group(backend="gloo"), ready_file)
