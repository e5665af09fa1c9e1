"""The variants of a model: built from its fp32 folder, and compared with it before one of them may serve."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from senti_tasks.scoring import on_openvino
from senti_tasks.scoring.batches import padded
from senti_tasks.scoring.loading import load_classifier
from senti_tasks.scoring.on_torch import square
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.tokens import TextTokenizer

log = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")
_VALIDATION_TOKENS = 1024  # in a batch, where accuracy control compares labels
_VALIDATION_TEXTS = 1_000

Labels = npt.NDArray[np.int64]


def library(variant: str) -> str:
    """The library that builds ``variant`` here, with its version: another version may round differently."""
    if variant != "int8":
        return f"torch {torch.__version__}"
    nncf, openvino = _nncf(), on_openvino.version()
    return f"openvino {openvino}, nncf {nncf.__version__}"


def build_bf16(model: Path, output: Path) -> None:
    """Writes the classifier in ``model`` into ``output``, with its weights rounded to bf16: half the bytes."""
    load_classifier(model).to(torch.bfloat16).save_pretrained(output)
    _copy_tokenizer(model, output, but="config.json")


def build_int8(model: Path, output: Path, calibration: Sequence[str]) -> None:
    """Writes the classifier in ``model`` into ``output`` for OpenVINO, with its matrix products in int8.

    Static quantisation by NNCF with its transformer preset. The ranges of activations are those of the ``calibration``
    texts, which come from the training split. Everything but the products stays in floating point.
    """
    nncf, tokenizer = _nncf(), TextTokenizer.load(model)
    with redirect_stdout(StringIO()):  # its progress bars
        quantised = nncf.quantize(
            on_openvino.convert(load_classifier(model)),
            _samples(nncf, tokenizer, calibration),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
        )
    _save(quantised, model, output)


def build_int8_controlled(
    model: Path, output: Path, calibration: Sequence[str], texts: Sequence[str], labels: Labels, min_agreement: float
) -> None:
    """As ``build_int8``, but products that cost agreement go back to floating point, the costliest first.

    It stops when at least ``min_agreement`` of the ``texts`` get their label of ``labels``, which are those of fp32.
    Only the first thousand texts are compared, since every step scores them.
    """
    nncf, tokenizer = _nncf(), TextTokenizer.load(model)
    compared = texts[:_VALIDATION_TEXTS]
    tokens = tokenizer.encode(compared)
    batches = [
        (_inputs(*square(tokens, batch, tokenizer.pad_id)), labels[batch])
        for batch in padded(tokens.lengths, _VALIDATION_TOKENS)
    ]
    with redirect_stdout(StringIO()):
        quantised = nncf.quantize_with_accuracy_control(
            on_openvino.convert(load_classifier(model)),
            calibration_dataset=_samples(nncf, tokenizer, calibration),
            validation_dataset=nncf.Dataset(batches, lambda batch: batch[0]),
            validation_fn=_agreement_of,
            max_drop=1 - min_agreement,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
        )
    _save(quantised, model, output)


def _agreement_of(compiled: Any, batches: Any) -> tuple[float, None]:
    """The share of texts to which a compiled model gives the label in ``batches``, in the form that NNCF expects."""
    equal = [compiled(inputs)[0].argmax(axis=1) == labels for inputs, labels in batches]
    return float(np.concatenate(equal).mean()), None


def agreement(reference: Predictions, found: Predictions) -> float:
    """The share of texts that get the same label from both; 0 if there are no texts."""
    same = reference.labels == found.labels
    return float(same.mean()) if len(same) else 0.0


def builders(
    model: Path, calibration: Sequence[str], texts: Sequence[str], labels: Labels, min_agreement: float
) -> dict[str, list[Callable[[Path], None]]]:
    """For each variant, the functions that build it into a folder. The next one is for when the variant of the one
    before disagrees too often with fp32."""
    controlled = partial(
        build_int8_controlled,
        model,
        calibration=calibration,
        texts=texts,
        labels=labels,
        min_agreement=min_agreement,
    )
    return {
        "int8": [partial(build_int8, model, calibration=calibration), controlled],
        "bf16": [partial(build_bf16, model)],
    }


def _nncf() -> Any:
    """NNCF, imported only where variants are built. Its telemetry and its log messages are switched off."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    nncf.set_log_level(logging.WARNING)
    return nncf


def _samples(nncf: Any, tokenizer: TextTokenizer, texts: Sequence[str]) -> Any:
    """Each text as a batch of one, so that the ranges contain no padding."""
    tokens = tokenizer.encode(texts)
    return nncf.Dataset([_inputs(*square(tokens, [row], tokenizer.pad_id)) for row in range(len(texts))])


def _inputs(ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[np.int32]]:
    return {"input_ids": ids, "lengths": lengths}


def _save(quantised: Any, model: Path, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    on_openvino.save(quantised, output)
    _copy_tokenizer(model, output)


def _copy_tokenizer(model: Path, output: Path, but: str | None = None) -> None:
    for name in _TOKENIZER_FILES:
        if name != but:
            shutil.copyfile(model / name, output / name)
