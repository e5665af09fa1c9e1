"""Which variant of a model serves: what the jobs find out, and what the registry keeps."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from sqlalchemy import Engine
from typer.testing import CliRunner

from senti_tasks import cli
from senti_tasks.jobs import scoring
from senti_tasks.jobs import variants as job
from senti_tasks.training import variants as making
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, promotions, registry
from senti_tasks.warehouse.schema import model_variants, review_labels, scoring_runs
from tests import candidates
from tests.candidates import VERSION
from tests.faults.scored_runs import score_run
from tests.situations import PHRASES, WEDNESDAY, add_reviews, annotate, on_sqlite, promote, rows

FEW = {"agreement_rows": 60, "calibration_rows": 20, "max_disagreement": 0.1}


@pytest.fixture
def candidate(home: Path, engine: Engine, model_folder: Path, one_thread: None) -> str:
    """A trained model, not judged yet, with its corpus; and 70 reviews that nobody annotated, 10 that somebody did."""
    candidates.register(engine, home, model_folder)
    texts = {key: "".join(PHRASES[key * step % 12] for step in range(1, 4)) + str(key) for key in range(1, 81)}
    with database.writing(engine) as connection:
        add_reviews(connection, texts)
        for key in range(71, 81):
            annotate(connection, key, 1, texts[key])
    return VERSION


def variants(engine: Engine) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in rows(engine, model_variants)}


def test_unlabelled_texts_are_those_nobody_annotated(candidate: str, engine: Engine) -> None:
    with database.reading(engine) as connection:
        found = corpora.unlabelled_texts(connection, limit=100, seed=1)
    assert len(found) == 70
    assert sorted(int(text.lstrip("".join(PHRASES))) for text in found) == list(range(1, 71))


def test_unlabelled_texts_are_drawn_at_random_by_the_seed(candidate: str, engine: Engine) -> None:
    with database.reading(engine) as connection:
        draws = [corpora.unlabelled_texts(connection, limit=20, seed=seed) for seed in range(200)]
        again = corpora.unlabelled_texts(connection, limit=20, seed=7)
        whole = corpora.unlabelled_texts(connection, limit=70, seed=7)
    assert again == draws[7] == whole[:20], "the same seed, the same reviews; and a shorter draw begins a longer one"
    drawn = Counter(text for draw in draws for text in draw)
    assert len(drawn) == 70
    # 200 draws of 20 among 70: each review 57 times on average, standard deviation 6.4
    assert 57 - 5 * 6.4 < min(drawn.values()) <= max(drawn.values()) < 57 + 5 * 6.4


def test_int8_serves_once_it_agrees_on_enough_unlabelled_reviews(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "int8")
    answer = job.build_variants(candidate, FEW)
    assert answer["variant"] == "int8"
    built = variants(engine)
    assert [name for name, row in built.items() if row["serves"]] == ["int8"]
    assert (built["int8"]["verdict"], built["int8"]["reviews_compared"]) == ("proven", 60)
    assert built["int8"]["labels_differing"] == round(60 * (1 - built["int8"]["agreement"])) <= 1
    assert built["int8"]["agreement"] > 1 - built["int8"]["disagreement_bound"]
    assert built["int8"]["disagreement_bound"] <= built["int8"]["disagreement_limit"] == 0.1
    assert built["int8"]["digest"] != built["fp32"]["digest"]
    assert built["int8"]["library"].startswith(("openvino", "torch"))
    assert built["int8"]["reviews_per_second"] > 0

    with database.writing(engine) as connection:
        promote(connection, candidate)
    run = score_run("run", WEDNESDAY)
    assert scoring.publish(run)["labelled"] == 80
    assert {row["variant"] for row in rows(engine, review_labels)} == {"int8"}
    assert rows(engine, scoring_runs)[0]["variant"] == "int8"


@on_sqlite
@pytest.mark.parametrize("variant", ["int8", "bf16"])
def test_a_faster_variant_is_refused_where_there_are_too_few_reviews_to_compare(
    variant: str, candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal labels for all 70 reviews show only that at most 4.2 % differ, with 95 % confidence."""
    monkeypatch.setenv("SENTI_VARIANT", variant)
    answer = job.build_variants(candidate)
    assert answer["variant"] == "fp32"
    refused = variants(engine)[variant]
    assert (refused["verdict"], refused["digest"], refused["serves"]) == ("refused", None, False)
    assert (refused["reviews_compared"], refused["disagreement_bound"], refused["disagreement_limit"]) == (
        None, None, 0.005,
    )  # fmt: skip
    assert refused["reason"] == (
        "it is compared with fp32 on unlabelled reviews: 598 or more are needed to show that at most 0.50% of its "
        "labels differ, and the warehouse has 70"
    )


@on_sqlite
def test_fp32_serves_when_no_other_variant_agrees(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variant that turns every label round, since none of ours disagrees that much."""
    build = making.build_bf16

    def turned_round(model: Path, output: Path) -> None:
        build(model, output)
        weights = load_file(output / "model.safetensors")
        for name in ("classifier.weight", "classifier.bias"):
            weights[name] = weights[name].flip(0)
        save_file(weights, output / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(making, "build_bf16", turned_round)
    monkeypatch.setenv("SENTI_VARIANT", "bf16")
    answer = job.build_variants(candidate, FEW)
    assert answer["variant"] == "fp32"
    refused = variants(engine)["bf16"]
    assert refused["verdict"] == "refused"
    assert refused["agreement"] < 0.2
    assert refused["labels_differing"] > 48
    assert refused["disagreement_bound"] >= refused["labels_differing"] / 60
    assert refused["reason"].startswith(
        f"another label than fp32 for {refused['labels_differing']} of 60 reviews, so for"
    )
    assert refused["reason"].endswith("of all (95% confidence); the limit is 10.00%")
    shown = CliRunner().invoke(cli.app, ["models", "show", candidate], env={"COLUMNS": "300"})
    assert {"differing", "disagreement", "bound"} <= set(shown.output.split())  # a heading takes two lines


@on_sqlite
def test_a_model_keeps_the_variant_it_was_judged_in(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing(engine) as connection:
        rule = {"rule": "rows", "reference": None, "figure": 1.0, "threshold": 1.0, "passed": True, "reason": "演示"}
        registry.record_judgement(connection, candidate, promote=True, rules=[rule])
    monkeypatch.setenv("SENTI_VARIANT", "bf16")
    assert job.build_variants(candidate, FEW)["variant"] == "fp32"
    assert list(variants(engine)) == ["fp32"]


def test_of_two_builders_the_second_finds_what_the_first_kept(
    candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "bf16")
    first = job.build_variants(candidate, FEW)
    assert job.build_variants(candidate, FEW)["variant"] == first["variant"] == "bf16"
    assert sum(row["serves"] for row in variants(engine).values()) == 1


@on_sqlite
def test_the_champion_speaks_in_its_variant(candidate: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_VARIANT", "bf16")
    job.build_variants(candidate, FEW)
    with database.writing(engine) as connection:
        promote(connection, candidate)
        assert promotions.champion(connection) == candidate
    (answer,) = scoring.predict(["这家酒店很好"])
    assert answer["model"] == candidate
