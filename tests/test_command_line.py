"""The command line as a person and a script meet it: help, JSON, and errors of one line."""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from sqlalchemy import Engine

from local import sample
from senti_tasks import __version__, cli
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.config import PretrainConfig, TrainConfig
from senti_tasks.corpus.near_duplicates import shingles
from senti_tasks.corpus.splits import split_of
from senti_tasks.jobs import pretraining, scoring, training
from senti_tasks.jobs.operations import upkeep
from senti_tasks.text import content_hash
from senti_tasks.training import base_names
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, encoders, texts
from senti_tasks.warehouse.schema import erased_reviews, review_annotations
from senti_tasks.warehouse.scoring import held_runs
from tests.situations import MONDAY, SAMPLE_ROWS, WEDNESDAY, add_model, add_reviews, count, deploy, on_sqlite, rows

pytestmark = on_sqlite


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def senti(dialect: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs a command in this process, as the console script does."""

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["senti", *arguments])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        else:
            code = 0
        written = capsys.readouterr()
        return Answer(code, written.out, written.err)

    return run


@pytest.fixture
def small_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """``scratch:tiny``, smaller still."""
    shape = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", shape)


def record_judges(engine: Engine) -> set[str]:
    """Puts 20 texts into the ledger that their keys would put into training, as test texts; returns the keys of these
    and of the near-duplicates, which are added to the reviews."""
    with database.writing(engine) as connection:
        (chunk,) = texts.read_chunks(connection)
        judges = [text for _, text in chunk if text and len(text) > 30 and split_of(content_hash(text)) == "train"][:20]
        known = {content_hash(text): shingles(text).tobytes() for text in judges}
        corpora.record_splits(connection, dict.fromkeys(known, "test"), shingles=known, now=MONDAY)
        similar = [text + "呀" for text in judges]
        add_reviews(connection, dict(enumerate(similar, start=10**12)))
    return {content_hash(text) for text in [*judges, *similar]}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def refused(answer: Answer, *parts: str) -> None:
    """It is exit code 1 with one line on standard error that holds all ``parts``, and nothing on standard output."""
    assert answer.code == 1, answer
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1, answer.err
    for part in parts:
        assert part in answer.err


# Help and JSON


def test_the_commands_are_those_that_were_promised(dialect: str) -> None:
    assert {" ".join(path) for path in COMMANDS} == {
        "migrate", "import", "datasets", "retrain", "pretrain", "score", "predict", "status",
        "freeze", "unfreeze", "erase", "artifacts", "doctor", "watch", "backup", "restore",
        "models list", "models show", "models compare", "models export", "models promote", "models rollback",
        "report model", "report compare", "report run",
    }  # fmt: skip


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_json(path: tuple[str, ...], senti: Callable[..., Answer]) -> None:
    answer = senti(*path, "--help")
    assert answer.code == 0
    assert COMMANDS[path].help.split(".")[0].split(":")[0] in " ".join(answer.out.split())
    assert any("--json" in option.opts for option in COMMANDS[path].params)


@pytest.mark.parametrize(("command", "config"), [("retrain", TrainConfig), ("pretrain", PretrainConfig)])
def test_every_field_of_a_trainings_configuration_is_an_option(
    command: str, config: type[TrainConfig | PretrainConfig], dialect: str
) -> None:
    options = {option.name for option in COMMANDS[(command,)].params} - {"base_model", "corpus", "as_json"}
    assert options == {field.name for field in fields(config)}


def test_from_nothing_to_labels(
    senti: Callable[..., Answer], bare_home: Path, model_folder: Path, one_thread: None
) -> None:
    """Every command but retrain, doctor and rollback, in the order in which a person needs them."""
    migrated = senti("migrate", "--json")
    assert (migrated.code, migrated.json["before"]) == (0, None)
    assert "is at the newest revision" in senti("migrate").out

    file = bare_home / "评论.csv"
    file.write_text("内容,标签,商品\n味道不错,好评,面馆\n再也不买了,差评,面馆\n物流慢,,书\n ,好评,书\n", "utf-8")
    imported = senti("import", str(file), "--json").json
    assert (imported["imported"], imported["refused"], imported["labelled"]) == (3, 1, 2)
    again = senti("import", str(file))
    assert (again.code, "0 imported" in again.out, "line 5: the text is blank" in again.out) == (0, True, True)

    engine = database.connect(f"sqlite:///{bare_home}/var/warehouse.db")
    with database.writing(engine) as connection:
        add_model(connection, "2026-11-01-refused", verdict="refuse")
    version = deploy(engine, model_folder, bare_home)
    assert senti("status", "--json").json["pending"] == 3
    (published,) = senti("score", "--json").json
    assert (published["labelled"], published["model_version"]) == (3, version)
    status = senti("status", "--json").json
    assert (status["reviews"], status["annotated"], status["pending"], status["in_service"]) == (3, 2, 0, version)
    assert "3 reviews, 2 labelled by people, 0 pending" in senti("status").out
    (nothing_new,) = senti("score", "--json").json
    assert (nothing_new["planned"], nothing_new["labelled"]) == (0, 0)
    (all_again,) = senti("score", "--scope", "all", "--shards", "2", "--json").json
    assert all_again["labelled"] == 3

    texts = ["味道不错", "[bold]再也不买了", "😊"]
    predicted = senti("predict", *texts, "--json").json
    assert [row["text"] for row in predicted] == texts
    assert {row["label_name"] for row in predicted} <= {"negative", "positive"}
    assert "[bold]再也不买了" in senti("predict", *texts).out

    assert {card["model_version"] for card in senti("models", "list", "--json").json} == {version, "2026-11-01-refused"}
    assert version in senti("models", "list").out
    assert senti("models", "show", version, "--json").json["promotions"][0]["reason"] == "演示"
    overruled = senti("models", "promote", "2026-11-01-refused", "--reason", "只是演示", "--json").json
    assert (overruled["kind"], overruled["serves"]) == ("overruling", False)
    assert senti("models", "rollback", "--json").json["model"] == version
    engine.dispose()


def test_a_run_that_somebody_else_opened_is_given_up_and_another_one_begun(
    senti: Callable[..., Answer], home: Path, engine: Engine, champion: str
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    (stuck,) = scoring.open_series("score_reviews/scheduled", "2026-11-04T02:00:00+08:00")
    scoring.plan(stuck)
    (published,) = senti("score", "--run", str(stuck), "--restart", "--json").json
    assert published["labelled"] == 2
    states = {row["run_id"]: row["state"] for row in senti("status", "--json").json["runs"]}
    assert states == {stuck: "abandoned", published["run_id"]: "published"}


def test_a_held_run_is_shown_with_what_to_type(
    senti: Callable[..., Answer], home: Path, engine: Engine, champion: str
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    (run,) = scoring.open_series("score_reviews/scheduled", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    with database.writing(engine) as connection:
        held_runs.hold(connection, run, because="shares_are_as_usual: ...", now=WEDNESDAY)
    shown = senti("status").out.replace("\n", " ")
    assert "0 pending, 2 in held runs" in shown
    assert f"run {run} (scope new, {champion}) is held since 2026-11-04 12:00 UTC with 2 reviews" in shown
    (waiting,) = senti("status", "--json").json["held"]
    assert (waiting["run_id"], waiting["reviews"]) == (run, 2)
    again = senti("score", "--run", str(run))
    assert (again.code, f"senti score --run {run} --publish-anyway REASON" in again.err) == (1, True)
    (rest,) = senti("score", "--json").json
    assert rest["planned"] == 0
    (published,) = senti("score", "--run", str(run), "--publish-anyway", "大促销", "--json").json
    assert (published["run_id"], published["labelled"]) == (run, 2)


def test_an_incoming_model_serves_once_it_has_labelled_everything(
    senti: Callable[..., Answer], home: Path, engine: Engine, champion: str, model_folder: Path
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "味道不错", 2: "再也不买了"})
    senti("score")
    incoming = deploy(engine, model_folder, home, "2026-11-09-tiny")
    assert senti("status", "--json").json["in_service"] == champion
    (published,) = senti("score", "--scope", "rescore", "--json").json
    assert (published["model_version"], published["labelled"]) == (incoming, 2)
    assert senti("status", "--json").json["in_service"] == incoming
    refused(senti("score", "--scope", "rescore"), "no promoted model waits for its labels")


def test_an_encoder_learns_from_what_judges_no_model_and_a_retraining_starts_from_it(
    senti: Callable[..., Answer], home: Path, engine: Engine, small_shape: None, one_thread: None
) -> None:
    refused(senti("retrain", "--base-model", "pretrained:newest"), "no encoder was pretrained yet")
    # Without the bought praise: near-duplicates of one another, whose split is known only after the first corpus.
    ordinary = [one for one in sample.reviews(SAMPLE_ROWS) if one.shop != "星选优品店"]
    lines = [f"{one.review},{one.label}\n" for one in ordinary]
    (home / "sample.csv").write_text("".join(["review,label\n", *lines]), "utf-8")
    senti("import", str(home / "sample.csv"))
    judges = record_judges(engine)
    quick = ("--epochs", "1", "--json")
    learnt = senti("pretrain", "--base-model", "scratch:tiny", *quick).json
    version = learnt["encoder"]
    snapshot = ArtifactStore(str(home / "var/artifacts"), home).fetch(learnt["texts"], learnt["digest"])
    keys = pq.read_table(snapshot / "texts.parquet")["content_hash"].to_pylist()
    assert learnt["counts"]["read"] == len(ordinary) + 20
    assert learnt["counts"]["kept"] == len(keys) == len(set(keys)) > 400
    assert learnt["counts"]["near-duplicate of held out"] > 10
    assert not judges & set(keys)
    assert {split_of(key) for key in keys} == {"train"}

    corpus = senti("retrain", "--base-model", "pretrained:newest", *quick).json["corpus"]
    again = senti("pretrain", "--base-model", "pretrained:newest", "--seed", "1", *quick).json
    assert (again["digest"], again["encoder"] != version) == (learnt["digest"], True)
    trained = training.train(corpus, "another training", "pretrained:newest", {"epochs": 1})
    model = senti("models", "show", trained["model"], "--json").json
    assert model["base_model"] == f"pretrained:{version}", "the one that the corpus snapshot was made for"
    card = (home / "var/artifacts" / model["artifact"] / "README.md").read_text("utf-8")
    assert (f"from pretrained:{version}" in card, str(home) in card) == (True, False)
    with database.reading(engine) as connection:
        assert encoders.newest(connection)["base_model"] == "scratch:tiny"
        assert model["base_revision"] == encoders.encoder(connection, version)["digest"]
    refused(senti("retrain", "--base-model", "pretrained:v9"), f"no encoder 'v9'; the newest is {again['encoder']}")


def test_the_doctor_knows_an_encoder_of_the_warehouse(
    senti: Callable[..., Answer], home: Path, small_shape: None, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def base_model() -> dict[str, Any]:
        (row,) = [row for row in senti("doctor", "--json").json if row["name"] == "base model"]
        return dict(row)

    monkeypatch.setenv("SENTI_BASE_MODEL", "pretrained:newest")
    assert (base_model()["ok"], "no encoder was pretrained yet" in base_model()["finding"]) == (False, True)
    senti("import", str(sample.write(home / "sample.csv", SAMPLE_ROWS)))
    version = senti("pretrain", "--base-model", "scratch:tiny", "--epochs", "1", "--json").json["encoder"]
    assert (base_model()["ok"], f"is pretrained:{version}, an encoder" in base_model()["finding"]) == (True, True)


def test_a_model_is_shown_with_its_idempotency_key_and_history(
    senti: Callable[..., Answer], home: Path, champion: str
) -> None:
    answer = senti("models", "show", champion)
    assert answer.code == 0
    for part in (f"{champion} from scratch:tiny, corpus 2026-11-01-demo", "weights abababababab", "train loss", "演示"):
        assert part in answer.out


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_two_names_everywhere(option: str, senti: Callable[..., Answer]) -> None:
    for path in ((), ("status",), ("models",), ("models", "show")):
        answer = senti(*path, option)
        assert (answer.code, "Usage:" in answer.out) == (0, True)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_no_line_of_the_help_is_cut(
    columns: str, senti: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for path in ((), ("models",), ("report",)):
        assert "..." not in senti(*path, "--help").out.partition("Commands:")[2]


def test_the_version_is_that_of_the_package(senti: Callable[..., Answer]) -> None:
    assert (senti("--version").code, senti("--version").out) == (0, f"senti {__version__}\n")


def test_two_models_are_compared_on_reviews_that_neither_was_trained_on(
    senti: Callable[..., Answer], home: Path, engine: Engine, champion: str
) -> None:
    refused(senti("models", "compare", champion, "m9"), f"there is no model 'm9'; the newest are {champion}")
    refused(senti("models", "compare", champion, champion), "has no evaluation in the artifact store")


# Exit codes: docs/commands.md


def test_the_exit_codes_are_those_of_the_documentation(
    senti: Callable[..., Answer], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs/commands.md").read_text("utf-8")
    documented = set(map(int, re.findall(r"^\| (\d+) \|", page, re.MULTILINE)))
    (home / "bad.csv").write_text("review\n \n", "utf-8")

    def interrupt() -> None:
        raise KeyboardInterrupt

    found = {
        senti("status").code: 0,
        senti("predict", "很好").code: 1,
        senti("import", str(home / "bad.csv")).code: 1,
        senti("nonsense").code: 2,
        senti("retrain", "--epochs", "many").code: 2,
    }
    monkeypatch.setattr(upkeep, "status", interrupt)
    found[senti("status").code] = 130
    assert found == {code: code for code in documented}


# Errors


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("score",), ("predict", "很好"), ("models", "list"), ("import", "reviews.csv"), ("retrain",)],
)
def test_a_warehouse_that_is_not_there_says_to_migrate(
    arguments: tuple[str, ...], senti: Callable[..., Answer], bare_home: Path
) -> None:
    refused(senti(*arguments), "there is no warehouse at sqlite:///", "run `senti migrate`")


def test_a_warehouse_that_is_not_migrated_says_to_migrate(
    senti: Callable[..., Answer], bare_home: Path, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    database.create_file(database.connect(empty_url))
    refused(senti("status"), "is at revision none", "run `senti migrate`")


def test_a_server_that_cannot_be_reached_is_named_without_its_password(
    senti: Callable[..., Answer], bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", "postgresql+psycopg://me:secret@127.0.0.1:1/shop")
    for command in ("status", "migrate"):
        answer = senti(command)
        refused(answer, "cannot reach the warehouse at", "127.0.0.1:1/shop", "is SENTI_DATABASE_URL right")
        assert "secret" not in answer.err


def test_an_erased_review_is_accounted_for(senti: Callable[..., Answer], home: Path, engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(("很好吃，下次还来", "太咸了，再也不来", "味道不错，就是贵"))))
        keys = {content_hash(text) for text in ("很好吃，下次还来", "太咸了，再也不来", "味道不错，就是贵")}
        corpora.record_splits(connection, dict.fromkeys(keys, "train"), shingles=dict.fromkeys(keys, b""), now=MONDAY)
    snapshot = pretraining.snapshot_texts(MONDAY.isoformat(), "monthly", "scratch:tiny")
    answer = senti("erase", "1", "--reason", "一封信")
    assert answer.code == 0, answer
    shown = " ".join(answer.out.split())
    assert "1 reviews are erased, 0 were before. Removed: 1 of reviews; corpora rewritten: none." in shown
    assert f"text snapshots rewritten: {snapshot['texts']}" in shown
    assert "keep what they learnt" not in shown
    again = senti("erase", "1", "--json").json
    assert (again["erased"], again["erased_before"], again["texts"], again["encoders"]) == (0, 1, [], [])


def test_an_id_of_which_nothing_is_stored_is_erased_only_if_that_is_meant(
    senti: Callable[..., Answer], home: Path, engine: Engine
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好吃", 2: "太咸了"})
    refused(senti("erase", "1", "12"), "nothing is stored of 1 of 2 ids (12): nothing was erased", "--unknown")
    assert count(engine, erased_reviews) == 0
    assert senti("erase", "1", "12", "--unknown", "--json").json["erased"] == 2
    assert senti("erase", "1", "12", "2", "--json").json["erased"] == 1, "an erased id is known"


def test_an_import_names_what_it_changed_and_kept(senti: Callable[..., Answer], home: Path, engine: Engine) -> None:
    file = home / "reviews.csv"
    file.write_text("id,review,label,city\n1,很好,1,北京\n2,太差,0,上海\n", "utf-8")
    assert "kept as attributes: city" in senti("import", str(file), "--id-column", "id").out
    file.write_text("id,review,city,shop\n1,很好,南京,甲\n2,太差,上海,\n", "utf-8")
    shown = senti("import", str(file), "--id-column", "id", "--attribute", "city").out
    assert "changed: attributes.city 1" in shown
    assert "not used: shop" in shown
    copy = home / "copy.csv"
    copy.write_text("review\n很好\n", "utf-8")
    assert "1 rows without an id are reviews that are there already, by their text" in senti("import", str(copy)).out
    assert senti("import", str(copy), "--all-new", "--source", "more", "--json").json["imported"] == 1
    labels = home / "labels.csv"
    labels.write_text("id,label\n1,负面\n", "utf-8")
    assert "1 labels of 小李 written" in senti("import", str(labels), "--annotator", "小李").out
    refused(senti("import", str(file), "--attribute", "city", "--no-attributes"), "exclude each other")


def test_a_file_or_standard_input_is_predicted_row_by_row(
    senti: Callable[..., Answer], champion: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "texts.jsonl"
    file.write_text('{"comment": "很好"}\n{"comment": ""}\n{"comment": "太差"}\n', "utf-8")
    found = senti("predict", "--file", str(file), "--json").json
    assert [(row["line"], row["text"], row["label_name"] is None) for row in found] == [
        *((1, "很好", False), (2, None, True), (3, "太差", False)),
    ]
    assert "the text is blank" in found[1]["reason"]
    monkeypatch.setattr("sys.stdin", io.StringIO("很好\n\n太差\r\n"))
    lines = senti("predict", "--csv").out.splitlines()
    assert lines[0] == "line,label_name,label,score,confidence,reason,text"
    assert [(line.split(",")[0], line.split(",")[-1]) for line in lines[1:]] == [("1", "很好"), ("3", "太差")]
    monkeypatch.setattr("sys.stdin", io.StringIO("很好"))
    assert [row["text"] for row in senti("predict", "--file", "-", "--json").json] == ["很好"]
    refused(senti("predict", "很好", "--file", str(file)), "leave one of them out")
    refused(senti("predict", "很好", "--text-column", "a"), "--text-column names a column of a --file")


@pytest.mark.parametrize("arguments", [("score",), ("predict", "很好")])
def test_without_a_champion_nothing_is_scored(
    arguments: tuple[str, ...], senti: Callable[..., Answer], home: Path
) -> None:
    refused(senti(*arguments), "no model has been promoted yet: run the retrain_sentiment DAG, or `senti retrain`")


@pytest.mark.parametrize("arguments", [("show", "m9"), ("promote", "m9", "--reason", "因为")])
def test_an_unknown_model_is_refused_with_the_known_ones(
    arguments: tuple[str, ...], senti: Callable[..., Answer], home: Path, champion: str
) -> None:
    refused(senti("models", *arguments), f"there is no model 'm9'; the newest are {champion}")


def test_the_champion_is_not_promoted_again(senti: Callable[..., Answer], home: Path, champion: str) -> None:
    refused(senti("models", "promote", champion, "--reason", "因为"), f"{champion} is the champion already")


def test_a_promotion_by_hand_needs_a_reason(senti: Callable[..., Answer], home: Path, champion: str) -> None:
    answer = senti("models", "promote", champion)
    assert (answer.code, "--reason" in answer.err) == (2, True)


def test_there_is_nothing_to_roll_back_to(senti: Callable[..., Answer], home: Path, champion: str) -> None:
    refused(senti("models", "rollback"), f"nothing served before {champion}")


def test_an_unknown_column_is_refused_with_the_known_ones(senti: Callable[..., Answer], home: Path) -> None:
    (home / "reviews.csv").write_text("评价,label\n很好,1\n", "utf-8")
    refused(senti("import", str(home / "reviews.csv")), "pass --text-column", "'评价', 'label'")
    refused(
        senti("import", str(home / "reviews.csv"), "--text-column", "评价", "--label-column", "标注"),
        "no column '标注', which --label-column names",
    )


def test_star_ratings_become_two_labels_through_a_map(senti: Callable[..., Answer], home: Path, engine: Engine) -> None:
    file = home / "stars.csv"
    file.write_text("评论,stars\n太差了,1\n不满意,2\n一般,3\n不错,4.0\n很好,5\n糟糕,差评\n乱写的,6\n", "utf-8")
    stars = "1=negative,2=negative,3=,4=positive,5=positive,差评=negative"
    answer = senti("import", str(file), "--label-column", "stars", "--label-map", stars, "--json").json
    assert (answer["imported"], answer["labelled"]) == (7, 5)
    assert answer["left_empty"]["label"]["lines"] == [8]
    (reason,) = answer["left_empty"]["label"]["examples"]
    assert reason == "label '6' is not one of 1, 2, 3, 4, 5, 差评, which --label-map names"
    labelled = rows(engine, review_annotations, order_by="review_id")
    assert [row["label"] for row in labelled] == [0, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--label-map", "1=negative"), "--label-map needs --label-column"),
        (("--label-column", "label", "--label-map", "3=neutral"), "label 'neutral' is not one of 0 (negative), 1"),
    ],
)
def test_a_label_map_that_cannot_work_is_refused(
    arguments: tuple[str, ...], complaint: str, senti: Callable[..., Answer], home: Path
) -> None:
    (home / "reviews.csv").write_text("review,label\n很好,5\n", "utf-8")
    refused(senti("import", str(home / "reviews.csv"), *arguments), complaint)


@pytest.mark.parametrize("arguments", [("import", "reviews.csv"), ("retrain",), ("migrate",)])
def test_labels_other_than_the_warehouses_are_refused(
    arguments: tuple[str, ...], senti: Callable[..., Answer], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "reviews.csv").write_text("review,label\n一般,中性\n", "utf-8")
    monkeypatch.chdir(home)
    monkeypatch.setenv("SENTI_LABELS", "negative, neutral, positive")
    refused(senti(*arguments), "SENTI_LABELS is 'negative,neutral,positive', but", "made with 'negative,positive'")


def test_a_file_with_nothing_in_it_is_refused(senti: Callable[..., Answer], home: Path) -> None:
    (home / "empty.csv").write_bytes(b"")
    refused(senti("import", str(home / "empty.csv")), "empty.csv is empty")
    (home / "header.csv").write_text("review\n", "utf-8")
    refused(senti("import", str(home / "header.csv")), "header.csv holds no rows")


def test_a_file_of_which_every_row_is_refused_is_a_failure(senti: Callable[..., Answer], home: Path) -> None:
    (home / "reviews.csv").write_text("review,label\n ,0\n", "utf-8")
    answer = senti("import", str(home / "reviews.csv"), "--json")
    assert (answer.code, answer.json["refused"]) == (1, 1)


def test_a_dry_run_prints_what_is_taken_for_a_file(senti: Callable[..., Answer], home: Path) -> None:
    (home / "a.csv").write_text("review,label\n很好,2\n太差,1\n", "utf-8")
    shown = senti("import", str(home / "a.csv"), "--dry-run")
    assert (shown.code, shown.err) == (0, "")
    for line in ("encoding: UTF-8", "text: review (its usual name)", "labels: numbers from 1", "1 = negative: 1"):
        assert line in shown.out
    answer = senti("import", str(home / "a.csv"), "--dry-run", "--no-label-column", "--json").json
    assert answer["summary"]["columns"]["label"] == {"name": None, "why": "--no-label-column"}
    assert "labels: numbers from 1" in senti("import", str(home / "a.csv")).out
    (home / "b.csv").write_text("review,label\n很好,1\n一般,0\n太差,-1\n", "utf-8")
    unclear = senti("import", str(home / "b.csv"), "--dry-run")
    assert (unclear.code, "--label-map '-1=negative,0=,1=positive'" in unclear.out) == (1, True)
    both = senti("import", str(home / "a.csv"), "--label-column", "label", "--no-label-column")
    refused(both, "--label-column and --no-label-column exclude each other")


def test_several_files_are_imported_one_after_the_other(senti: Callable[..., Answer], home: Path) -> None:
    for name in ("a", "b"):
        (home / f"{name}.csv").write_text(f"label;review\n0;太差{name}\n", "gb18030")
    answer = senti("import", str(home / "*.csv"), "--encoding", "gbk", "--separator", "semicolon", "--json")
    assert [each["source"] for each in answer.json["files"]] == ["a.csv", "b.csv"]
    assert [each["imported"] for each in answer.json["files"]] == [1, 1]
    refused(senti("import", str(home / "*.csv"), "--source", "x"), "--source names one source, and these are 2 files")
    assert senti("import", str(home / "a.csv"), str(home / "b.csv")).out.count("1 there already") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("reviews.csv", "--split", "test"), "--config, --split and --revision are for hf:OWNER/NAME"),
        (("hf:owner/hotels", "--format", "csv"), "--format is for files"),
        (("a.csv", "hf:owner/hotels"), "only files can be imported together"),
        (("sqlite:///shop.db",), "a query needs both"),
        (("a.csv", "--query", "a.sql"), "a query needs both"),
        (("hf:hotels",), "expected hf:OWNER/NAME"),
    ],
)
def test_options_of_files_and_of_data_sets_are_told_apart(
    arguments: tuple[str, ...], complaint: str, senti: Callable[..., Answer], home: Path
) -> None:
    refused(senti("import", *arguments), complaint)


def test_a_model_that_was_tampered_with_is_not_loaded(
    senti: Callable[..., Answer], home: Path, engine: Engine, champion: str
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "味道不错"})
    (weights,) = (home / "var/artifacts").rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    for arguments in (("score",), ("predict", "很好")):
        answer = senti(*arguments)
        refused(Answer(answer.code, answer.out, answer.err.splitlines()[-1] + "\n"), "was registered with digest")
    weights.unlink()
    answer = senti("predict", "很好")
    refused(answer, "changed, added or lost since")


@pytest.mark.parametrize("text", ["", "  ", "\x07"])
def test_a_blank_text_has_no_label(text: str, senti: Callable[..., Answer], home: Path, champion: str) -> None:
    refused(senti("predict", "很好", text), "cannot label", "the text is blank")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--shards", "501"), "1 to 500 shards, found 501"),
        (("--scope", "old"), "scope must be one of new, reconcile, all, rescore"),
    ],
)
def test_an_option_that_cannot_work_is_refused(
    arguments: tuple[str, ...], complaint: str, senti: Callable[..., Answer], home: Path, champion: str
) -> None:
    refused(senti("score", *arguments), complaint)


@pytest.mark.parametrize("more", [(), ("--restart",), ("--publish-anyway", "好")])
def test_a_number_that_no_run_can_have_is_refused(
    more: tuple[str, ...], senti: Callable[..., Answer], home: Path
) -> None:
    refused(senti("score", "--run", "9" * 26, *more), f"there is no scoring run {'9' * 26}", "`senti status` lists")


@pytest.mark.parametrize("command", ["retrain", "pretrain"])
@pytest.mark.parametrize("name", ["x" * 5_000, f"~/{'x' * 5_000}"])
def test_a_name_that_no_base_model_can_have_is_refused(
    name: str, command: str, senti: Callable[..., Answer], home: Path
) -> None:
    answer = senti(command, "--base-model", name)
    refused(answer, "has 5,00", "expected the name of a model on the hub", "scratch:small")
    assert len(answer.err) < 500


def test_the_doctor_shortens_such_a_name(
    senti: Callable[..., Answer], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_BASE_MODEL", "x" * 5_000)
    (found,) = (row["finding"] for row in senti("doctor", "--json").json if row["name"] == "base model")
    assert "has 5,000 characters" in found


def test_a_path_that_no_file_can_have_is_refused(senti: Callable[..., Answer], home: Path) -> None:
    refused(senti("import", "x" * 5_000), "File name too long", "expected a file of reviews")


def test_a_damaged_parquet_file_is_refused_in_one_line(senti: Callable[..., Answer], home: Path) -> None:
    file = home / "reviews.parquet"
    pq.write_table(pa.table({"review": ["很好", "太差"]}), file)
    content = bytearray(file.read_bytes())
    content[4:24] = b"\xff" * 20  # the header of the first page
    file.write_bytes(content)
    refused(senti("import", str(file)), f"{file} is not a Parquet file, or is damaged: ")


def test_a_bad_setting_is_named(senti: Callable[..., Answer], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_TIMEZONE", "Beijing")
    refused(senti("status"), "SENTI_TIMEZONE='Beijing'", "expected an IANA time zone such as Asia/Shanghai")


def test_the_doctor_names_what_is_missing_and_goes_on(
    senti: Callable[..., Answer], bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_BASE_MODEL", "scratch:tiny")
    answer = senti("doctor", "--json")
    found = {row["name"]: row["ok"] for row in answer.json}
    assert answer.code == 1
    assert (found["migrations"], found["settings"], found["artifact store"], found["base model"]) == (
        False, True, True, True,
    )  # fmt: skip
    senti("migrate")
    assert senti("doctor").code == 0
