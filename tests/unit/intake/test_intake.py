"""Reading reviews out of files: what comes out, what is refused row by row, and what is wrong with a whole file."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from senti_tasks.errors import InputFileError
from senti_tasks.intake import Columns, Options, Refusal, Row, read

SHANGHAI = ZoneInfo("Asia/Shanghai")
FOUND_OUT = Options()
EVENING = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)  # 18:30 in Shanghai


def written(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def rows(path: Path, columns: Columns | None = None, options: Options = FOUND_OUT) -> list[Row]:
    """All rows, none of which may be refused."""
    found = everything(path, columns, options)
    assert not [row for row in found if isinstance(row, Refusal)]
    return [row for row in found if isinstance(row, Row)]


def everything(path: Path, columns: Columns | None = None, options: Options = FOUND_OUT) -> list[Row | Refusal]:
    return list(read(path, columns or Columns(), options))


def refusals(path: Path, columns: Columns | None = None) -> list[Refusal]:
    return [row for row in everything(path, columns) if isinstance(row, Refusal)]


def texts(found: Sequence[Row | Refusal]) -> list[str]:
    return [row.text for row in found if isinstance(row, Row)]


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def saved_dataset(folder: Path, shards: Sequence[pa.Table], **state: Any) -> Path:
    """A folder as ``Dataset.save_to_disk`` writes it."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05d}-of-{len(shards):05d}.arrow" for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, shard.schema) as stream:
            stream.write_table(shard)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names], **state}))
    return folder


# Formats


def test_a_csv_row_comes_out_whole(tmp_path: Path) -> None:
    path = written(
        tmp_path / "reviews.csv", "编号,label,review,product,created_at\na7,正面,很好吃,面馆,2024-05-01 18:30:00\n"
    )
    assert rows(path, Columns(id="编号")) == [
        Row(number=1, line=2, id="a7", text="很好吃", label=1, product="面馆", created_at=EVENING)
    ]


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    table = pa.table({"text": ["很好", "太差"], "label": ["正面", None]})
    objects = [{"text": "很好", "label": "正面"}, {"text": "太差"}]
    paths = [
        written(tmp_path / "a.csv", "text,label\n很好,正面\n太差,\n"),
        written(tmp_path / "a.tsv", "text\tlabel\n很好\t正面\n太差\t\n"),
        written(tmp_path / "a.jsonl", "\n".join(json.dumps(each) for each in objects)),
        written(tmp_path / "a.NDJSON", "\n".join(json.dumps(each, ensure_ascii=False) for each in objects)),
        parquet(tmp_path / "a.parquet", text=table["text"], label=table["label"]),
        saved_dataset(tmp_path / "saved", [table]),
    ]
    for path in paths:
        assert [(row.number, row.text, row.label) for row in rows(path)] == [(1, "很好", 1), (2, "太差", None)], path


def test_the_first_bytes_decide_on_the_format_and_not_the_name(tmp_path: Path) -> None:
    assert texts(rows(written(tmp_path / "a.xlsx", "label\ttext_a\n0\t好,很好\n"))) == ["好,很好"]
    assert texts(rows(written(tmp_path / "a.csv", '{"text": "好"}\n'))) == ["好"]
    assert texts(rows(parquet(tmp_path / "a.txt", text=["好"]))) == ["好"]


def test_an_unknown_format_is_answered_with_the_list_of_formats(tmp_path: Path) -> None:
    path = written(tmp_path / "reviews.csv", "text\n好\n")
    with pytest.raises(
        InputFileError, match=r"no format 'excel'.* csv, jsonl, json, parquet, arrow, spreadsheet, data"
    ):
        rows(path, options=Options(format="excel"))


def test_a_missing_path_a_folder_for_a_file_and_a_file_for_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="is no file and no folder"):
        rows(tmp_path / "none.csv")
    with pytest.raises(InputFileError, match="is a folder, but the format csv is a file"):
        rows(tmp_path, options=Options(format="csv"))
    with pytest.raises(InputFileError, match="is a file, but the format dataset is a folder"):
        rows(written(tmp_path / "a.csv", "text\n好\n"), options=Options(format="dataset"))


def test_a_pipe_is_refused_rather_than_read_in_part(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputFileError, match="is no file and no folder"):
        rows(tmp_path / "pipe.csv")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n"])
def test_an_empty_file_is_an_error(tmp_path: Path, suffix: str, content: str) -> None:
    with pytest.raises(InputFileError, match=r"is empty|no rows"):
        rows(written(tmp_path / f"a.{suffix}", content))


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_header_alone_is_an_error(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputFileError, match="no rows"):
        rows(written(tmp_path / f"a.{suffix}", "text\n"))


def test_parquet_and_datasets_without_rows_are_errors(tmp_path: Path) -> None:
    empty = pa.table({"text": pa.array([], pa.string())})
    for path in (parquet(tmp_path / "a.parquet", text=empty["text"]), saved_dataset(tmp_path / "saved", [empty])):
        with pytest.raises(InputFileError, match="no rows"):
            rows(path)
    with pytest.raises(InputFileError, match="no rows"):
        rows(saved_dataset(tmp_path / "bare", []))


def test_empty_lines_are_no_rows_and_refused_rows_keep_their_number(tmp_path: Path) -> None:
    for suffix, mark in (("csv", ","), ("tsv", "\t")):
        path = written(tmp_path / f"a.{suffix}", f"label{mark}text\n1{mark}好\n\n1{mark} \n0{mark}差\r\n\n")
        found = everything(path)
        assert [(row.number, row.line) for row in found if isinstance(row, Row)] == [(1, 2), (3, 5)]
        assert [row.line for row in found if isinstance(row, Refusal)] == [4]


# Quotes


def test_quoted_cells_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'label,text\r\n1,"他说""好"",\r\n真好"\r\n0,太"差"了\r\n')
    assert [(row.line, row.text) for row in rows(path)] == [(2, '他说"好",\r\n真好'), (4, '太"差"了')]


@pytest.mark.parametrize(
    "body",
    ['1,"很好\n0,太差\n', '1,"很好\n0,"太差\n', '1,"很好"吃\n0,太差\n'],
    ids=["unclosed", "two unclosed", "text after the closing quote"],
)
def test_a_lone_quote_in_a_csv_is_an_error_that_names_its_line(tmp_path: Path, body: str) -> None:
    with pytest.raises(InputFileError, match=r"a\.csv, line 3: .*RFC 4180.*--quoting none"):
        everything(written(tmp_path / "a.csv", f"label,text\n1,好\n{body}"))


def test_an_unclosed_quote_in_a_huge_csv_is_found_without_reading_all_of_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'label,text\n1,"好\n' + "0,差差差差差差差差\n" * 2_000_000)
    with pytest.raises(InputFileError, match=r"line 2: .*field larger than field limit"):
        everything(path)


def test_lines_may_end_as_on_old_macs(tmp_path: Path) -> None:
    assert texts(rows(written(tmp_path / "a.csv", "label,text\r1,好\r0,差\r"))) == ["好", "差"]


def test_a_carriage_return_inside_a_cell_without_quotes_stays_there(tmp_path: Path) -> None:
    assert texts(rows(written(tmp_path / "a.csv", 'label,text\r\n1,好\r很好\r\n0,"差\r"\r\n'))) == ["好\r很好", "差\r"]


def test_a_tsv_with_lone_quotes_loses_no_row(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", 'label\ttext_a\n1\t"很好\n0\t"太差\n1\t他说"行"\n0\t差"\n')
    assert texts(rows(path)) == ['"很好', '"太差', '他说"行"', '差"']


def test_a_tsv_keeps_a_carriage_return_inside_a_review(tmp_path: Path) -> None:
    assert texts(rows(written(tmp_path / "a.tsv", "label\ttext\r\n0\t好\r很好\r\n".encode()))) == ["好\r很好"]


def test_a_row_with_too_few_or_too_many_fields_is_refused(tmp_path: Path) -> None:
    for suffix, mark in (("csv", ","), ("tsv", "\t")):
        path = written(tmp_path / f"a.{suffix}", f"label{mark}text\n0\n0{mark}好{mark}很好\n0{mark}好\n")
        assert everything(path)[:2] == [
            Refusal(2, "expected 2 fields, as in the first line, found 1"),
            Refusal(3, "expected 2 fields, as in the first line, found 3"),
        ]
        assert texts(everything(path)) == ["好"]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_a_cell_of_ten_megabytes_is_read(tmp_path: Path, suffix: str) -> None:
    review = "好" * 3_500_000
    path = written(tmp_path / f"a.{suffix}", json.dumps({"text": review}) if suffix == "jsonl" else f"text\n{review}\n")
    assert texts(rows(path)) == [review]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, suffix: str) -> None:
    path, count, limit = tmp_path / f"a.{suffix}", 8_000, 6 * 2**20
    review = "味道很好，下次再来。" * 50
    if suffix == "parquet":
        table = pa.table({"text": [f"{review}{i}" for i in range(count)]})
        pq.write_table(table, path, compression="none", use_dictionary=False)
        del table
    elif suffix == "jsonl":
        written(path, f'{{"text": "{review}"}}\n' * count)
    elif suffix == "json":
        written(path, "[" + ",".join([f'{{"text": "{review}"}}'] * count) + "]")
    else:
        written(path, "text\n" + f"{review}\n" * count)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    arrow_peak = max(pa.total_allocated_bytes() - before for _ in read(path, Columns()))
    _, python_peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert python_peak < limit < path.stat().st_size
    assert arrow_peak < limit


# Encodings


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("count", [1, 3, 50_000], ids=["tiny", "small", "more than a sample"])
def test_utf8_with_and_without_mark_and_gb18030_are_read(
    tmp_path: Path, suffix: str, encoding: str, count: int
) -> None:
    review = "送餐很快，味道好极了𠮷😀"
    line = json.dumps({"review": review}, ensure_ascii=False) if suffix == "jsonl" else review
    header = "" if suffix == "jsonl" else "review\n"
    path = written(tmp_path / f"a.{suffix}", header + f"{line}\n" * count, encoding)
    assert texts(rows(path)) == [review] * count


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("shift", range(4))
def test_a_character_across_the_end_of_the_sample_does_no_harm(tmp_path: Path, encoding: str, shift: int) -> None:
    review = "a" * shift + "好" * 800_000
    assert texts(rows(written(tmp_path / "a.tsv", f"review\n{review}\n坏\n", encoding))) == [review, "坏"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_chinese_after_megabytes_of_ascii_is_read(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "a.csv", "review\n" + f"{'very good ' * 50}\n" * 6_000 + "很好，下次还来\n", encoding)
    assert texts(rows(path))[-1] == "很好，下次还来"


def test_a_review_that_is_legal_in_both_encodings_is_read_as_utf8(tmp_path: Path) -> None:
    content = "label,review\n0,很好\n".encode()
    content.decode("gb18030")
    assert texts(rows(written(tmp_path / "a.csv", content))) == ["很好"]


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8", "UTF-8"), ("gb18030", "GB18030"), ("big5", "Big5"), ("utf-16", "UTF-16LE")]
)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json"])
def test_a_broken_byte_costs_its_row(tmp_path: Path, encoding: str, name: str, suffix: str) -> None:
    broken = b"\x00\xd8" if encoding == "utf-16" else b"\xff"
    before, after = {
        "csv": ("label,text\n0,不是很好\n0,不", "太好\n1,我很喜歡\n"),
        "tsv": ("label\ttext\n0\t不是很好\n0\t不", "太好\n1\t我很喜歡\n"),
        "jsonl": ('{"text": "不是很好"}\n\n{"text": "不', '太好"}\n{"text": "我很喜歡"}\n'),
        "json": ('[{"text": "不是很好"},\n\n{"text": "不', '太好"},\n{"text": "我很喜歡"}]'),
    }[suffix]
    path = written(
        tmp_path / f"a.{suffix}", before.encode(encoding) + broken + after.encode(encoding.replace("16", "16-le"))
    )
    found = everything(path)
    assert texts(found) == ["不是很好", "我很喜歡"]
    [refused] = [row for row in found if isinstance(row, Refusal)]
    assert refused.line == 3
    assert refused.reason.startswith(f"it holds bytes that are not {name}: ")


@pytest.mark.parametrize(("first", "then"), [("utf-8", "gb18030"), ("gb18030", "utf-8")])
def test_a_file_that_changes_its_encoding_is_an_error_not_garbage(tmp_path: Path, first: str, then: str) -> None:
    content = ("review\n" + f"{'味道很好' * 50}\n" * 4_000).encode(first) + "太差了\n".encode(then) * 4_000
    with pytest.raises(InputFileError, match=r"of the first .* lines hold bytes that are not .* --encoding"):
        everything(written(tmp_path / "a.csv", content))


# Columns


@pytest.mark.parametrize(
    "name",
    ["review", "review_text", "text", "text_a", "content", "sentence", "comment", "评论", "内容", " Review "],
)
def test_the_text_is_found_under_its_usual_names(tmp_path: Path, name: str) -> None:
    assert texts(rows(written(tmp_path / "a.csv", f"x,{name}\n1,好\n"))) == ["好"]


@pytest.mark.parametrize("name", ["label", "sentiment", "标签", "LABEL"])
def test_the_label_is_found_under_its_usual_names(tmp_path: Path, name: str) -> None:
    assert [row.label for row in rows(written(tmp_path / "a.csv", f"text,{name}\n好,正面\n"))] == [1]


@pytest.mark.parametrize("name", ["product", "category", "cat", "商品", "类别"])
def test_the_product_is_found_under_its_usual_names(tmp_path: Path, name: str) -> None:
    assert [row.product for row in rows(written(tmp_path / "a.csv", f"text,{name}\n好,书\n"))] == ["书"]


@pytest.mark.parametrize("name", ["created_at", "date", "time", "时间"])
def test_the_date_is_found_under_its_usual_names(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "a.csv", f"text,{name}\n好,2024-05-01 18:30\n")
    assert [row.created_at for row in rows(path)] == [EVENING]


def test_the_id_is_never_guessed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "id,text\n7,好\n")
    assert [row.id for row in rows(path)] == [None]
    assert [row.id for row in rows(path, Columns(id="id"))] == ["7"]


def test_no_column_or_several_for_the_text_ask_for_the_option(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"no column called review.*--text-column.*columns are 'label', '正文'"):
        rows(written(tmp_path / "a.csv", "label,正文\n0,好\n"))
    with pytest.raises(InputFileError, match=r"several .*\(text, 内容\): pass --text-column.*'text', '内容', 'x'"):
        rows(written(tmp_path / "b.csv", "text,内容,x\n好,好,1\n"))
    assert texts(rows(tmp_path / "a.csv", Columns(text="正文"))) == ["好"]
    assert texts(rows(tmp_path / "b.csv", Columns(text="内容"))) == ["好"]


def test_several_columns_for_the_label_ask_for_the_option(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"could be the label \(label, 标签\): pass --label-column"):
        rows(written(tmp_path / "a.csv", "text,label,标签\n好,1,0\n"))


@pytest.mark.parametrize("role", ["text", "label", "product", "id", "created_at"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "saved"])
def test_a_named_column_that_is_missing_is_an_error_that_names_the_option(
    tmp_path: Path, role: str, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        parquet(path, text=["好"])
    elif suffix == "saved":
        saved_dataset(path, [pa.table({"text": ["好"]})])
    else:
        written(path, '{"text": "好"}' if suffix == "jsonl" else "text\n好\n")
    option = f"--{role.replace('_', '-')}-column"
    with pytest.raises(InputFileError, match=f"no column '栏目', which {option} names: its columns are 'text'"):
        everything(path, Columns(**{role: "栏目"}))  # type: ignore[arg-type]


def test_a_column_named_for_one_role_is_not_guessed_for_another(tmp_path: Path) -> None:
    found = rows(written(tmp_path / "a.csv", "text,cat,date\n好,猫,9\n"), Columns(product="date"))
    assert [(row.product, row.created_at) for row in found] == [("9", None)]


def test_a_named_column_that_stands_there_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="2 columns 'a', which --text-column names"):
        rows(written(tmp_path / "a.csv", "a,a\n好,差\n"), Columns(text="a"))


def test_a_header_of_long_names_makes_no_long_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError) as caught:
        rows(written(tmp_path / "a.csv", ",".join(["好" * 500] * 500) + "\n"))
    assert len(str(caught.value)) < 2000


# Rows


def test_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'text\n" 好，ＯＫ\u200b  😀 "\n')
    assert texts(rows(path)) == [" 好，ＯＫ\u200b  😀 "]


@pytest.mark.parametrize("text", ["", " ", "\u3000", "\u200b"])
def test_a_blank_text_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "a.csv", f"text,label\n{text},0\n好,0\n")
    assert everything(path)[0] == Refusal(2, "the text is blank")
    assert texts(everything(path)) == ["好"]


def test_texts_that_no_database_takes_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "好\\u0000"}\n{"text": "好\\ud83d"}\n')
    assert [("NUL" in row.reason, "surrogate" in row.reason) for row in refusals(path)] == [
        (True, False),
        (False, True),
    ]
    assert "NUL" in refusals(written(tmp_path / "a.tsv", "text\n好\0\n"))[0].reason


def test_a_blank_id_is_refused_where_an_id_column_is_named(tmp_path: Path) -> None:
    found = everything(written(tmp_path / "a.csv", "编号,text\n,好\n 8 ,好\n"), Columns(id="编号"))
    assert [row.line for row in found if isinstance(row, Refusal)] == [2]
    assert [row.id for row in found if isinstance(row, Row)] == ["8"]


def test_a_blank_product_is_none_and_blanks_around_one_are_dropped(tmp_path: Path) -> None:
    found = rows(written(tmp_path / "a.csv", "text,product\n好,\n好, \n好, 书 \n"))
    assert [row.product for row in found] == [None, None, "书"]


def test_of_what_no_database_takes_a_product_is_left_empty_and_an_id_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "好", "product": "书\\u0000", "编号": 1}\n')
    [row] = rows(path)
    assert (row.product, row.left_empty[0][0]) == (None, "product")
    assert row.left_empty[0][1].startswith("the product cannot be stored")
    assert refusals(path, Columns(product="编号", id="product"))[0].reason.startswith("the id cannot be stored")


@pytest.mark.parametrize(
    "spelling",
    [
        "2024-05-01 18:30:00",
        "2024-05-01T18:30",
        "2024-05-01T10:30:00Z",
        "2024-05-01 12:30:00+02:00",
        "20240501T183000",
        "2024/05/01 18:30:00",
        "2024/5/1 18:30",
        "2024-5-1 18:30:00",
        "2024/05/01 18:30:00+08:00",
        "1714559400",
        "1714559400.0",
        "1714559400000",
        " 1714559400 ",
        "1.7145594E+12",
        "20240501183000",
        "2024年5月1日 18:30",
        "2024年05月01日18时30分",
        "２０２４年５月１日　下午６点３０分",
        "2024.5.1 18:30:00",
        "2024-05-01 下午 6:30",
        "2024/5/1 6:30 PM",
        "01 May 2024 10:30:00 GMT",
        "Wed May 01 10:30:00 +0000 2024",
        "2024-05-01 18:30:00.000000123",
        "45413.7708333333",
    ],
)
def test_a_timestamp_is_read_in_every_usual_spelling(tmp_path: Path, spelling: str) -> None:
    path = written(tmp_path / "a.csv", f"text,created_at\n好,{spelling}\n")
    assert [row.created_at for row in rows(path)] == [EVENING]


@pytest.mark.parametrize(
    "spelling", ["2024-05-01", "2024.5.1", "2024年5月1日", "1 May 2024", "45413", "2024-04-30 24:00:00"]
)
def test_a_day_is_its_midnight_in_the_time_zone_given(tmp_path: Path, spelling: str) -> None:
    path = written(tmp_path / "a.csv", f"text,created_at\n好,{spelling}\n")
    for zone, midnight in (
        (SHANGHAI, datetime(2024, 4, 30, 16, tzinfo=UTC)),
        (ZoneInfo("UTC"), datetime(2024, 5, 1, tzinfo=UTC)),
    ):
        [row] = read(path, Columns(), timezone=zone)
        assert isinstance(row, Row)
        assert row.created_at == midnight
        assert row.created_at is not None
        assert row.created_at.tzinfo is UTC


@pytest.mark.parametrize(
    "spelling",
    [
        *("昨天", "3天前", "05/01/2024", "2024-13-01", "2024-02-30", "20240501123", "202405011830", "1e99", "infinity"),
        *("0001-01-01", "1969-12-31", "1970-01-01", "9999-12-31", "12000-01-01", "0044-03-15 BC"),
    ],
)
def test_a_date_that_cannot_be_read_is_left_empty_and_not_guessed(tmp_path: Path, spelling: str) -> None:
    [row] = rows(written(tmp_path / "a.csv", f"text,created_at\n好,{spelling}\n"))
    assert (row.text, row.created_at) == ("好", None)
    [(field, reason)] = row.left_empty
    assert field == "created_at"
    assert reason.startswith(f"created_at '{spelling}' is no date")


@pytest.mark.parametrize("spelling", ["", " ", "NaT", "nan", "NULL", "N/A", "-", "无", "0000-00-00 00:00:00"])
def test_a_missing_date_is_none(tmp_path: Path, spelling: str) -> None:
    [row] = rows(written(tmp_path / "a.csv", f"text,date\n好,{spelling}\n"))
    assert (row.created_at, row.left_empty) == (None, ())


# JSON lines


def test_json_lines_that_are_no_objects_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "好"}\n["好"]\n{"text": "好"\n\n"好"\n{}\n' + "[" * 100_000 + "\n")
    assert [(row.line, row.reason[:40]) for row in refusals(path)] == [
        (2, "expected a JSON object, found '[\"好\"]'"),
        (3, "expected a JSON object, found broken JSO"),
        (5, "expected a JSON object, found '\"好\"'"),
        (6, "the text is blank"),
        (7, "expected a JSON object, found broken JSO"),
    ]


def test_a_key_that_first_comes_late_is_not_lost(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "好"}\n{"text": "差", "label": 0, "编号": 7}\n')
    assert [row.label for row in rows(path)] == [None, 0]
    found = everything(path, Columns(id="编号"))
    assert isinstance(found[0], Refusal)
    assert isinstance(found[1], Row)
    assert found[1].id == "7"


def test_a_second_text_key_that_comes_late_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="--text-column"):
        everything(written(tmp_path / "a.jsonl", '{"text": "好"}\n{"content": "差"}\n'))


def test_json_values_keep_their_meaning(tmp_path: Path) -> None:
    values = [
        {"text": 666, "label": True, "product": 12, "created_at": 1714559400},
        {"text": "好", "label": "正面", "product": None, "created_at": 1714559400000},
        {"text": "好", "label": None, "created_at": None},
        {"text": ["好"]},
        {"text": "好", "product": {"name": "书"}},
    ]
    found = everything(written(tmp_path / "a.jsonl", "\n".join(map(json.dumps, values))))
    assert found[:3] == [
        Row(1, 1, None, "666", 1, "12", EVENING),
        Row(2, 2, None, "好", 1, None, EVENING),
        Row(3, 3, None, "好", None, None, None),
    ]
    assert found[3:] == [
        Refusal(4, "the text is not text: found list \"['好']\""),
        Row(
            *(5, 5, None, "好", None, None, None),
            left_empty=(("product", "the product is not text: found dict \"{'name': '书'}\""),),
        ),
    ]


# Parquet and datasets


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([1, 0, None], pa.int8()),
        pa.array([1.0, 0.0, float("nan")]),
        pa.array([True, False, None]),
        pa.array(["正面", "差评", ""]),
        pa.array(["1", "0", None]).dictionary_encode(),
        pa.array([b"1", b"0", None]),
    ],
    ids=lambda labels: str(labels.type)[:12],
)
def test_labels_of_any_parquet_type_are_read(tmp_path: Path, labels: pa.Array) -> None:
    path = parquet(tmp_path / "a.parquet", text=["好", "差", "行"], label=labels)
    assert [row.label for row in rows(path)] == [1, 0, None]


def test_a_parquet_column_of_nulls_is_as_good_as_none(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["好"], label=pa.nulls(1), product=pa.nulls(1), date=pa.nulls(1))
    assert rows(path) == [Row(1, 1, None, "好", None, None, None)]


@pytest.mark.parametrize(
    "timestamps",
    [
        pa.array([1714588200 * 10**3], pa.timestamp("ms")),
        pa.array([1714588200 * 10**9 + 1], pa.timestamp("ns")),
        pa.array([1714559400], pa.timestamp("s", "America/New_York")),
        pa.array([1714559400 * 10**9], pa.timestamp("ns", "UTC")),
        pa.array([1714559400]),
        pa.array([1714559400000.0]),
        pa.array(["2024-05-01 18:30:00"]),
    ],
    ids=lambda timestamps: str(timestamps.type),
)
def test_timestamps_of_any_parquet_type_are_read(tmp_path: Path, timestamps: pa.Array) -> None:
    path = parquet(tmp_path / "a.parquet", text=["好"], created_at=timestamps)
    assert [row.created_at for row in rows(path)] == [EVENING]


def test_a_parquet_date_is_a_midnight(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["好"], date=pa.array([date(2024, 5, 1)]))
    assert [row.created_at for row in rows(path)] == [datetime(2024, 4, 30, 16, tzinfo=UTC)]


def test_one_unreadable_parquet_value_costs_one_row_or_its_date(tmp_path: Path) -> None:
    far = pa.array([0, 10**18, 0], pa.timestamp("us"))
    found = rows(parquet(tmp_path / "a.parquet", text=["好", "差", "行"], created_at=far))
    assert texts(found) == ["好", "差", "行"]
    assert [row.created_at for row in found] == [None, None, None]
    half = everything(parquet(tmp_path / "b.parquet", text=pa.array(["好".encode(), b"\xff", "行".encode()])))
    assert texts(half) == ["好", "行"]
    assert [row.line for row in half if isinstance(row, Refusal)] == [2]


def test_parquet_ids_that_pandas_made_floats_are_whole_numbers_again(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["好", "差"], 编号=[1001.0, None])
    found = everything(path, Columns(id="编号"))
    assert [row.id for row in found if isinstance(row, Row)] == ["1001"]
    assert [row.line for row in found if isinstance(row, Refusal)] == [2]


def test_a_parquet_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="is not a Parquet file"):
        rows(written(tmp_path / "a.parquet", "text\n好\n"), options=Options(format="parquet"))
    with pytest.raises(InputFileError, match="is not a Parquet file, or is damaged"):
        rows(written(tmp_path / "b.parquet", "PAR1 and no more"))


def test_parquet_rows_are_numbered_across_batches(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=[f"第{i}条" for i in range(1, 3001)])
    assert all(row.number == row.line == i and row.text == f"第{i}条" for i, row in enumerate(rows(path), start=1))


def test_the_shards_of_a_saved_dataset_are_read_in_order(tmp_path: Path) -> None:
    shards = [pa.table({"text": ["一", "二"]}), pa.table({"text": ["三"]})]
    assert [(row.number, row.text) for row in rows(saved_dataset(tmp_path / "saved", shards))] == [
        (1, "一"),
        (2, "二"),
        (3, "三"),
    ]


def test_what_datasets_itself_saves_is_read(tmp_path: Path) -> None:
    save = """
import sys, datasets
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
features = Features({"text": Value("string"), "label": ClassLabel(names=["negative", "positive"])})
whole = Dataset.from_dict({"text": ["一", "二", "三", "四"], "label": [1, 0, None, 1]}, features=features)
whole.save_to_disk(sys.argv[1] + "/whole", num_shards=2)
whole.select([3, 1]).save_to_disk(sys.argv[1] + "/chosen")
DatasetDict(train=whole, test=whole).save_to_disk(sys.argv[1] + "/splits")
whole.to_parquet(sys.argv[1] + "/whole.parquet")
"""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, "-c", save, str(tmp_path)], check=True, capture_output=True, env=environment)
    whole = [("一", 1), ("二", 0), ("三", None), ("四", 1)]
    assert [(row.text, row.label) for row in rows(tmp_path / "whole")] == whole
    assert [(row.text, row.label) for row in rows(tmp_path / "whole.parquet")] == whole
    assert [(row.text, row.label) for row in rows(tmp_path / "chosen")] == [("四", 1), ("二", 0)]
    with pytest.raises(InputFileError, match=r"holds a DatasetDict: .*test, train"):
        rows(tmp_path / "splits")
    assert len(rows(tmp_path / "splits" / "train")) == 4


def with_class_names(values: list[int | None], names: list[str]) -> pa.Table:
    """A table as ``datasets`` leaves one: numbers for labels, and what they are called in the metadata."""
    noted = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}, "text": {}}}}
    table = pa.table({"text": ["好"] * len(values), "label": values})
    return table.replace_schema_metadata({"huggingface": json.dumps(noted)})


def test_labels_that_a_dataset_numbers_otherwise_are_read_by_their_names(tmp_path: Path) -> None:
    table = with_class_names([0, 1, None, -1], ["pos", "neg"])
    pq.write_table(table, tmp_path / "a.parquet")
    for path in (tmp_path / "a.parquet", saved_dataset(tmp_path / "saved", [table])):
        assert [row.label for row in rows(path)] == [1, 0, None, None]
    pq.write_table(with_class_names([0, 1, 2], ["pos", "neg", "so-so"]), tmp_path / "b.parquet")
    with pytest.raises(InputFileError, match="--label-map 'pos=positive,neg=negative,so-so='"):
        rows(tmp_path / "b.parquet")


def test_a_map_names_what_a_dataset_calls_its_labels(tmp_path: Path) -> None:
    table = with_class_names([0, 1, 2, -1], ["1 star", "3 stars", "5 stars"])
    path = saved_dataset(tmp_path / "saved", [table])
    stars = "1 star=negative,3 stars=,5 stars=positive"
    found = list(read(path, Columns(label="label"), label_map=stars))
    assert [row.label for row in found if isinstance(row, Row)] == [0, None, 1, None]


def test_a_map_reads_stars_of_every_kind_of_file(tmp_path: Path) -> None:
    stars = "1=negative,3=,5=positive,差评=negative"
    pairs = [("好", 5), ("差", 1.0), ("行", "3"), ("糟", "差评"), ("怪", 4)]
    paths = [
        written(tmp_path / "a.csv", "text,stars\n" + "".join(f"{text},{value}\n" for text, value in pairs)),
        written(tmp_path / "a.jsonl", "".join(json.dumps({"text": a, "stars": b}) + "\n" for a, b in pairs)),
        parquet(
            tmp_path / "a.parquet",
            text=[text for text, _ in pairs],
            stars=pa.array(["5", "1", "3", "差评", "4"]).dictionary_encode(),
        ),
    ]
    for path in paths:
        found = [row for row in read(path, Columns(label="stars"), label_map=stars) if isinstance(row, Row)]
        assert [row.label for row in found] == [1, 0, None, 0, None], path
        assert found[-1].left_empty == (("label", "label '4' is not one of 1, 3, 5, 差评, which --label-map names"),)


def test_a_dataset_that_chooses_its_rows_by_an_indices_file_is_an_error(tmp_path: Path) -> None:
    table = pa.table({"text": ["好", "差"]})
    path = saved_dataset(tmp_path / "saved", [table], _indices_data_files=[{"filename": "indices.arrow"}])
    with pytest.raises(InputFileError, match="flatten_indices"):
        rows(path)
    assert len(rows(saved_dataset(tmp_path / "flat", [table], _indices_data_files=None))) == 2


def test_folders_that_are_no_saved_dataset_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"without state\.json"):
        rows(tmp_path)
    path = saved_dataset(tmp_path / "saved", [pa.table({"text": ["好"]})])
    written(path / "data-00000-of-00001.arrow", b"")
    with pytest.raises(InputFileError, match="not an Arrow stream"):
        rows(path)
    (path / "data-00000-of-00001.arrow").unlink()
    with pytest.raises(InputFileError, match="cannot be read"):
        rows(path)
    written(path / "state.json", "[]")
    with pytest.raises(InputFileError, match=r"not as Dataset\.save_to_disk writes it"):
        rows(path)


def test_reading_imports_neither_torch_nor_pandas_nor_datasets(tmp_path: Path) -> None:
    timestamps = pa.array([1714588200 * 10**9 + 1], pa.timestamp("ns"))
    parquet(tmp_path / "a.parquet", text=["好"], created_at=timestamps)
    saved_dataset(tmp_path / "saved", [pa.table({"text": ["好"]})])
    program = """
import sys, pathlib
from senti_tasks.intake import Columns, read
for name in ("a.parquet", "saved"):
    assert len(list(read(pathlib.Path(sys.argv[1]) / name, Columns()))) == 1
print([name for name in ("torch", "pandas", "datasets", "sqlalchemy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# Real files


@pytest.mark.skipif("SENTI_REAL_DATA" not in os.environ, reason="SENTI_REAL_DATA does not point to the real files")
@pytest.mark.parametrize(
    ("name", "positive", "negative"),
    [("chnsenticorp/train.tsv", 4799, 4801), ("chnsenticorp/dev.tsv", 593, 607), ("waimai_10k.csv", 4000, 7987)],
)
def test_real_files_lose_no_row(name: str, positive: int, negative: int) -> None:
    labels = [row.label for row in rows(Path(os.environ["SENTI_REAL_DATA"]) / name)]
    assert (labels.count(1), labels.count(0)) == (positive, negative)
