"""The parameter groups of the optimiser: weight decay, and lower learning rates for lower layers."""

import re
from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel

from senti_tasks.config import TrainConfig
from senti_tasks.errors import ConfigError

_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def parameter_groups(model: PreTrainedModel, config: TrainConfig, decaying: Collection[str]) -> list[dict[str, Any]]:
    """The trainable parameters of ``model``, grouped by learning rate and weight decay; the highest rate comes first.

    ``decaying`` are the names of the parameters that get weight decay. Raises ``ConfigError`` if the names of the
    parameters do not show the layers of the encoder.
    """
    depths = _depths(model)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        depth, decays = depths[name], name in decaying
        group = {
            "params": [],
            "lr": config.learning_rate * config.layer_decay**depth,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        groups.setdefault((depth, not decays), group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _depths(model: PreTrainedModel) -> dict[str, int]:
    """For each parameter name, how many times its learning rate is multiplied by the decay.

    0 for the head, the pooler and the top layer, 1 for the layer below, and so on down to the embeddings (Sun et al.
    2019, 5.3.4). ELECTRA's code also lowers the rate of the top layer.
    """
    names = [name for name, _ in model.named_parameters()]
    encoder = f"{model.base_model_prefix}."
    layers = {name: int(found[1]) for name in names if name.startswith(encoder) and (found := _LAYER.search(name))}
    if not layers:
        raise ConfigError(
            f"layer_decay needs an encoder whose parameters are named …layer.N.… or …layers.N.…, and those of "
            f"{type(model).__name__} are not: set layer_decay to 1, or take another base model, such as a BERT"
        )
    n_layers = max(layers.values()) + 1
    first = names.index(next(iter(layers)))
    return {
        name: n_layers - 1 - layers[name]
        if name in layers
        # Embeddings come before the first layer. DeBERTa's position embeddings come after the last one.
        else n_layers * (name.startswith(encoder) and (position < first or "embed" in name))
        for position, name in enumerate(names)
    }
