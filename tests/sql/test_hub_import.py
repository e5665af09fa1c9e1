"""Data sets on the hub into the warehouse: pinned to a commit, repeatable, from the cache where nobody answers.

The hub is a server on the loopback, the client the real one, in a process of its own.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import import_sources, review_annotations, reviews
from tests.dataset_hub import Importer, Shelf, serving
from tests.situations import rows

NOBODY = "http://127.0.0.1:9"
COUNTS = ("rows", "imported", "already_there", "updated", "refused", "labelled")
TWO_CONFIGURATIONS = """---
configs:
- config_name: hotels
  data_files: hotels.csv
- config_name: books
  data_files: books.csv
---
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture(scope="module")
def importer(shelf: Shelf, home: Path) -> Iterator[Importer]:
    with serving(shelf) as address:
        process = Importer(address, home)
        process("migrate")
        yield process
        process.close()


@pytest.fixture(scope="module")
def importer_without_hub(importer: Importer, home: Path) -> Iterator[Importer]:
    process = Importer(NOBODY, home)
    yield process
    process.close()


@pytest.fixture
def engine(importer: Importer, home: Path) -> Iterator[Engine]:
    opened = database.connect(f"sqlite:///{home}/var/warehouse.db")
    yield opened
    opened.dispose()


def load(process: Importer, name: str, columns: dict[str, str] | None = None, **options: str) -> Any:
    storing = {"finds_texts": False}  # the data sets of one warehouse have texts in common
    return process("import_dataset", name=name, columns=columns or {}, storing=storing, **options)


def counts(answer: dict[str, Any]) -> tuple[int, ...]:
    return tuple(answer[name] for name in COUNTS)


def parquet(**columns: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


def texts(engine: Engine, source: str) -> list[str]:
    (number,) = (row["source_id"] for row in rows(engine, import_sources) if row["name"] == source)
    found = rows(engine, reviews, order_by="review_id")
    return [row["review_text"] for row in found if row["review_id"] // 1_000_000_000 == number]


def revision(engine: Engine, source: str) -> str:
    (found,) = (row["revision"] for row in rows(engine, import_sources) if row["name"] == source)
    return str(found)


def test_a_split_is_imported_at_a_commit_that_is_recorded(shelf: Shelf, importer: Importer, engine: Engine) -> None:
    files = {
        "data/train-00000-of-00002.parquet": parquet(text=["很好", "太差"], label=[1, 0]),
        "data/train-00001-of-00002.parquet": parquet(text=["没人看过", " "], label=[None, 1]),
        "data/test-00000-of-00001.parquet": parquet(text=["一般", "差"], label=[1, 0]),
    }
    commit = shelf.push("owner/HotelReviews", files)
    found = load(importer, "owner/HotelReviews")
    assert (found["source"], found["revision"]) == ("hf:owner/HotelReviews/default/train", commit)
    assert counts(found) == (4, 3, 0, 0, 1, 2)
    assert texts(engine, found["source"]) == ["很好", "太差", "没人看过"]
    assert revision(engine, found["source"]) == commit
    again = load(importer, "owner/HotelReviews")
    assert counts(again) == (4, 0, 3, 0, 1, 0)
    assert counts(load(importer, "owner/HotelReviews", split="test")) == (2, 2, 0, 0, 0, 2)


def test_csv_and_tsv_are_read_whole_and_a_lone_quote_is_a_character(
    shelf: Shelf, importer: Importer, engine: Engine
) -> None:
    shelf.push("owner/commas", {"train.csv": 'label,review\n1,"好，很好"\n,没人看过\n0,差\n'.encode()})
    assert counts(load(importer, "owner/commas")) == (3, 3, 0, 0, 0, 2)
    assert texts(engine, "hf:owner/commas/default/train") == ["好，很好", "没人看过", "差"]
    shelf.push("owner/tabs", {"train.tsv": 'label\ttext_a\n1\t"好\n0\t差\n1\t"又好\n'.encode()})
    assert counts(load(importer, "owner/tabs")) == (3, 3, 0, 0, 0, 3)
    assert texts(engine, "hf:owner/tabs/default/train") == ['"好', "差", '"又好']


def test_a_newer_commit_that_only_grew_brings_what_is_new(shelf: Shelf, importer: Importer, engine: Engine) -> None:
    shelf.push("owner/grows", {"train.csv": "review\n很好\n".encode()})
    load(importer, "owner/grows")
    commit = shelf.push("owner/grows", {"train.csv": "review\n很好\n太差\n".encode()})
    assert counts(load(importer, "owner/grows")) == (2, 1, 1, 0, 0, 0)
    assert revision(engine, "hf:owner/grows/default/train") == commit


def test_a_newer_commit_with_other_rows_is_refused_and_the_older_one_still_reads(
    shelf: Shelf, importer: Importer, engine: Engine
) -> None:
    first = shelf.push("owner/edited", {"train.csv": "review\n很好\n太差\n".encode()})
    load(importer, "owner/edited")
    shelf.push("owner/edited", {"train.csv": "review\n很好\n插进来的\n太差\n".encode()})
    error = load(importer, "owner/edited")["error"]
    assert "of source 'hf:owner/edited/default/train' was imported before with another text" in error
    assert texts(engine, "hf:owner/edited/default/train") == ["很好", "太差"]
    assert revision(engine, "hf:owner/edited/default/train") == first
    assert counts(load(importer, "owner/edited", revision=first)) == (2, 0, 2, 0, 0, 0)


def test_a_hub_that_fails_half_way_does_not_pass_an_older_commit_off_as_the_newer_one(
    shelf: Shelf, importer: Importer, engine: Engine
) -> None:
    first = shelf.push("owner/fails", {"train.csv": "review\n很好\n".encode()})
    load(importer, "owner/fails")
    second = shelf.push("owner/fails", {"train.csv": "review\n很好\n太差\n".encode()})
    shelf.failing.add("owner/fails")
    assert "what was asked for is not in the cache" in load(importer, "owner/fails")["error"]
    assert revision(engine, "hf:owner/fails/default/train") == first
    shelf.failing.discard("owner/fails")
    assert load(importer, "owner/fails")["revision"] == second


def test_with_ids_a_newer_commit_updates(shelf: Shelf, importer: Importer, engine: Engine) -> None:
    shelf.push("owner/ids", {"train.jsonl": '{"no": 71, "text": "很好"}\n{"no": 72, "text": "太差"}\n'.encode()})
    load(importer, "owner/ids", {"id": "no"})
    commit = shelf.push("owner/ids", {"train.jsonl": '{"no": 72, "text": "其实一般"}\n'.encode()})
    assert counts(load(importer, "owner/ids", {"id": "no"})) == (1, 0, 0, 1, 0, 0)
    found = {row["review_id"]: row["review_text"] for row in rows(engine, reviews)}
    assert (found[71], found[72]) == ("很好", "其实一般")
    assert revision(engine, "hf:owner/ids/default/train") == commit


def test_labels_mean_what_their_names_say_whatever_their_numbers(
    shelf: Shelf, importer: Importer, engine: Engine, tmp_path: Path
) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["正面", "负面"])}
    )
    table = datasets.Dataset.from_dict({"text": ["很好", "太差"], "label": [0, 1]}, features=features)
    table.to_parquet(tmp_path / "train.parquet")
    shelf.push("owner/turned", {"train.parquet": (tmp_path / "train.parquet").read_bytes()})
    assert counts(load(importer, "owner/turned")) == (2, 2, 0, 0, 0, 2)
    written = [
        row for row in rows(engine, review_annotations) if row["annotator"] == "import:hf:owner/turned/default/train"
    ]
    assert [row["label"] for row in sorted(written, key=lambda row: row["review_id"])] == [1, 0]


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("owner/shop", {"split": "validation"}, "no split 'validation' in its configuration 'default': pass --split"),
        ("owner/shop", {"columns": {"text": "评价"}}, "hf:owner/shop/default/train has no column '评价', which --text"),
        ("owner/shop", {"revision": "v9"}, "has no branch, tag or commit 'v9'"),
        ("owner/nobody", {}, "knows no 'owner/nobody', or keeps it private; `senti datasets --search TEXT`"),
        ("not a name", {}, "expected hf:OWNER/NAME"),
        ("owner/gated", {}, "'owner/gated' is gated, and this token may not read it"),
        ("owner/two", {}, "owner/two has several configurations: pass --config with one of hotels, books"),
        ("owner/two", {"config": "food"}, "no configuration 'food': pass --config with one of hotels, books"),
        ("owner/script", {}, "is a script, and no code of a data set is run here"),
        ("owner/pickles", {}, "holds no file of reviews: expected parquet, csv, json, text, arrow"),
        ("owner/pages", {}, "holds data of the kind xml: expected reviews as parquet"),
        ("owner/broken", {}, "cannot be read: "),
    ],
)
def test_what_cannot_be_imported_is_said_in_a_line(
    name: str, options: dict[str, Any], complaint: str, shelf: Shelf, importer: Importer
) -> None:
    table = "text,label\n很好,1\n".encode()
    shelf.push("owner/shop", {"train.csv": table})
    shelf.push("owner/gated", {"train.csv": table})
    shelf.gated.add("owner/gated")
    shelf.push("owner/two", {"README.md": TWO_CONFIGURATIONS.encode(), "hotels.csv": table, "books.csv": table})
    shelf.push("owner/script", {"script.py": b"raise SystemExit\n", "train.csv": table})
    shelf.push("owner/pickles", {"train.pkl": b"\x80\x04."})
    shelf.push("owner/pages", {"train.xml": b"<a/>"})
    shelf.push("owner/broken", {"train.parquet": b"PAR1"})
    error = load(importer, name, **options)["error"]
    assert complaint in error
    assert "\n" not in error


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_one_of_several_configurations_is_imported_under_its_name(
    suffix: str, shelf: Shelf, importer: Importer, engine: Engine
) -> None:
    card = TWO_CONFIGURATIONS.replace("csv", suffix)
    files = {"README.md": card.encode(), f"hotels.{suffix}": b"text\na\n", f"books.{suffix}": b"text\nb\n"}
    shelf.push(f"owner/{suffix}s", files)
    assert load(importer, f"owner/{suffix}s", config="books")["imported"] == 1
    assert texts(engine, f"hf:owner/{suffix}s/books/train") == ["b"]


def test_the_configuration_that_the_card_calls_the_default_needs_no_name(
    shelf: Shelf, importer: Importer, importer_without_hub: Importer
) -> None:
    card = TWO_CONFIGURATIONS.replace("csv", "tsv").replace("books\n", "books\n  default: true\n", 1)
    files = {"README.md": card.encode(), "hotels.tsv": b"text\na\n", "books.tsv": b"text\nb\n"}
    shelf.push("owner/preferred", files)
    assert load(importer, "owner/preferred")["source"] == "hf:owner/preferred/books/train"
    load(importer, "owner/preferred", config="hotels")
    assert load(importer_without_hub, "owner/preferred", config="hotels")["already_there"] == 1
    assert "pass --config with one of books, hotels" in load(importer_without_hub, "owner/preferred")["error"]


def test_the_hub_is_searched(shelf: Shelf, importer: Importer) -> None:
    shelf.push("owner/waimai", {})
    (found,) = importer("search_datasets", text="waimai")
    assert found == {
        "id": "owner/waimai",
        "downloads": 1200,
        "likes": 7,
        "last_modified": "2026-10-01 08:00:00+00:00",
        "description": "酒店评论 一万条",
        "tags": ["language:zh", "task_categories:text-classification"],
        "gated": False,
    }
    assert importer("search_datasets", text="no such thing") == []


def test_of_a_repository_nothing_is_fetched_but_the_files_that_hold_rows(shelf: Shelf, importer: Importer) -> None:
    before = len(shelf.asked)
    shelf.push("owner/quiet", {"train.csv": b"text\na\n", "run.py": b"", "weights.bin": b""})
    load(importer, "owner/quiet")
    fetched = [line for line in shelf.asked[before:] if line.startswith("GET /datasets/") and ".py" not in line]
    assert [line.rpartition("/")[2] for line in fetched] == ["train.csv"]


def test_without_the_hub_the_commit_in_the_cache_is_read(
    shelf: Shelf, importer: Importer, importer_without_hub: Importer, engine: Engine
) -> None:
    commit = shelf.push("owner/CachedReviews", {"train.tsv": "label\ttext\n1\t很好\n0\t差\n".encode()})
    load(importer, "owner/CachedReviews")
    found = load(importer_without_hub, "owner/CachedReviews")
    assert (found["revision"], counts(found)) == (commit, (2, 0, 2, 0, 0, 0))
    assert load(importer_without_hub, "owner/CachedReviews", revision=commit)["revision"] == commit
    assert "no split 'test'" in load(importer_without_hub, "owner/CachedReviews", split="test")["error"]


@pytest.mark.parametrize("options", [{"name": "owner/other"}, {"name": "owner/CachedReviews", "revision": "v1"}])
def test_without_the_hub_what_is_not_in_the_cache_is_an_error(
    options: dict[str, Any], importer_without_hub: Importer
) -> None:
    error = load(importer_without_hub, **options)["error"]
    assert f"{NOBODY} did not answer" in error
    assert "not in the cache; set HF_ENDPOINT to a mirror" in error
    assert f"{NOBODY} did not answer" in importer_without_hub("search_datasets", text="酒店")["error"]
