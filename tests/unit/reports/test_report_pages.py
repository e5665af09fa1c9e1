"""The pages: escaped, self-contained, small, and with every figure that they were given."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from senti_tasks.reports import comparison, model, run
from tests import sample_reports
from tests.sample_reports import ATTACK, LONG, a_model, a_run, compare_html, model_html, run_html

PAGES = {"model": model_html(), "run": run_html(), "compare": compare_html()}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_runs_and_loads_nothing(page: str) -> None:
    assert not re.search(r"<script|<iframe|<link rel=.stylesheet|<img|https?:|\bon\w+=|@import|url\(", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_name_that_is_html_is_shown_as_text(page: str) -> None:
    assert ATTACK not in page
    assert "&lt;script&gt;alert(&#39;手机&#39;)&lt;/script&gt;" in page


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_is_small_and_each_plot_is_well_formed(page: str) -> None:
    assert len(page.encode()) < 500_000
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) >= 3
    for plot in plots:
        ET.fromstring(plot)  # noqa: S314 - our own text
    assert "nan" not in "".join(plots)


def test_the_page_on_a_model_shows_every_figure_that_it_was_given() -> None:
    shown = PAGES["model"]
    for figure in ("87.7 %", "0.8712", "0.9421", "171", "29", "23", "177", "0.0777", "3,200", "41", "7 of 5,000"):
        assert figure in shown, figure
    for figure in ("0.26 % (allowed 0.50 %)", "321.5", "-9.1 points (upper bound -3.1, allowed -2.0)", "17", "0.987"):
        assert figure in shown, figure
    for name in ("2026-11-23-12345678", "c30a6ed2", "ab" * 32, "cd" * 32, "openvino 1", "小李"):
        assert name in shown, name
    for rule in sample_reports.rules():
        assert rule["slice"] or rule["reason"] in shown
    assert "Its budget of time ended the training in epoch 3 of 10. The model has the weights of epoch 2" in shown
    assert "--corpus 2026-11-23-12345678 --base-model google-bert/bert-base-chinese --epochs 3" in shown


def test_the_verdict_comes_first_and_says_how_a_refused_model_came_to_serve() -> None:
    shown = PAGES["model"]
    assert shown.index('class="verdict bad"') < shown.index("What the gate found")
    sentence = model.verdict(a_model(), in_service=True)["sentence"]
    assert sentence == (
        "The gate refused this model, because 3 rules failed; the first: test_rows of all. "
        "It was promoted against the gate, and its labels are what analysts see."
    )
    again = a_model(promotions=[{"kind": "rollback"}, {"kind": "gate"}])  # the newest is first
    assert (
        "It was promoted by a rollback, and its labels are not what"
        in model.verdict(again, in_service=False)["sentence"]
    )
    promoted = model.verdict(a_model(verdict="promote", promotions=[]), in_service=False)
    assert promoted["state"] == "good"
    assert model.verdict(a_model(verdict=None, gate=[], promotions=[]), in_service=False)["state"] == "wait"


def test_texts_are_shown_only_if_they_are_allowed() -> None:
    assert LONG in PAGES["model"]
    mistake = {"label": "negative", "predicted": "positive", "confidence": 0.9, "product": None}
    cut = model_html(mistakes=[{**mistake, "text": "长" * 1_000_000}, {**mistake, "text": None}])
    assert f"<p>{'长' * 400}…</p>" in cut
    assert "(the text is no longer stored)" in cut
    closed = model_html(shows_texts=False)
    assert LONG not in closed
    assert "太差" not in closed
    assert "SENTI_REPORT_TEXTS=true" in closed
    assert "41" in closed


def test_without_its_evaluation_a_model_has_its_matrix_and_the_reason_for_missing_curves() -> None:
    shown = model_html(evaluation=None)
    assert "no longer in the artifact store" in shown
    assert "true positive rate" not in shown
    assert "171" in shown


def test_the_page_on_a_run_shows_every_figure_that_it_was_given() -> None:
    shown = PAGES["run"]
    for figure in ("1,003", "1,000", "40.0 %", "0.880", "69", "the review is blank", "71.0 %", "33.0 %", "+5.8", "777"):
        assert figure in shown, figure
    for figure in ("60", "16.7", "180", "4 shards in 5 attempts", "senti score --run 36 --publish-anyway REASON"):
        assert figure in shown, figure


def test_a_price_is_off_until_it_is_set() -> None:
    assert "A million labels cost" not in run_html(price_per_hour=None)


def test_what_is_usual_follows_the_rule_of_the_audit() -> None:
    labels = [
        {"label": 0, "labels": 400, "confidence_sum": 352.0},
        {"label": 1, "labels": 600, "confidence_sum": 551.0},
    ]
    bands = run.bands(labels, sample_reports.earlier_runs(), sample_reports.NAMES)
    assert [(band.name, round(band.now, 3), band.is_usual) for band in bands] == [
        ("share of negative", 0.4, False),
        ("share of positive", 0.6, False),
        ("mean confidence", 0.903, True),
    ]
    assert (round(bands[0].low, 3), round(bands[0].high, 3)) == (0.437, 0.563)  # 4 standard deviations of 1,000 labels
    assert run.bands(labels, sample_reports.earlier_runs(6), sample_reports.NAMES) == []


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, "wait", "1,000 of 1,003 reviews have their label"),
        ({"failed": 0}, "good", "analysts see them since 2026-11-23 02:01 UTC"),
        ({"state": "held", "held_at": sample_reports.AT}, "bad", "A person must decide"),
        ({"overruled": "x", "overruled_by": "小李"}, "wait", "小李 published it although it was unusual"),
        ({"state": "abandoned"}, "wait", "given up"),
        ({"state": "planned"}, "wait", "not finished: it is planned"),
    ],
)
def test_the_first_sentence_says_what_became_of_a_run(changes: dict[str, object], state: str, words: str) -> None:
    found = run.verdict(a_run(**changes), 1_000)
    assert found["state"] == state
    assert words in found["sentence"]


def test_the_comparison_says_first_whether_a_difference_is_shown() -> None:
    names = ["a", "b"]
    overall = {"name": "all test rows", "rows": 900, "difference": 0.02, "low": 0.004, "high": 0.036}
    found = comparison.verdict(names, {"slices": [overall]})
    assert found["sentence"].startswith("b is more accurate than a: +2.0 points (95 % bounds +0.4 and +3.6) on 900")
    assert comparison.verdict(names, {"slices": [overall | {"low": -0.01}]})["sentence"].startswith("No difference")
    assert comparison.verdict(names, {"slices": [overall | {"high": -0.01, "low": -0.1}]})["state"] == "bad"


def test_two_equal_models_are_never_the_only_one_who_is_right() -> None:
    one = sample_reports.judged()
    counts = comparison.figures(one, one)["counts"]
    assert counts["only the first is"] == counts["only the second is"] == 0
    assert sum(counts.values()) == 400


def test_models_without_a_common_row_are_not_compared() -> None:
    one = sample_reports.judged(40)
    other = replace(one, review_ids=range(1_000, 1_040))
    assert comparison.figures(one, other) == {"rows": 0}
