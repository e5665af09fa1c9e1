"""Configurations: frozen, validated, and the same after a journey through JSON."""

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from senti_tasks.config import PRETRAINING_RECIPES, RECIPES, GateConfig, PlanConfig, PretrainConfig, TrainConfig
from senti_tasks.errors import ConfigError
from senti_tasks.scoring.config import ScoreConfig

CONFIGS = (TrainConfig, PretrainConfig, GateConfig, PlanConfig)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_survives_json(config: Any) -> None:
    assert config.from_json(json.loads(json.dumps(config().to_json()))) == config()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_cannot_be_changed(config: Any) -> None:
    frozen, name = config(), next(iter(config().to_json()))
    with pytest.raises(FrozenInstanceError):
        setattr(frozen, name, 1)


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"TrainConfig has no field lr: its fields are balance_classes, .*, weight_decay"
    ):
        TrainConfig.from_json({"lr": 1e-4})


@pytest.mark.parametrize(
    ("config", "field", "value", "expected"),
    [
        (TrainConfig, "learning_rate", 0.0, "greater than 0"),
        (TrainConfig, "learning_rate", 5.0, "less than 1"),
        (TrainConfig, "batch_size", 0, "greater than or equal to 1"),
        (TrainConfig, "epochs", 0, "greater than or equal to 1"),
        (TrainConfig, "max_length", 513, "less than or equal to 512"),
        (TrainConfig, "max_length", 7, "greater than or equal to 8"),
        (TrainConfig, "dropout", 1.0, "less than 1"),
        (TrainConfig, "dropout", float("nan"), "less than 1"),
        (TrainConfig, "weight_decay", -0.1, "greater than or equal to 0"),
        (TrainConfig, "warmup_fraction", 1.0, "less than 1"),
        (TrainConfig, "patience", 0, "greater than or equal to 1"),
        (TrainConfig, "layer_decay", 0.0, "greater than 0"),
        (TrainConfig, "layer_decay", 1.1, "less than or equal to 1"),
        (TrainConfig, "budget_minutes", -0.5, "greater than or equal to 0"),
        (TrainConfig, "search_minutes", -1, "greater than or equal to 0"),
        (TrainConfig, "search_minutes", 0.5, "valid integer"),
        (TrainConfig, "epochs", "3", "valid integer"),
        (TrainConfig, "epochs", True, "valid integer"),
        (TrainConfig, "balance_classes", 1, "valid boolean"),
        (PretrainConfig, "texts", 1, "greater than or equal to 2"),
        (PretrainConfig, "held_out_share", 0.6, "less than or equal to 0.5"),
        (PretrainConfig, "masked_share", 0.0, "greater than 0"),
        (PretrainConfig, "max_length", 513, "less than or equal to 512"),
        (GateConfig, "margin", 1.0, "less than 1"),
        (GateConfig, "margin", 0.0, "greater than 0"),
        (GateConfig, "power", 1.0, "less than 1"),
        (GateConfig, "discordance", 0.0, "greater than 0"),
        (GateConfig, "slice_rows", 0, "greater than or equal to 1"),
        (GateConfig, "loss_margin", -0.01, "greater than or equal to 0"),
        (GateConfig, "confidence", 0.5, "greater than 0.5"),
        (PlanConfig, "shard_rows", 0, "greater than or equal to 1"),
        (PlanConfig, "max_shards", 501, "less than or equal to 500"),
    ],
)
def test_a_value_that_cannot_work_is_refused(config: Any, field: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"{config.__name__}\.{field}: Input should be .*{expected}.*, found "):
        config.from_json({field: value})


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("chunk_rows", 0, "1 or more"),
        ("token_budget", 511, "0, or 512 or more"),
        ("remembered_texts", -1, "0 or more"),
    ],
)
def test_a_way_of_scoring_that_cannot_work_is_refused(field: str, value: int, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"ScoreConfig.{field} must be {expected}, found {value}"):
        ScoreConfig(**{field: value})


def test_a_whole_number_will_do_for_a_fraction() -> None:
    assert TrainConfig.from_json({"dropout": 0}).dropout == 0.0


def test_settings_that_work_only_apart_are_refused_together() -> None:
    with pytest.raises(ConfigError, match=r"layer_decay must be 1 with freeze_encoder, found 0.9"):
        TrainConfig.from_json({"freeze_encoder": True, "layer_decay": 0.9})
    with pytest.raises(ConfigError, match=r"learning_rate must be below 0.5 with search_minutes, found 0.6"):
        TrainConfig.from_json({"search_minutes": 5, "learning_rate": 0.6})


def test_the_default_is_the_usual_recipe_for_a_pretrained_bert() -> None:
    config = TrainConfig.for_base_model("google-bert/bert-base-chinese")
    assert (config.learning_rate, config.batch_size, config.epochs) == (5e-5, 16, 3)
    assert (config.max_length, config.dropout) == (512, 0.3)


@pytest.mark.parametrize("base_model", RECIPES)
def test_an_encoder_from_scratch_has_a_recipe_of_its_own(base_model: str) -> None:
    assert TrainConfig.for_base_model(base_model).learning_rate >= 1e-4


@pytest.mark.parametrize("base_model", PRETRAINING_RECIPES)
def test_an_encoder_pretrained_from_scratch_has_recipes_of_its_own(base_model: str) -> None:
    assert PretrainConfig.for_base_model(base_model).learning_rate > 10 * PretrainConfig().learning_rate
    fine_tuning = TrainConfig.for_base_model(f"pretrained:{base_model}").learning_rate
    assert TrainConfig().learning_rate < fine_tuning < TrainConfig.for_base_model(base_model).learning_rate


def test_what_somebody_asks_for_overrules_the_recipe() -> None:
    config = TrainConfig.for_base_model("scratch:small", {"epochs": 1, "dropout": None})
    assert (config.epochs, config.learning_rate, config.dropout) == (1, 4e-4, 0.3)


@pytest.mark.parametrize("wanted", [0, -1, 501])
def test_a_number_of_shards_that_airflow_could_not_map_is_refused(wanted: int) -> None:
    with pytest.raises(ConfigError, match=f"a run takes 1 to 500 shards, found {wanted}"):
        PlanConfig().check_shards(wanted)


@pytest.mark.parametrize("wanted", [None, 1, 500])
def test_a_wanted_number_of_shards_is_taken(wanted: int | None) -> None:
    PlanConfig().check_shards(wanted)


@pytest.mark.parametrize(
    ("base_model", "rows", "epochs", "batch_size"),
    [
        ("scratch:tiny", None, 10, 16),
        ("scratch:tiny", 2_600, 10, 16),
        ("scratch:tiny", 20_000, 8, 64),
        ("scratch:tiny", 48_000, 3, 64),
        ("scratch:tiny", 1_000_000, 2, 64),
        ("scratch:small", 48_000, 3, 128),
        ("pretrained:scratch:small", 48_000, 3, 128),
        ("google-bert/bert-base-chinese", 48_000, 3, 16),
    ],
)
def test_a_recipe_for_random_weights_follows_the_number_of_rows(
    base_model: str, rows: int | None, epochs: int, batch_size: int
) -> None:
    config = TrainConfig.for_base_model(base_model, None, rows)
    assert (config.epochs, config.batch_size) == (epochs, batch_size)
    assert TrainConfig.for_base_model(base_model, {"epochs": 7, "batch_size": 8}, rows).epochs == 7
