"""Models learn: a whole retraining, from the corpus to the promotion, and a pretraining of its encoder."""

from typing import Annotated, Any

import typer

from senti_tasks import console
from senti_tasks.cli import calls, registry
from senti_tasks.cli.options import Json
from senti_tasks.jobs import champion, corpora, judging, models, pretraining, suspects, training, variants


def retrain(
    base_model: Annotated[
        str | None,
        typer.Option(help="Hub name, folder, scratch:small or :tiny, pretrained:newest; default: SENTI_BASE_MODEL."),
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="Train on this corpus; continues a killed training of it.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split, at most.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Reviews per optimiser step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a review that are read, up to 512.")] = None,
    head_tokens: Annotated[int | None, typer.Option(help="Of a longer one, tokens read of its beginning.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout before the linear layer.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.")] = None,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of steps spent warming up.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better macro-F1 before it stops.")] = None,
    freeze_encoder: Annotated[bool | None, typer.Option(help="Train the pooler and the linear layer alone.")] = None,
    balance_classes: Annotated[bool | None, typer.Option(help="Let rare labels weigh as much as common ones.")] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="Factor of the learning rate from a layer to the one below.")
    ] = None,
    search_minutes: Annotated[
        int | None, typer.Option(help="Try half and twice the learning rate too, as far as these minutes go.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of random weights, row order and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Make a corpus snapshot, train, evaluate, judge and, if the gate agrees, promote. Without Airflow."""
    config = _config(locals())
    due, idempotency_key = calls.opening("senti retrain")
    if corpus is None:
        made = corpora.snapshot_corpus(due, idempotency_key, base_model, config)
        corpus = made["corpus"]
        console.say(f"corpus {corpus}: " + ", ".join(f"{rows:,} {split}" for split, rows in made["rows"].items()))
        ranked = suspects.rank_suspects(corpus)
        wrong = f"{ranked['suspects']:,} labels look wrong: SELECT * FROM suspect_annotations"  # noqa: S608 - for people
        console.say(wrong)
    console.say(champion.check_champion(corpus)["reason"])
    trained = training.train(corpus, idempotency_key, base_model, config, report=_epoch)
    chosen = variants.build_variants(trained["model"])
    for reason in chosen["reasons"]:
        console.say(reason)
    judgement = judging.judge(judging.evaluate(chosen["model"]))
    version = trained["model"]
    by_hand = f"senti models promote {version} --reason TEXT"
    if not judgement["promote"]:
        verdict, after = "refused by the gate", f"to overrule it: {by_hand}"
    elif judging.who_promotes(judgement) == "promote":
        verdict, after = "promoted", registry.service_line(judging.promote(judgement, actor=calls.person()))
    else:
        verdict, after = "passed the gate", f"SENTI_PROMOTION is approval, so a person promotes it: {by_hand}"
    cards = [card for card in models.scorecards() if card["model_version"] == version]
    lines = [f"{version}: {verdict}", *(f"  {line}" for line in (*judgement["reasons"], after))]
    console.show(
        {**judgement, "variant": chosen["variant"], "corpus": corpus, "scorecard": cards[0]},
        as_json,
        registry.scorecard_table(cards),
        *lines,
    )


def _epoch(row: dict[str, Any]) -> None:
    console.say(
        f"learning rate {row['peak_learning_rate']:g}, epoch {row['epoch']}: training loss {row['train_loss']:.4f}, "
        f"validation loss {row['validation_loss']:.4f}, accuracy {row['accuracy']:.4f}, macro-F1 {row['macro_f1']:.4f}"
    )


def pretrain(
    base_model: Annotated[
        str | None, typer.Option(help="Hub name, folder, scratch:small or :tiny; default: SENTI_BASE_MODEL.")
    ] = None,
    texts: Annotated[
        int | None, typer.Option(help="Texts at most, those of the reviews with the highest keys.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the texts.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts per optimiser step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens of a text that are read, up to 512.")] = None,
    masked_share: Annotated[float | None, typer.Option(help="Share of a text's tokens to be predicted.")] = None,
    held_out_share: Annotated[float | None, typer.Option(help="Share of texts that show what was learnt.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Dropout, at most.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay of AdamW.")] = None,
    warmup_fraction: Annotated[float | None, typer.Option(help="Share of steps spent warming up.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of random weights, text order, masks and dropout.")] = None,
    as_json: Json = False,
) -> None:
    """Teach an encoder the language of the reviews, from their texts alone.

    Continues a killed call, if no review was added or edited meanwhile.
    """
    config = _config(locals())
    due, idempotency_key = calls.opening("senti pretrain")
    snapshot = pretraining.snapshot_texts(due, idempotency_key, base_model, config)
    console.say("texts: " + ", ".join(f"{number:,} {outcome}" for outcome, number in snapshot["counts"].items()))
    done = pretraining.pretrain(snapshot, idempotency_key, config, report=_pretraining_epoch)
    line = f"Encoder {done['encoder']}: `senti retrain --base-model pretrained:{done['encoder']}` starts from it."
    console.show({**done, **snapshot}, as_json, line)


def _pretraining_epoch(row: dict[str, Any]) -> None:
    console.say(
        f"epoch {row['epoch']}: of the tokens hidden in held-out texts {row['accuracy']:.1%} predicted, "
        f"loss {row['loss']:.4f}"
    )


def _config(arguments: dict[str, Any]) -> dict[str, Any]:
    """Of a command's ``arguments`` those that configure the training: each has the name of its field. ``arguments`` are
    the command's ``locals()`` before it has variables of its own."""
    return {name: value for name, value in arguments.items() if name not in {"base_model", "corpus", "as_json"}}
