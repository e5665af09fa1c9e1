"""``senti retrain`` and ``senti pretrain``."""

from functools import partial
from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli import registry
from senti_tasks.cli.calls import Json, new_call, user_name
from senti_tasks.cli.stages import Stages
from senti_tasks.jobs import champion, corpora, judging, models, pretraining, suspects, training, variants


def retrain(
    base_model: Annotated[str | None, typer.Option(help="Hub name, folder, scratch:*, pretrained:* or tfidf.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Train on this corpus; continues a killed training on it.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split, at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Reviews per optimiser step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens read of a review, up to 512.")] = None,
    head_tokens: Annotated[int | None, typer.Option(help="Tokens read from the beginning of a longer review.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout before the linear layer.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.")] = None,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of steps spent warming up.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better macro-F1 until it stops.")] = None,
    freeze_encoder: Annotated[bool | None, typer.Option(help="Train only the pooler and the linear layer.")] = None,
    balance_classes: Annotated[bool | None, typer.Option(help="Give rare labels the weight of common ones.")] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="Learning rate factor from a layer to the one below.")
    ] = None,
    search_minutes: Annotated[
        int | None, typer.Option(help="Minutes to try half and twice the learning rate too.")
    ] = None,
    budget_minutes: Annotated[
        float | None, typer.Option(help="Minutes for each training; the best epoch until then is kept.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of random weights, row order and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Train a model, judge it and, if the gate agrees, promote it. Makes a corpus snapshot first; needs no Airflow.

    The options override SENTI_BASE_MODEL and the recipe of the base model.
    """
    config = _config(locals())
    due, idempotency_key = new_call("senti retrain")
    stages = Stages()
    if corpus is None:
        with stages.stage("making a corpus snapshot of the labelled reviews") as stage:
            made = corpora.snapshot_corpus(due, idempotency_key, base_model, config)
            corpus = made["corpus"]
            stage.says(f"corpus {corpus}: " + ", ".join(f"{rows:,} {split}" for split, rows in made["rows"].items()))
        with stages.stage("looking for labels that may be wrong") as stage:
            found = suspects.rank_suspects(corpus)["suspects"]
            stage.says(f"{found:,} labels look wrong: SELECT * FROM suspect_annotations")  # noqa: S608 - a hint
    with stages.stage("checking the champion on new labels") as stage:
        stage.says(champion.check_champion(corpus)["reason"])
    with stages.stage("preparing the training") as stage:
        report = partial(_epoch, stages)
        trained = training.train(corpus, idempotency_key, base_model, config, report=report, watch=stage.watch)
        version = trained["model"]
        stage.says(f"{version} is trained{_why_ended(version)}")
    with stages.stage("building the variants that score faster"):
        chosen = variants.build_variants(version)
    for reason in chosen["reasons"]:
        console.progress(reason)
    with stages.stage("evaluating it beside the champion, the anchor and a baseline"):
        evaluation = judging.evaluate(version)
    with stages.stage("asking the gate"):
        judgement = judging.judge(evaluation)
    by_hand = f"senti models promote {version} --reason TEXT"
    if not judgement["promote"]:
        verdict, next_step = "refused by the gate", f"to overrule it: {by_hand}"
    elif judging.who_promotes(judgement) == "promote":
        verdict, next_step = "promoted", registry.service_line(judging.promote(judgement, actor=user_name()))
    else:
        verdict, next_step = "passed the gate", f"SENTI_PROMOTION is approval, so a person promotes it: {by_hand}"
    cards = [card for card in models.scorecards() if card["model_version"] == version]
    result = {**judgement, "variant": chosen["variant"], "corpus": corpus, "scorecard": cards[0]}
    lines = (f"{version}: {verdict}", *(f"  {line}" for line in (*judgement["reasons"], next_step)))
    console.show(result, as_json, registry.scorecard_table(cards), *lines)


def _why_ended(version: str) -> str:
    """Why a training ended before its last epoch, as an end of a sentence; empty if it did not."""
    trained = models.show(version)["training"]
    if not trained.get("ended_by_budget"):
        return ""
    return f": its budget ended it in epoch {trained['epochs_run']}, and it has the weights of {_best(trained)}"


def _best(trained: dict[str, Any]) -> str:
    return f"epoch {trained['best_epoch']}, the best until then"


def _epoch(stages: Stages, row: dict[str, Any]) -> None:
    stages.note(
        f"learning rate {row['peak_learning_rate']:g}, epoch {row['epoch']}: training loss {row['train_loss']:.4f}, "
        f"validation loss {row['validation_loss']:.4f}, accuracy {row['accuracy']:.4f}, macro-F1 {row['macro_f1']:.4f}"
    )


def pretrain(
    base_model: Annotated[str | None, typer.Option(help="Hub name, folder, scratch:* or pretrained:*.")] = None,
    texts: Annotated[int | None, typer.Option(help="Texts, at most; those with the highest keys.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the texts.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts per optimiser step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens read of a text, up to 512.")] = None,
    masked_share: Annotated[
        float | None, typer.Option(help="Share of a text's tokens that are masked and predicted.")
    ] = None,
    held_out_share: Annotated[float | None, typer.Option(help="Share of texts held out to measure the model.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout, at most.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.")] = None,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of steps spent warming up.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of random weights, text order, masks and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Pretrain an encoder on the texts of reviews, without labels.

    The options override SENTI_BASE_MODEL and the recipe of the base model.
    Continues the training of a killed call if no review was added or edited meanwhile.
    """
    config = _config(locals())
    due, idempotency_key = new_call("senti pretrain")
    stages = Stages()
    with stages.stage("making a snapshot of the texts") as stage:
        snapshot = pretraining.snapshot_texts(due, idempotency_key, base_model, config)
        counts = ", ".join(f"{number:,} {outcome}" for outcome, number in snapshot["counts"].items())
        stage.says(f"texts: {counts}")
    with stages.stage("preparing the training") as stage:
        report = partial(_pretraining_epoch, stages)
        done = pretraining.pretrain(snapshot, idempotency_key, config, report=report, watch=stage.watch)
    line = f"Encoder {done['encoder']}: `senti retrain --base-model pretrained:{done['encoder']}` starts from it."
    console.show({**done, **snapshot}, as_json, line)


def _pretraining_epoch(stages: Stages, row: dict[str, Any]) -> None:
    stages.note(
        f"epoch {row['epoch']}: {row['accuracy']:.1%} of the masked tokens in held-out texts predicted, "
        f"loss {row['loss']:.4f}"
    )


def _config(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a command that are fields of the configuration.

    ``arguments`` is ``locals()`` at the start of the command: its arguments, which have the names of the fields.
    """
    return {name: value for name, value in arguments.items() if name not in {"base_model", "corpus", "as_json"}}
