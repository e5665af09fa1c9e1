"""Each layer's learning rate, told from the names of an encoder's parameters."""

from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from senti_tasks.config import TrainConfig
from senti_tasks.errors import ConfigError
from senti_tasks.training.loop.optimiser import parameter_groups

CONFIG = TrainConfig(learning_rate=0.08, layer_decay=0.5, weight_decay=0.1)
SHAPE = {"num_hidden_layers": 3, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30}
DISTIL = {"n_layers": 3, "dim": 8, "n_heads": 2, "hidden_dim": 16, "vocab_size": 30}
MODERN = {**SHAPE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": SHAPE,
    "roberta": SHAPE,
    "electra": {**SHAPE, "embedding_size": 4},
    "distilbert": DISTIL,
    "deberta-v2": {**SHAPE, "relative_attention": True, "position_buckets": 4, "max_relative_positions": 8},
    "modernbert": MODERN,
}


def model_of(kind: str, shape: dict[str, Any]) -> PreTrainedModel:
    config = AutoConfig.for_model(kind, **shape)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    return model


def rates_of(model: PreTrainedModel) -> dict[str, float]:
    """Of each parameter by name; it is in one group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, CONFIG, [])
    pairs = [(names[id(parameter)], group["lr"]) for group in groups for parameter in group["params"]]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("kind", ENCODERS)
def test_each_layer_learns_at_half_the_rate_of_the_one_above(kind: str) -> None:
    model = model_of(kind, ENCODERS[kind])
    rates = rates_of(model)
    assert set(rates) == {name for name, _ in model.named_parameters()}
    for layer, rate in enumerate((0.02, 0.04, 0.08)):
        found = {rates[name] for name in rates if f"layer.{layer}." in name or f"layers.{layer}." in name}
        assert found == {rate}
    assert {rate for name, rate in rates.items() if "embed" in name} == {0.01}
    head = ("classifier", "pooler", "pre_classifier", "head", "final_norm")
    assert {rate for name, rate in rates.items() if set(head) & set(name.split("."))} == {0.08}


def test_the_full_rate_comes_first_which_is_the_one_that_gets_logged() -> None:
    groups = parameter_groups(model_of("bert", SHAPE), CONFIG, [])
    assert [group["lr"] for group in groups] == [0.08, 0.04, 0.02, 0.01]


def test_only_what_may_decay_does() -> None:
    model = model_of("bert", SHAPE)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decaying = {name for name in names.values() if name.endswith("weight") and "LayerNorm" not in name}
    groups = parameter_groups(model, CONFIG, decaying)
    assert len(groups) == 8
    for group in groups:
        found = {names[id(parameter)] for parameter in group["params"]}
        assert found <= decaying if group["weight_decay"] == 0.1 else not found & decaying


def test_frozen_parameters_are_in_no_group() -> None:
    model = model_of("bert", SHAPE)
    model.base_model.requires_grad_(False)
    assert set(rates_of(model)) == {"classifier.weight", "classifier.bias"}


def test_an_encoder_whose_layers_share_their_weights_is_refused() -> None:
    albert = model_of("albert", {**SHAPE, "embedding_size": 4})
    with pytest.raises(ConfigError, match=r"layer_decay needs .*AlbertForSequenceClassification are not: set .* to 1"):
        parameter_groups(albert, CONFIG, [])
