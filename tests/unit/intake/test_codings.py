"""The coding of a label column: decided on all values, or refused with what to type."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from senti_tasks.errors import InputFileError
from senti_tasks.intake import Columns, Row, code, read
from senti_tasks.intake import open as open_table
from senti_tasks.intake.codings import MOST_VALUES, Coding
from senti_tasks.labels import LabelSet

TWO = LabelSet.listed("negative,positive")
THREE = LabelSet.listed("negative,neutral,positive")
FIVE = LabelSet.listed("很差,差,一般,好,很好")


def reviews(folder: Path, cells: Sequence[object]) -> Path:
    path = folder / "reviews.csv"
    path.write_text("text,label\n" + "".join(f"评论{i}号,{cell}\n" for i, cell in enumerate(cells)), encoding="utf-8")
    return path


def labels_of(
    folder: Path, cells: Sequence[object], labels: LabelSet = TWO, label_map: str | None = None
) -> list[int | None]:
    found = list(read(reviews(folder, cells), Columns(label="label"), labels=labels, label_map=label_map))
    assert len([row for row in found if isinstance(row, Row)]) == len(cells)
    return [row.label for row in found if isinstance(row, Row)]


def coding_of(folder: Path, cells: Sequence[object], labels: LabelSet = TWO) -> Coding:
    path = reviews(folder, cells)
    return code(open_table(path), path, Columns(), labels)


@pytest.mark.parametrize(
    ("labels", "cells", "expected", "name"),
    [
        (TWO, [0, 1, 1, 0], [0, 1, 1, 0], "numbers from 0"),
        (TWO, [0, 0], [0, 0], "numbers from 0"),
        (TWO, [1, 2, 1, 2], [0, 1, 0, 1], "numbers from 1"),
        (TWO, [2, 2], [1, 1], "numbers from 1"),
        (TWO, [-1, 1, -1], [0, 1, 0], "numbers -1 and 1"),
        (TWO, ["−1", "+1"], [0, 1], "numbers -1 and 1"),
        (TWO, ["true", "False", "T", "f"], [1, 0, 1, 0], "names"),
        (TWO, ["积极", "消极", "正向", "负向", "好评", "差评"], [1, 0, 1, 0, 1, 0], "names"),
        (TWO, ["pos", "NEG", "Positive", "negative"], [1, 0, 1, 0], "names"),
        (TWO, ["1", "1.0", "True", "１", "正面", "0"], [1, 1, 1, 1, 1, 0], "numbers from 0"),
        (THREE, [-1, 0, 1], [0, 1, 2], "numbers from -1"),
        (THREE, [0, 1, 2], [0, 1, 2], "numbers from 0"),
        (THREE, [1, 2, 3], [0, 1, 2], "numbers from 1"),
        (THREE, ["1.0", "-1.00", "0.0"], [2, 0, 1], "numbers from -1"),
        (THREE, ["中性", "好评", "neg"], [1, 2, 0], "names"),
        (FIVE, [1, 2, 3, 4, 5], [0, 1, 2, 3, 4], "numbers from 1"),
        (FIVE, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], "numbers from 0"),
        (FIVE, ["很好", "差", "一般"], [4, 1, 2], "names"),
    ],
)
def test_the_one_reading_that_fits_all_values_is_taken(
    tmp_path: Path, labels: LabelSet, cells: list[object], expected: list[int], name: str
) -> None:
    assert labels_of(tmp_path, cells, labels) == expected
    assert coding_of(tmp_path, cells, labels).name == name


def test_the_order_of_the_rows_decides_nothing(tmp_path: Path) -> None:
    assert labels_of(tmp_path, [1] * 5_000 + [0] * 5_000) == [1] * 5_000 + [0] * 5_000
    assert labels_of(tmp_path, [1] * 5_000 + [2] * 5_000) == [0] * 5_000 + [1] * 5_000


def test_a_column_of_nothing_but_1_is_read_from_0_and_says_what_to_type_otherwise(tmp_path: Path) -> None:
    assert labels_of(tmp_path, [1, "", 1]) == [1, None, 1]
    coding = coding_of(tmp_path, [1, "", 1], TWO)
    assert coding.name.startswith("numbers from 0 (only 1 occurs: if it means negative, pass --label-column label ")


@pytest.mark.parametrize(
    ("labels", "cells", "maps"),
    [
        (THREE, [1, 2], ["'1=neutral,2=positive'", "'1=negative,2=neutral'"]),
        (THREE, [0, 1], ["'0=negative,1=neutral'", "'0=neutral,1=positive'"]),
        (FIVE, [4, 3, 2], ["'4=很好,3=好,2=一般'", "'4=好,3=一般,2=差'"]),
    ],
)
def test_two_readings_refuse_the_file_and_show_the_map_of_each(
    tmp_path: Path, labels: LabelSet, cells: list[object], maps: list[str]
) -> None:
    with pytest.raises(InputFileError, match=r"can be read in \d ways.*Nothing was imported") as refused:
        coding_of(tmp_path, cells, labels)
    assert all(f"--label-column 'label' --label-map {one}" in str(refused.value) for one in maps)


@pytest.mark.parametrize(
    ("labels", "cells", "example"),
    [
        (TWO, [-1, 0, 1] * 20, "'-1=negative,0=,1=positive'"),
        (TWO, [1, 2, 3, 4, 5] * 20, "'1=negative,2=negative,3=,4=positive,5=positive'"),
        (TWO, [0, 1, 2] * 20, "'0=negative,1=,2=positive'"),
        (TWO, [0, 0.5, 1] * 20, "'0=negative,0.5=,1=positive'"),
        (THREE, range(11), "negative"),
        (TWO, ["满意", "不满意", "正面"], "'满意=,不满意=,正面=positive'"),
        (LabelSet.listed("1星,2星"), [1, 2], "'1=,2='"),
        (TWO, [-1, -1], "'-1='"),
    ],
)
def test_no_reading_refuses_the_file_and_shows_a_map_that_can_be_typed(
    tmp_path: Path, labels: LabelSet, cells: list[object], example: str
) -> None:
    with pytest.raises(InputFileError, match="are not those of the labels") as refused:
        coding_of(tmp_path, cells, labels)
    assert example in str(refused.value)
    [typed] = re.findall("--label-map '(.*?)'", str(refused.value))
    assert len(labels_of(tmp_path, cells, labels, typed)) == len(cells)


def test_a_message_quotes_no_long_review_and_no_long_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + f"{'很' * 90},{'坏' * 60}\n" * 5, encoding="utf-8")
    with pytest.raises(InputFileError) as refused:
        list(read(path, Columns()))
    assert "很很" not in str(refused.value)
    assert "坏坏" not in str(refused.value)


@pytest.mark.parametrize(
    "missing",
    [
        *("", " ", "NaN", "nan", "NULL", "null", "None", "N/A", "n/a", "#N/A", "NA", "NaT", "<NA>", r"\N", "-", "--"),
        *("空", "无", "未标注", "（空）", "Ｎ／Ａ", "\u3000", "unknown", "待标注"),
    ],
)
def test_a_missing_label_is_an_unlabelled_review(tmp_path: Path, missing: str) -> None:
    [*others, row] = list(read(reviews(tmp_path, [0, 1, missing]), Columns()))
    assert len(others) == 2
    assert isinstance(row, Row)
    assert (row.label, row.left_empty) == (None, ())


def test_a_name_of_a_label_is_not_missing(tmp_path: Path) -> None:
    assert labels_of(tmp_path, ["无", "有", ""], LabelSet.listed("无,有")) == [0, 1, None]


@pytest.mark.parametrize("cells", [[], ["", "NULL", "未标注"]])
def test_a_column_without_labels_is_read(tmp_path: Path, cells: list[str]) -> None:
    assert labels_of(tmp_path, [*cells, ""]) == [None] * (len(cells) + 1)


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        ([0, 1] * 60 + ["好吃"], "好吃"),
        ([0, 1] * 60 + [7], "7"),
        (["好评", "差评"] * 5 + ["-1"], "-1"),
        ([0, 1, "正面", "负面"] * 4 + [2], "2"),
    ],
)
def test_a_rare_cell_that_cannot_be_read_is_left_empty(tmp_path: Path, cells: list[object], odd: str) -> None:
    *others, row = list(read(reviews(tmp_path, cells), Columns()))
    assert all(isinstance(one, Row) and one.label is not None for one in others)
    assert isinstance(row, Row)
    assert row.label is None
    assert row.left_empty == (("label", f"label '{odd}' is not one of 0 (negative), 1 (positive)"),)


@pytest.mark.parametrize("odd", [2, -1, 0.5])
def test_a_rare_number_that_is_a_sign_of_a_further_label_refuses_the_file(tmp_path: Path, odd: float) -> None:
    with pytest.raises(InputFileError, match="are not those of the labels"):
        coding_of(tmp_path, [0, 1] * 500 + [odd])


def test_true_beside_a_coding_from_one_has_no_reading(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="are not those of the labels"):
        coding_of(tmp_path, [1, 2, "true"] * 5)


def test_a_map_of_which_no_value_is_in_the_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"no value of column 'label' is one of 5, which --label-map names"):
        labels_of(tmp_path, [0, 1], label_map="5=positive")


def test_a_column_of_many_values_is_no_label_column(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"more than 1,000 different values.*--no-label-column"):
        coding_of(tmp_path, range(MOST_VALUES + 1))


def test_a_coding_counts_its_values_and_has_an_example_of_each(tmp_path: Path) -> None:
    found = [
        (value.cell, value.count, value.line, value.text, label, readable)
        for value, label, readable in coding_of(tmp_path, [1, 2, "1.0", "", "二"] + [2] * 200).meanings()
    ]
    assert found == [
        ("2", 201, 3, "评论1号", 1, True),
        ("1", 2, 2, "评论0号", 0, True),
        ("", 1, 5, "评论3号", None, True),
        ("二", 1, 6, "评论4号", None, False),
    ]


def test_columns_that_are_switched_off_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("content,time,label,cat\n很好,3天前,topic,书\n", encoding="utf-8")
    [row] = list(read(path, Columns(off=("label", "created_at", "product"))))
    kept = {"time": "3天前", "label": "topic", "cat": "书"}
    assert row == Row(1, 2, None, "很好", None, None, None, attributes=kept)
