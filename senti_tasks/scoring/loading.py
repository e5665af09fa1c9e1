"""Loads a model folder as a scorer: the engine depends on the variant and on the device."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.scoring import devices, foreign_code
from senti_tasks.scoring.cascades.layout import Cascade
from senti_tasks.scoring.cascades.scorer import CascadeScorer
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.engines import bert_weights
from senti_tasks.scoring.engines.bert import Bert, is_bert
from senti_tasks.scoring.engines.engine import Engine
from senti_tasks.scoring.engines.on_torch import PackedTorch, PaddedTorch
from senti_tasks.scoring.scorer import Scorer
from senti_tasks.scoring.tfidf import model as tfidf
from senti_tasks.scoring.tfidf.ngrams import NgramTokenizer
from senti_tasks.scoring.token_budget import TokenBudget
from senti_tasks.scoring.tokens import TextTokenizer

log = logging.getLogger(__name__)

_GPU_CHUNKS = 2
"""A chunk for a GPU is so many times as large, because its batches are larger, and a chunk should fill many of them."""


def load(
    folder: Path,
    variant: str = "fp32",
    device: str = "auto",
    config: ScoreConfig | None = None,
    *,
    temperature: float = 1.0,
    probe_file: Path | None = None,
) -> Scorer:
    """The scorer of the model in ``folder``, which holds ``variant`` and whose files the caller has verified.

    A cascade is loaded as one scorer; each stage runs where its variant runs. On CUDA fp32 and bf16 run in torch. On a
    CPU fp32 runs in torch, bf16 and int8 in OpenVINO. ``temperature`` divides the logits. ``probe_file`` stores the
    best batch size, once a probe has found it. Raises ``ArtifactError`` if the folder cannot be loaded, and
    ``ConfigError`` if this machine cannot run the variant.
    """
    config = config or ScoreConfig()
    if variant == devices.CASCADE:
        return _cascade(folder, device, config, temperature, probe_file)
    _refuse_code(folder)
    if _model_type(folder) == tfidf.MODEL_TYPE:
        return _tfidf(folder, config, temperature)
    tokenizer = TextTokenizer.load(folder)
    where = _device_for(variant, device)
    shape = json.loads((folder / "config.json").read_text("utf-8"))
    if variant == "int8":
        n_labels, engine = _int8(folder, tokenizer)
    else:
        n_labels, engine = _from_weights(folder, variant, where, tokenizer)
    size = "x".join(str(shape.get(name)) for name in ("num_hidden_layers", "hidden_size", "intermediate_size"))
    key = f"{devices.description(where)}, {variant}, {size}"
    return Scorer(
        tokenizer,
        engine,
        n_labels,
        config,
        temperature=temperature,
        chunk_rows=config.chunk_rows * (_GPU_CHUNKS if where.type == "cuda" else 1),
        token_budget=TokenBudget(engine, config.token_budget or None, (probe_file, key) if probe_file else None),
    )


def label_names(folder: Path) -> tuple[str, ...]:
    """The names of the labels of the model in ``folder``, in order of their numbers (``id2label`` in config.json)."""
    names = json.loads((folder / "config.json").read_text("utf-8")).get("id2label", {})
    return tuple(name for _, name in sorted(names.items(), key=lambda item: int(item[0]))) or ("LABEL_0", "LABEL_1")


def _cascade(
    folder: Path, device: str, config: ScoreConfig, temperature: float, probe_file: Path | None
) -> CascadeScorer:
    found = Cascade.load(folder)
    scorers = [
        load(
            folder / stage.folder,
            stage.variant,
            "cpu" if stage.variant == "int8" else device,
            config,
            temperature=stage.temperature,
            probe_file=probe_file,
        )
        for stage in found.stages
    ]
    numbers = [scorer.n_labels for scorer in scorers]
    numbers += [len(stage.thresholds) for stage in found.stages if stage.thresholds is not None]
    if len(set(numbers)) != 1:
        raise ArtifactError(f"{folder} holds no cascade that can be loaded: its parts have {numbers} labels")
    rest = scorers.pop()
    share = found.escalated_share
    for number in range(len(scorers) - 1, -1, -1):
        scale = temperature if number == 0 else 1.0
        thresholds = found.stages[number].thresholds or ()
        rest = CascadeScorer(scorers[number], thresholds, rest, temperature=scale, escalated_share=share)
        share = 1.0  # chunks are made larger once, by the first stage
    assert isinstance(rest, CascadeScorer)  # noqa: S101 - a cascade has two stages or more
    return rest


def _model_type(folder: Path) -> str | None:
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None  # what reads the file next says what is wrong with it
    return found.get("model_type") if isinstance(found, dict) else None


def _tfidf(folder: Path, config: ScoreConfig, temperature: float) -> Scorer:
    """It runs on the CPU everywhere, and has one variant."""
    model = tfidf.TfidfModel.load(folder)
    n_labels = len(json.loads((folder / "config.json").read_text("utf-8"))["id2label"])
    engine = tfidf.TfidfEngine(model, n_labels)
    return Scorer(NgramTokenizer(model.ngrams), engine, n_labels, config, temperature=temperature)


def _device_for(variant: str, device: str) -> torch.device:
    if variant not in devices.VARIANTS:
        raise ConfigError(f"the variant of a model is one of {', '.join(devices.VARIANTS)}, found {variant!r}")
    if variant == "int8" and device == "cuda":
        raise ConfigError(
            "int8 runs on a CPU: set SENTI_DEVICE to cpu or auto here, or SENTI_VARIANT to bf16 and retrain"
        )
    found = devices.device_named(device)
    return torch.device("cpu") if variant == "int8" else found


def _from_weights(folder: Path, variant: str, device: torch.device, tokenizer: TextTokenizer) -> tuple[int, Engine]:
    cuda, dtype = device.type == "cuda", torch.float32
    if variant == "bf16" and cuda:
        dtype = torch.bfloat16
    elif variant == "bf16" and "BF16" in devices.cpu_capabilities():
        from senti_tasks.scoring.engines.on_openvino import OpenVino, convert

        model = load_classifier(folder)
        return model.config.num_labels, OpenVino(convert(model), tokenizer.pad_id)
    elif variant == "bf16":
        log.warning("this CPU does not compute in bf16: the bf16 weights are computed in fp32, at the speed of fp32")
    if cuda:
        log.info("scoring in %s on %s", variant, devices.description(device))
    if (found := bert_weights.read(folder)) is not None:
        n_labels, bert = found
        return n_labels, PackedTorch(bert, device, dtype)
    model = load_classifier(folder)
    if is_bert(model.config):
        return model.config.num_labels, PackedTorch(Bert(model), device, dtype)
    return model.config.num_labels, PaddedTorch(model, device, dtype, tokenizer.pad_id)


def _int8(folder: Path, tokenizer: TextTokenizer) -> tuple[int, Engine]:
    try:
        from senti_tasks.scoring.engines.on_openvino import OpenVino, read
    except ImportError as error:
        raise ConfigError(f"int8 needs OpenVINO (pip install openvino): {error}") from error
    model = read(folder)
    return model.output(0).partial_shape[1].get_length(), OpenVino(model, tokenizer.pad_id)


def load_classifier(folder: Path) -> Any:
    """The transformers classifier in ``folder``, float32, on the CPU. Raises ``ArtifactError``."""
    from transformers import AutoModelForSequenceClassification  # late: see engines.bert_weights
    from transformers.utils import logging as transformers_logging

    _refuse_code(folder)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would draw over ours and into logs
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            trust_remote_code=False,  # unset, transformers would ask on a terminal whether to run the folder's code
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder} holds no classifier that can be loaded: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise ArtifactError(
            f"{folder} holds no classifier that can be loaded: its weights lack {', '.join(missing[:5])}"
        )
    return model.eval()


def _refuse_code(folder: Path) -> None:
    if found := foreign_code.named_in(folder):
        raise ArtifactError(
            f"{folder} names code for its loader to run ({found}), and no code of a model is ever run: expected a "
            "model of an architecture that transformers has; remove this field if it has, or serve another model"
        )
