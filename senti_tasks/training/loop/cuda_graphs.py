"""Training steps as CUDA graphs: the loss and the gradients of a batch in one launch, instead of over a thousand.

A step of 16 reviews through a BERT-base takes a GPU some milliseconds, and the host ten times as long to launch its
kernels one after the other. A graph is recorded once for each shape of a batch and then replayed (NVIDIA, CUDA C++
Programming Guide, "CUDA Graphs"; torch, "CUDA semantics", whole-network capture).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

log = logging.getLogger(__name__)

Batch = dict[str, Tensor]

MODEL_TYPES = frozenset({"bert", "electra", "roberta"})
"""The architectures whose forward pass needs no value from the GPU. Others cannot be recorded."""
_WARM_UP = 2


@dataclass(frozen=True)
class _Recorded:
    """A graph that reads ``inputs``, and writes ``loss`` (a scalar) and the gradients."""

    graph: torch.cuda.CUDAGraph
    inputs: Batch
    loss: Tensor


class GraphedGradients:
    """Computes the loss of a batch and the gradients of the model's trainable parameters.

    The order in which batches come does not change a result: each one is computed by a replay, also the first of its
    shape, and recording leaves the state of the random generator as it was. All graphs share their memory.
    """

    def __init__(self, model: PreTrainedModel, loss_of: Callable[[Batch], Tensor]) -> None:
        """``loss_of`` computes the loss of a batch on the GPU. The same shapes must take the same kernels."""
        self._loss_of = loss_of
        self._parameters = [one for one in model.parameters() if one.requires_grad]
        self._gradients = [torch.zeros_like(one) for one in self._parameters]
        self._recorded: dict[tuple[tuple[str, torch.Size], ...], _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._used: list[bool] = []
        """Of each parameter, whether the loss depends on it."""

    def __call__(self, batch: Batch) -> Tensor:
        """The loss, a scalar. Sets ``grad`` of the parameters; the next call overwrites these tensors."""
        shapes = tuple((name, part.shape) for name, part in batch.items())
        recorded = self._recorded.get(shapes) or self._record(shapes, batch)
        for name, part in batch.items():
            recorded.inputs[name].copy_(part)
        recorded.graph.replay()
        for parameter, gradient, used in zip(self._parameters, self._gradients, self._used, strict=True):
            parameter.grad = gradient if used else None
        return recorded.loss.clone()

    def _record(self, shapes: tuple[tuple[str, torch.Size], ...], batch: Batch) -> _Recorded:
        inputs = {name: part.clone() for name, part in batch.items()}
        random = torch.cuda.get_rng_state()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP if not self._recorded else 1):  # kernels are loaded and chosen outside a recording
                self._compute(inputs)
        torch.cuda.current_stream().wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            loss = self._compute(inputs)
        torch.cuda.set_rng_state(random)
        recorded = self._recorded[shapes] = _Recorded(graph, inputs, loss)
        log.info("recorded the CUDA graph of %s", ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes))
        return recorded

    def _compute(self, inputs: Batch) -> Tensor:
        loss = self._loss_of(inputs)
        found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        self._used = [one is not None for one in found]
        pairs = [(own, one) for own, one in zip(self._gradients, found, strict=True) if one is not None]
        torch._foreach_copy_([own for own, _ in pairs], [one for _, one in pairs])
        return loss.detach()
