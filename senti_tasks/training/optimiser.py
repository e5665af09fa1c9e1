"""What the optimiser is given: which weights decay, and which layers learn at a lower rate."""

import re
from collections.abc import Collection
from typing import Any

from transformers import PreTrainedModel

from senti_tasks.config import TrainConfig
from senti_tasks.errors import ConfigError

_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def parameter_groups(model: PreTrainedModel, config: TrainConfig, decaying: Collection[str]) -> list[dict[str, Any]]:
    """The trained parameters of ``model`` in groups of one learning rate and one weight decay, the full rate first.

    ``decaying`` names the parameters that weight decay is for. Raises ``ConfigError`` when the layers of the encoder
    cannot be recognised by the names of its parameters.
    """
    levels = _levels_below_top(model)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        level, decays = levels[name], name in decaying
        group = {
            "params": [],
            "lr": config.learning_rate * config.layer_decay**level,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        groups.setdefault((level, not decays), group)["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _levels_below_top(model: PreTrainedModel) -> dict[str, int]:
    """Of each parameter, how often its rate is lowered: never in the head, the pooler and the top layer, once in the
    layer below that, and so on down to the embeddings (Sun et al. 2019, 5.3.4; ELECTRA's code lowers the top one too).
    """
    names = [name for name, _ in model.named_parameters()]
    encoder = f"{model.base_model_prefix}."
    layers = {name: int(found[1]) for name in names if name.startswith(encoder) and (found := _LAYER.search(name))}
    if not layers:
        raise ConfigError(
            f"layer_decay needs an encoder whose parameters are named …layer.N.… or …layers.N.…, and those of "
            f"{type(model).__name__} are not: set layer_decay to 1, or take another base model, such as a BERT"
        )
    depth = max(layers.values()) + 1
    first = names.index(next(iter(layers)))
    return {
        name: depth - 1 - layers[name]
        if name in layers
        # What feeds the layers stands before them; an embedding of positions may stand behind (DeBERTa's).
        else depth * (name.startswith(encoder) and (position < first or "embed" in name))
        for position, name in enumerate(names)
    }
