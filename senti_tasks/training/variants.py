"""Builds the faster variants of a model from its fp32 folder, and compares their labels with those of fp32."""

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

from senti_tasks.corpus import text_profile
from senti_tasks.scoring.batches import padded
from senti_tasks.scoring.engines import on_openvino
from senti_tasks.scoring.engines.on_torch import square
from senti_tasks.scoring.loading import load_classifier
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.tokens import TextTokenizer

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_TEXT_FILES = (*_TOKENIZER_FILES, text_profile.FILE)
"""What scoring reads of the texts; a model that was trained before there were profiles has none."""
_VALIDATION_TOKENS = 1024  # tokens in a batch of the comparison in accuracy control

CONTROL_TEXTS = 1_000
"""Texts on which accuracy control compares labels; each of its steps scores them all."""

Labels = npt.NDArray[np.int64]


def library(variant: str) -> str:
    """Name and version of the library that builds ``variant``. It is recorded, as versions may round differently."""
    if variant != "int8":
        return f"torch {torch.__version__}"
    return f"openvino {on_openvino.version()}, nncf {_nncf().__version__}"


def build_bf16(model: Path, output: Path) -> None:
    """Writes the classifier in ``model`` into ``output`` with its weights rounded to bf16: half the bytes."""
    load_classifier(model).to(torch.bfloat16).save_pretrained(output)
    _copy(model, output, _TEXT_FILES)


def build_int8(model: Path, output: Path, calibration: Sequence[str], **control: Any) -> None:
    """Writes the classifier in ``model`` into ``output`` for OpenVINO, with its matrix products in int8.

    Static quantisation by NNCF with its transformer preset. The texts of ``calibration``, which come from the training
    split, give the ranges of the activations. All other operations stay in floating point. ``control`` are arguments of
    NNCF's accuracy control, see ``build_int8_controlled``.
    """
    nncf, tokenizer = _nncf(), TextTokenizer.load(model)
    tokens = tokenizer.encode(calibration)
    # Each text is a batch of one, so that padding does not affect the ranges.
    samples = [_inputs(*square(tokens, [row], tokenizer.pad_id)) for row in range(len(calibration))]
    quantise = nncf.quantize_with_accuracy_control if control else nncf.quantize
    with redirect_stdout(StringIO()):  # NNCF prints progress bars
        quantised = quantise(
            on_openvino.convert(load_classifier(model)),
            calibration_dataset=nncf.Dataset(samples),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
            **control,
        )
    output.mkdir(parents=True, exist_ok=True)
    on_openvino.save(quantised, output)
    _copy(model, output, (*_TEXT_FILES, "config.json"))


def build_int8_controlled(
    model: Path, output: Path, calibration: Sequence[str], texts: Sequence[str], labels: Labels, min_agreement: float
) -> None:
    """As ``build_int8``, with accuracy control: products that lower the agreement most return to floating point.

    It stops when the share ``min_agreement`` of ``texts`` gets its label in ``labels``, the labels of fp32. Only the
    first ``CONTROL_TEXTS`` are compared.
    """
    tokenizer = TextTokenizer.load(model)
    tokens = tokenizer.encode(texts[:CONTROL_TEXTS])
    batches = [
        (_inputs(*square(tokens, batch, tokenizer.pad_id)), labels[batch])
        for batch in padded(tokens.lengths, _VALIDATION_TOKENS)
    ]
    build_int8(
        model,
        output,
        calibration,
        validation_dataset=_nncf().Dataset(batches, lambda batch: batch[0]),
        validation_fn=_agreement_of,
        max_drop=1 - min_agreement,
    )


def _agreement_of(compiled: Any, batches: Any) -> tuple[float, None]:
    """The share of texts for which a compiled model gives the label in ``batches``, as NNCF expects it."""
    equal = [compiled(inputs)[0].argmax(axis=1) == labels for inputs, labels in batches]
    return float(np.concatenate(equal).mean()), None


def count_differing(reference: Predictions, found: Predictions) -> int:
    """How many texts get another label in ``found`` than in ``reference``."""
    return int((reference.labels != found.labels).sum())


def builders(
    model: Path, calibration: Sequence[str], texts: Sequence[str], labels: Labels, min_agreement: float
) -> dict[str, list[Callable[[Path], None]]]:
    """For each variant, functions that build it into a folder, in the order to try them.

    The next one is tried if the labels of the result differ from those of fp32 too often. Accuracy control compares
    labels on ``texts``, so the result must be compared on other texts afterwards. Without ``texts`` it is not tried.
    """
    controlled = partial(
        build_int8_controlled, model, calibration=calibration, texts=texts, labels=labels, min_agreement=min_agreement
    )
    return {
        "int8": [partial(build_int8, model, calibration=calibration), *([controlled] if texts else [])],
        "bf16": [partial(build_bf16, model)],
    }


def _nncf() -> Any:
    """NNCF, without telemetry and log messages. It is imported here because only building int8 needs it."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf

    nncf.set_log_level(logging.WARNING)
    return nncf


def _inputs(ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[np.int32]]:
    return {"input_ids": ids, "lengths": lengths}


def _copy(model: Path, output: Path, names: Sequence[str]) -> None:
    for name in names:
        if name != text_profile.FILE or (model / name).is_file():
            shutil.copyfile(model / name, output / name)
