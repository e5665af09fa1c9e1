"""The output of the benchmarks is complete, and all contenders get the same input. No test asserts a speed."""

import argparse
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import quality, scoring, training
from benchmarks.contenders import Contender
from benchmarks.lineup import lineup
from benchmarks.reviews import MIXES, Corpus, corpus, sample_by_length, synthetic
from benchmarks.tables import number, table
from benchmarks.workers import Worker, WorkerError, run_in_process
from benchmarks.workload import Shape

_ROOT = Path(__file__).parents[2]
whole = pytest.mark.skipif(
    "SENTI_FAULTS" not in os.environ, reason="takes a minute each: `make faults`, or SENTI_FAULTS=1"
)
_TINY = ("--json", "--layers", "1", "--hidden", "32", "--rounds", "1", "--device", "cpu")


def run(module: str, *arguments: str, data: Path | None = None) -> dict[str, Any]:
    """Runs a benchmark with a tiny model and returns its JSON. ``data`` is SENTI_REAL_DATA; unset for ``None``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SENTI_")}
    if data:
        environment["SENTI_REAL_DATA"] = str(data)
    completed = subprocess.run(
        [sys.executable, "-m", module, *_TINY, *arguments],
        cwd=_ROOT,
        env={**environment, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stderr[-3_000:]
    results: dict[str, Any] = json.loads(completed.stdout)
    return results


# Output


@whole
def test_scoring_reports_every_contender_on_the_same_reviews() -> None:
    results = run(
        "benchmarks.scoring",
        "--rows",
        "40",
        "--slow-rows",
        "20",
        "--mix",
        "short",
        "--only",
        "tutorial,engine-fp32,engine-bf16",
    )
    assert list(results)[:3] == ["machine", "versions", "date"]
    assert results["versions"]["torch"]
    short = results["scoring"]["mixes"]["short"]
    assert short["source"].startswith("synthetic")
    assert (short["rows"], short["slow_rows"]) == (40, 20)
    assert short["peaks_gflops"]["fp32"] > 0
    figures = {one["name"]: one for one in short["contenders"]}
    tutorial, engine, bf16 = (figures[name] for name in ("tutorial", "engine-fp32", "engine-bf16"))
    assert (tutorial["rows"], engine["rows"]) == (20, 40)
    assert engine["tokens"] == short["tokens"]["all"]
    assert tutorial["times_tutorial"] == pytest.approx(1)
    assert engine["agreement"] == 1
    assert engine["largest_difference"] < 1e-5
    for one in (tutorial, engine):
        assert len(one["seconds"]) == 1
        assert one["peak_memory_mb"] > one["memory_rise_mb"] > 0
        for rate in ("reviews_per_second", "tokens_per_second", "useful_gflops"):
            assert one[rate]["best"] >= one[rate]["median"] > 0
    assert bf16["skipped"] in (None, "no bf16 instructions found on this cpu")


@whole
def test_training_reports_every_contender_on_the_same_reviews() -> None:
    long = run("benchmarks.training", "--rows", "48")["training"]["mixes"]["long"]
    assert (long["steps"], long["rows"]) == (3, 48)
    tutorial, product, product_32 = long["contenders"]
    assert [one["name"] for one in (tutorial, product, product_32)] == ["tutorial", "product", "product-32"]
    assert product["padding"] < tutorial["padding"] < 1
    assert tutorial["times_tutorial"] == pytest.approx(1)
    for one in (product, product_32):
        assert one["reviews_per_second"]["median"] > 0


@whole
def test_quality_compares_a_pretrained_model_with_tf_idf_on_the_same_rows(tmp_path: Path) -> None:
    texts = synthetic("short", 900)
    labelled = [f"{number % 2}\t{'差好'[number % 2]}{text}" for number, text in enumerate(texts[:400])]
    (tmp_path / "chnsenticorp").mkdir()
    (tmp_path / "chnsenticorp" / "train.tsv").write_text("\n".join(["label\ttext_a", *labelled, ""]), "utf-8")
    with gzip.open(tmp_path / "unlabelled.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(texts))
    results = run("benchmarks.quality", "--minutes", "0.01", "--control", data=tmp_path)["quality"]
    assert sum(results["rows"]["labelled"].values()) == 400
    assert results["rows"]["unlabelled"]["held out"] > 100
    assert [row["epoch"] for row in results["pretraining"]["history"]] == [0, 1]
    assert results["fine_tuning"].keys() == {"pretrained", "random"} == results["against_tf_idf"].keys()
    assert results["test"].keys() == {"pretrained", "random", "tf-idf"}
    for name, of in results["against_tf_idf"].items():
        for kind, (difference, lower, upper) in of.items():
            assert lower <= difference <= upper
            assert difference == pytest.approx(results["test"][name][kind] - results["test"]["tf-idf"][kind])


def test_quality_without_reviews_names_the_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENTI_REAL_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"expected a folder with chnsenticorp/train.tsv in SENTI_REAL_DATA, found no"):
        quality.measure(argparse.Namespace(device="cpu", layers=1, hidden=32, prepared=None), print)


def test_an_unknown_contender_is_refused_with_the_known_names() -> None:
    with pytest.raises(SystemExit, match=r"--only: expected contenders on cpu \(tutorial, .*\), found nobody"):
        scoring._select("nobody,tutorial", "cpu")


def test_a_contender_whose_package_is_missing_is_skipped_with_the_reason() -> None:
    contender = Contender(
        "one", "…", "fp32", lambda _: lambda texts: np.zeros(len(texts), np.float32), needs=("nowhere",)
    )
    assert contender.reason_to_skip("cpu") == "nowhere not installed"
    assert lineup("cpu")[0].reason_to_skip("cpu") is None


def test_scoring_needs_only_torch_transformers_and_numpy() -> None:
    program = """
import sys
for name in "openvino nncf onnx onnxruntime pandas datasets sklearn pydantic sqlalchemy psutil".split():
    sys.modules[name] = None
import benchmarks.scoring
from benchmarks.lineup import lineup
print([contender.name for contender in lineup("cpu") if contender.reason_to_skip("cpu")])
"""
    completed = subprocess.run([sys.executable, "-c", program], cwd=_ROOT, check=True, capture_output=True, text=True)
    missing = ["sorted-bf16", "onnxruntime-int8", "openvino-int8", "engine-bf16", "engine-int8"]
    assert completed.stdout.strip() == str(missing)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_names_of_contenders_are_unique(device: str) -> None:
    names = [contender.name for contender in lineup(device)]
    assert len(set(names)) == len(names)
    assert names[0] == "tutorial"


# Reviews


@pytest.mark.parametrize(("mix", "mean"), [("long", 110), ("short", 25)])
def test_synthetic_reviews_are_different_and_as_long_as_real_ones(mix: str, mean: int) -> None:
    texts = synthetic(mix, 2_000)
    lengths = [len(text) for text in texts]
    assert len(set(texts)) == 2_000
    assert np.mean(lengths) == pytest.approx(mean, rel=0.1)
    if mix == "long":
        assert np.median(lengths) == pytest.approx(90, rel=0.1)
        assert np.quantile(lengths, 0.95) == pytest.approx(300, rel=0.15)
        assert max(lengths) > 600


def test_missing_reviews_are_combinations_and_all_are_different() -> None:
    source = Corpus("…", synthetic("short", 100))
    texts = source.draw(1_000)
    assert len(set(texts)) == 1_000
    assert set(source.texts) <= set(texts)
    assert texts == source.draw(1_000)


def test_tsv_files_are_read_without_quotes_and_csv_files_with_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('label\ttext_a\n1\t"房间很好\n0\t差\n0\t \n1\t差\n', "utf-8")
    (tmp_path / "b.csv").write_text('label,review\n1,"好吃,很快"\n', "utf-8")
    assert corpus("long", tmp_path / "a.tsv").texts == ['"房间很好', "差"]
    assert corpus("short", tmp_path / "b.csv").texts == ["好吃,很快"]


def test_a_sample_has_the_same_distribution_of_lengths() -> None:
    lengths = np.array([len(text) for text in synthetic("long", 1_000)])
    rows = sample_by_length(lengths, 100)
    assert len(set(rows.tolist())) == 100
    assert lengths[rows].mean() == pytest.approx(lengths.mean(), rel=0.05)
    for size in (1, 7, 48, 59, 60):
        assert len(set(sample_by_length(lengths[:60], size).tolist())) == size


def test_all_training_contenders_get_the_same_rows() -> None:
    rows = [[number] * length for number, length in enumerate(np.random.default_rng(1).integers(3, 400, 800).tolist())]
    grouped = training._grouped(rows, 5)
    shuffled = training._shuffled(grouped)
    assert sorted(row for batch in grouped for row in batch) == sorted(row for batch in shuffled for row in batch)
    assert [len(batch) for batch in grouped] == [len(batch) for batch in shuffled] == [16] * 5


# Figures


def test_useful_operations_count_only_real_tokens() -> None:
    shape = Shape(layers=2, hidden=64)
    one = 2 * (2 * 10 * 12 * 64 * 64 + 4 * 10 * 10 * 64)
    assert shape.useful_flop(np.array([10])) == one
    assert shape.useful_flop(np.array([10, 10])) == 2 * one
    assert (Shape().heads, MIXES) == (12, ("long", "short"))


def test_tables_are_aligned() -> None:
    assert table(("name", "n"), [["a", number(1234.5)], ["bcdef", number(None)]]) == [
        "| name  |     n |",
        "| :---- | ----: |",
        "| a     | 1,234 |",
        "| bcdef |     – |",
    ]


# Processes


def test_a_worker_returns_the_value_and_the_peak_memory() -> None:
    result = run_in_process(sorted, [3, 1, 2])
    assert result.value == [1, 2, 3]
    assert result.peak_bytes > 0


def test_an_error_in_a_worker_is_raised_with_one_line() -> None:
    with Worker(load_int) as worker, pytest.raises(WorkerError, match=r"ValueError: invalid literal for int"):
        worker.call("x")


def load_int() -> type[int]:
    return int


# Warehouse


@whole
def test_the_warehouse_reports_planning_staging_publishing_and_whole_runs() -> None:
    labelled = ("--behind", "300", "--behind-sqlite", "300")
    completed = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.warehouse", "--json", "--rounds", "1", *labelled),
            *("--night", "50", "--staged", "500", "--published", "200"),
            *("--reviews", "300", "--memory-reviews", "100", "200", "--variants", "fp32"),
        ],
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stderr[-3_000:]
    results = json.loads(completed.stdout)
    assert [one["labelled"] for one in results["planning"]["postgresql"]] == [300]
    assert results["staging"].keys() == {"postgresql", "sqlite"}
    assert results["staging"]["postgresql"]["staging_over"]["4096"].keys() == {"bare", "pandas"}
    assert results["publishing"]["new"]["seconds"].keys() == {"plan", "read_and_stage", "audit", "publish"}
    assert results["publishing"]["rollback_seconds"] > 0
    whole_runs = results["scoring_runs"]["variants"]["fp32"]
    assert whole_runs.keys() == {"sqlite", "postgresql"}
    assert whole_runs["sqlite"]["of_engine"] > 0
    assert whole_runs["postgresql"]["peak_mb"].keys() == {"100", "200"}
