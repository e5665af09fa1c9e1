"""Reads the weights of a BERT classifier from its folder, without transformers.

To import the models of transformers takes four seconds on a fast core, of which ``senti predict`` and every task that
scores would need two classes. A folder that is not exactly what is expected here is left to transformers, which also
says what is wrong with it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from senti_tasks.scoring.engines.bert import Bert, is_bert

_DEFAULTS: dict[str, Any] = {
    "hidden_act": "gelu",
    "architectures": None,
    "is_decoder": False,
    "position_embedding_type": None,
}
_DEFAULTS |= {"layer_norm_eps": 1e-12}


def read(folder: Path) -> tuple[int, Bert] | None:
    """The number of labels and the model in ``folder``, in float32 on the CPU; ``None`` if transformers has to load
    it."""
    try:
        config = SimpleNamespace(**_DEFAULTS | json.loads((folder / "config.json").read_text("utf-8")))
        if not is_bert(config):
            return None
        weights = load_file(folder / "model.safetensors")
        model = _model(config, {name: weight.float() for name, weight in weights.items()})
    except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError):
        return None
    return model.classifier.out_features, Bert(model).eval()


def _model(config: SimpleNamespace, weights: Mapping[str, Tensor]) -> SimpleNamespace:
    """The parts of a ``BertForSequenceClassification`` that ``Bert`` reads. Raises ``KeyError`` or ``ValueError``."""
    width = config.hidden_size

    def parameter(name: str, *shape: int) -> nn.Parameter:
        found = weights[name]
        if tuple(found.shape) != shape:
            raise ValueError(f"{name} has the shape {tuple(found.shape)}, expected {shape}")
        return nn.Parameter(found)

    def linear(name: str, inputs: int, outputs: int) -> nn.Linear:
        weight, bias = parameter(f"{name}.weight", outputs, inputs), parameter(f"{name}.bias", outputs)
        made = nn.Linear(inputs, len(bias), device="meta")
        made.weight, made.bias = weight, bias
        return made

    def norm(name: str) -> nn.LayerNorm:
        normed = nn.LayerNorm(width, eps=config.layer_norm_eps, device="meta")
        normed.weight, normed.bias = parameter(f"{name}.weight", width), parameter(f"{name}.bias", width)
        return normed

    def layer(name: str) -> SimpleNamespace:
        inner = config.intermediate_size
        names = ("query", "key", "value")
        own = {part: linear(f"{name}.attention.self.{part}", width, width) for part in names}
        after: dict[str, nn.Module] = {"dense": linear(f"{name}.attention.output.dense", width, width)}
        after["LayerNorm"] = norm(f"{name}.attention.output.LayerNorm")
        return SimpleNamespace(
            attention=SimpleNamespace(self=SimpleNamespace(**own), output=SimpleNamespace(**after)),
            intermediate=SimpleNamespace(dense=linear(f"{name}.intermediate.dense", width, inner)),
            output=SimpleNamespace(
                dense=linear(f"{name}.output.dense", inner, width), LayerNorm=norm(f"{name}.output.LayerNorm")
            ),
        )

    rows = {"word_embeddings": config.vocab_size, "position_embeddings": config.max_position_embeddings}
    rows["token_type_embeddings"] = config.type_vocab_size
    embeddings = {
        kind: SimpleNamespace(weight=parameter(f"bert.embeddings.{kind}.weight", number, width))
        for kind, number in rows.items()
    }
    layers = [layer(f"bert.encoder.layer.{number}") for number in range(config.num_hidden_layers)]
    return SimpleNamespace(
        config=config,
        bert=SimpleNamespace(
            embeddings=SimpleNamespace(**embeddings, LayerNorm=norm("bert.embeddings.LayerNorm")),
            encoder=SimpleNamespace(layer=layers),
            pooler=SimpleNamespace(dense=linear("bert.pooler.dense", width, width)),
        ),
        classifier=linear("classifier", width, len(config.id2label)),
    )
