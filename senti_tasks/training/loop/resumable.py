"""The Hugging Face Trainer for all trainings here. A killed and resumed training ends with the same weights."""

import logging
import math
import os
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from senti_tasks.config import PretrainConfig, TrainConfig
from senti_tasks.scoring.devices import cpu_capabilities, cuda_has_bf16, device_named
from senti_tasks.training.loop.checkpoints import StopAtCheckpoint
from senti_tasks.training.loop.cuda_graphs import MODEL_TYPES, Batch, GraphedGradients
from senti_tasks.training.loop.sampling import SHARE, LengthGroupedSampler, PartOfBatch
from senti_tasks.training.processes.group import ALONE, Group

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
"""One row per text: ``input_ids``, not padded, and further fields."""


class ResumableTrainer(Trainer):
    """The Trainer of transformers, with an order of rows that a resumed training repeats.

    Several processes compute parts of the same batch, and average their gradients after each backward pass. So CUDA
    graphs are the same for one process and for several.
    """

    def __init__(self, model: PreTrainedModel, group: Group = ALONE, **arguments: Any) -> None:
        model.accepts_loss_kwargs = False  # type: ignore[assignment]  # else accumulated losses are added, not averaged
        super().__init__(model=model, **arguments)
        self._group = group
        self._batch_size = self.args.train_batch_size * group.size
        if group.size > 1:
            torch.manual_seed(
                self.args.seed + group.rank
            )  # else all processes would drop the same places of their rows
            # Without this, accelerate wraps the model in DistributedDataParallel, which would average gradients again.
            self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        if self.args.device.type == "cuda":
            make_deterministic(warn_only=model.config.model_type not in MODEL_TYPES)
        self.remove_callback(PrinterCallback)
        self._gradients: GraphedGradients | None = None

    def resume(self, checkpoint: Path | None, stop: StopAtCheckpoint) -> None:
        """Trains to the end, from ``checkpoint`` or, without one, from the start. ``stop`` is one of the callbacks."""
        if checkpoint:
            log.info("resuming from %s", checkpoint)
        with stop.handling_signals():
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """The loss of a batch, a scalar; sets the gradients. The loss of this process is weighted so that the mean of
        all processes is that of the batch."""
        if self._group.size == 1:
            return self._step(model, inputs)
        share = inputs.pop(SHARE)
        loss = self._step(model, inputs)
        self._group.average([one.grad for one in model.parameters() if one.grad is not None], share)
        return cast(torch.Tensor, loss * share)

    def _step(self, model: Any, inputs: Batch) -> torch.Tensor:
        """The loss and the gradients of this process. On a GPU by a CUDA graph, if the model allows it."""
        if self.args.device.type != "cuda" or cast(PreTrainedModel, self.model).config.model_type not in MODEL_TYPES:
            return super().training_step(model, inputs)

        def loss_of(batch: Batch) -> torch.Tensor:
            with self.compute_loss_context_manager():
                return cast(torch.Tensor, self.compute_loss(model, batch))

        model.train()
        if self._gradients is None:
            self._gradients = GraphedGradients(cast(PreTrainedModel, self.model), loss_of)
        return self._gradients(cast(Batch, self._prepare_inputs(inputs)))

    def get_train_dataloader(self) -> Any:
        if self._group.size == 1:
            return super().get_train_dataloader()
        # accelerate would fill the last batch up with rows of the first one, and give each process batches of its own.
        return DataLoader(
            cast(Any, self.train_dataset),
            batch_size=self._batch_size,
            sampler=self._get_train_sampler(),
            collate_fn=PartOfBatch(cast(Any, self.data_collator), self._group.rank, self._group.size),
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:
        lengths = [len(row["input_ids"]) for row in cast(Rows, self.train_dataset)]
        return LengthGroupedSampler(lengths, self._batch_size, self.args.seed, self.current_epoch)

    def current_epoch(self) -> int:
        """The number of the current epoch, from 0. It is also correct after a resumption."""
        steps = math.ceil(len(cast(Rows, self.train_dataset)) / self._batch_size)
        return int(self.state.global_step // steps)


def make_deterministic(warn_only: bool = False) -> None:
    """Lets torch use deterministic kernels only. Without ``warn_only`` an operation that has none raises
    ``RuntimeError``; with it, it warns, and attention is not deterministic either."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    # The fill is for debugging only, and costs one kernel launch per tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # mypy sees no property


def width_step(device: str) -> int:
    """Batches for ``device`` are padded to a multiple of this many tokens.

    Attention in half precision is slow for masks whose width is no multiple of 8. On a GPU each width costs a third of
    a second, to record its graph.
    """
    return 16 if device_named(device).type == "cuda" else 8


def arguments_for(
    config: TrainConfig | PretrainConfig, folder: Path, device: str, group: Group = ALONE, **more: Any
) -> TrainingArguments:
    """The arguments that all trainings share; ``more`` adds to them or replaces some.

    bf16 if ``device`` has bf16 matrix products. An evaluation and a checkpoint below ``folder`` after each epoch. No
    reporting integration.
    """
    cuda = device_named(device).type == "cuda"
    half = cuda_has_bf16() if cuda else "BF16" in cpu_capabilities()
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "seed": config.seed,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "warmup_steps": config.warmup_fraction,  # a value below 1 is a share of all steps
        "lr_scheduler_type": "linear",
        "optim": "adamw_torch_fused",
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size // group.size,
        "eval_strategy": "epoch",
        "logging_strategy": "epoch",
        "logging_nan_inf_filter": False,  # it would wait for the GPU after each step; a diverged model is refused later
        "save_strategy": "epoch",
        "save_total_limit": 1,  # in addition to the best one
        "remove_unused_columns": False,
        "use_cpu": not cuda,
        "bf16": half,
        "dataloader_pin_memory": cuda,
        "disable_tqdm": True,  # its bars collide with those of the caller, and it prints raw dicts of figures
        "report_to": "none",
    }
    arguments = TrainingArguments(**common | more)
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # with several GPUs the Trainer would multiply the batch size by their number
    return arguments
