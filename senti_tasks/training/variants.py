"""The variants of a trained model: made from its verified fp32 folder, and compared with it before one may serve."""

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
from transformers import AutoConfig

from senti_tasks.scoring import devices, int8, on_openvino
from senti_tasks.scoring.batches import padded
from senti_tasks.scoring.bert import is_bert
from senti_tasks.scoring.loading import load_classifier
from senti_tasks.scoring.on_torch import square
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.tokens import TextTokenizer

log = logging.getLogger(__name__)

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "config.json")
_VALIDATION_TOKENS = 1024  # in a batch, where accuracy control compares labels
_VALIDATION_TEXTS = 1_000

Labels = npt.NDArray[np.int64]


def library(variant: str, model: Path) -> str:
    """What makes ``variant`` of ``model`` here, with versions: another version may round otherwise."""
    if variant != "int8" or int8_is_torchs(model):
        return f"torch {torch.__version__}"
    nncf, openvino = _nncf(), on_openvino.version()
    return f"openvino {openvino}, nncf {nncf.__version__}"


def int8_is_torchs(model: Path) -> bool:
    """Whether int8 is built for torch: a BERT, on a CPU that OpenVINO's int8 would not be faster on than fp32."""
    shape = AutoConfig.from_pretrained(model)
    return is_bert(shape) and devices.has_fbgemm() and "INT8" not in devices.cpu_capabilities()


def build_bf16(model: Path, output: Path) -> None:
    """The classifier in ``model`` with its weights rounded to bf16, into ``output``: half the bytes."""
    load_classifier(model).to(torch.bfloat16).save_pretrained(output)
    _copy_tokenizer(model, output, but="config.json")


def build_int8_for_torch(model: Path, output: Path) -> None:
    """The classifier in ``model`` with products of bytes, for torch, into ``output``, as transformers saves it."""
    classifier = load_classifier(model)
    int8.round_weights(classifier)
    classifier.save_pretrained(output)
    _copy_tokenizer(model, output, but="config.json")


def build_int8(model: Path, output: Path, calibration: Sequence[str]) -> None:
    """The int8 variant of ``model`` that is the fastest on this machine, into ``output``."""
    if int8_is_torchs(model):
        build_int8_for_torch(model, output)
    else:
        build_int8_for_openvino(model, output, calibration)


def build_int8_for_openvino(model: Path, output: Path, calibration: Sequence[str]) -> None:
    """The classifier in ``model`` with products of bytes, for OpenVINO, into ``output``.

    Static quantisation by NNCF with its transformer preset; the ranges of activations are those that ``calibration``
    texts, from the training split, show. Everything but the products stays in floating point.
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
    """As ``build_int8_for_openvino``, but products that cost agreement go back to floating point, costly ones first.

    Until at least ``min_agreement`` of ``labels``, fp32's for ``texts``, come out again. The first thousand are looked
    at: every try scores them.
    """
    nncf, tokenizer = _nncf(), TextTokenizer.load(model)
    shown = texts[:_VALIDATION_TEXTS]
    tokens = tokenizer.encode(shown)
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
    """The share of labels that a compiled model gives as they stand in ``batches``, as NNCF asks for it."""
    equal = [compiled(inputs)[0].argmax(axis=1) == labels for inputs, labels in batches]
    return float(np.concatenate(equal).mean()), None


def agreement(reference: Predictions, found: Predictions) -> float:
    """The share of texts that get the same label; of no texts, 0."""
    same = reference.labels == found.labels
    return float(same.mean()) if len(same) else 0.0


def builders(
    model: Path, calibration: Sequence[str], texts: Sequence[str], labels: Labels, min_agreement: float
) -> dict[str, list[Callable[[Path], None]]]:
    """Form to the ways of building it into a folder, the next one for when what the one before built disagrees."""
    again = partial(
        build_int8_controlled,
        model,
        calibration=calibration,
        texts=texts,
        labels=labels,
        min_agreement=min_agreement,
    )
    return {
        "int8": [partial(build_int8, model, calibration=calibration), *([] if int8_is_torchs(model) else [again])],
        "bf16": [partial(build_bf16, model)],
    }


def _nncf() -> Any:
    """NNCF, imported only where variants are built. Its telemetry and its log messages are switched off."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    nncf.set_log_level(logging.WARNING)
    return nncf


def _samples(nncf: Any, tokenizer: TextTokenizer, texts: Sequence[str]) -> Any:
    """Each text alone, so that no padding is in the ranges."""
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
