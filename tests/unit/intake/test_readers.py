"""Encodings, dialects and formats: what is found out from the content of a file, and what is refused as ambiguous."""

import base64
import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from senti_tasks import intake
from senti_tasks.errors import ConfigError, InputFileError
from senti_tasks.intake import Options

FRIENDLY = "不是說不能用，但這個質量真的配不上這個價格，我們不會再買了"
XLS = (  # two columns and two rows, as xlwt writes them
    "c-rk)O=uHA6#izDZGK48O-+SXD4}4hu@~{;rCk+jPnPOMD@sl59!f(hizo_ewFZPD2%cJcDfHr{>c#(qf(H?yq6a|`5<Lonpx~j+"
    "`sQVprkX<owy4av%$v9GXXa(+&D+erUQ86{?zWZi3wjYi*^8i|N+zg9{2L3T_dLn^eVCf3@lPQVriE-U@wo9-NUot=?-C5$2|gnV"
    "e57^^r!X*{cTyXOeH=qZ$QXKv3e1uuj#iGUndwQUo0#5a%O_0tu;e<^9<nWpqgb>D(z{g_A2B*u7l$18KKs09$xgK3h0NkhH$=tO"
    "#9ntallwar?ZFu4LF?A<<Q+GYD<Vk?IFIjM3i#&l)Tb#e-&nZ-$$zYthib@g8bM$J-U&|d0%CX>kQzfgpL#U4gf5Vt8*NM1IWy{<"
    "HGy0v>*UDc+VF)T>e54Bjz?u>=ACS<+R2Ta;W45kXktFWd2UgyUb^-5&4KKoJ<O5`uHKazzg30>50|9}ImcPUk+E%>=?<n>c+@S-"
    "w=qppc2eIt*rJ&IlWcR9wVgE2F2-BCtBT)7eBtxK2knJV_IBbI`b+1N3-9bXbkI9zg#6_-iEhy?W~L<`+I}xoJ@~-1^|#s(HY^pp"
    "r(R@DSVolD1k=i$d^$qeiyHQV?d6CUjVQ;H;HNC@jT-g_+Xs~W%G2*PnsHAuRH;@Fg@%TPhK7cQhK9y^L#Y4s0d>$Y)yW~GzUwSg"
    "E9=iB|1Az-oUYS!FzrL0dKc&F%Ad_Jg+G>9qmTc+P~tGn?qUpCj$^Fu{H2qhsQx``cC`N77OHptay@ab^ZY*nxO>MR"
)


def written(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def cells(path: Path, **options: Any) -> list[Any]:
    return [row for _, row in intake.open(path, Options(**options)).rows()]


def facts(path: Path, **options: Any) -> str:
    return "; ".join(intake.open(path, Options(**options)).facts)


# Encodings


@pytest.mark.parametrize("encoding", ["big5", "cp950", "big5hkscs", "gb18030", "gbk", "utf-8"])
def test_traditional_characters_are_read_in_the_encoding_that_makes_sense(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "a.csv", f"label,review\n1,{FRIENDLY}\n0,這裡的服務很差\n", encoding)
    assert cells(path) == [("1", FRIENDLY), ("0", "這裡的服務很差")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_wide_encodings_are_read_with_and_without_a_mark(tmp_path: Path, encoding: str, mark: str) -> None:
    path = written(tmp_path / "a.csv", f"{mark}label,review\r\n1,第一行很好\r\n0,第二行 very bad\r\n", encoding)
    assert cells(path) == [("1", "第一行很好"), ("0", "第二行 very bad")]
    assert encoding.upper().replace("-LE", "LE").replace("-BE", "BE") in facts(path)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-7"])
def test_rare_marks_are_read(tmp_path: Path, encoding: str) -> None:
    assert cells(written(tmp_path / "a.csv", "\ufefflabel,review\n1,很好\n", encoding)) == [("1", "很好")]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_does_not_stay_in_the_first_name(tmp_path: Path, mark: str) -> None:
    assert intake.open(written(tmp_path / "a.csv", "review\n好\n", mark)).header == ("review",)


def test_rare_characters_that_fit_two_encodings_are_refused_with_both_readings(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "label,review\n1,牛\n", "gb18030")
    with pytest.raises(
        InputFileError, match=r"UTF-8 reads 'ţ'; GB18030 reads '牛'. Pass --encoding UTF-8 or --encoding"
    ):
        intake.open(path)
    assert cells(path, encoding="gb18030") == [("1", "牛")]


def test_accents_in_latin_text_are_utf8(tmp_path: Path) -> None:
    text = "très déçu, café froid et un peu trop cher, à éviter"
    assert cells(written(tmp_path / "a.csv", f"label;review\n1;{text}\n")) == [("1", text)]


@pytest.mark.parametrize(
    ("text", "encoding"), [("très déçu, café froid", "cp1252"), ("とても良かったです", "shift_jis")]
)
def test_another_encoding_is_refused_until_it_is_named(tmp_path: Path, text: str, encoding: str) -> None:
    path = written(tmp_path / "a.csv", f"label;review\n1;{text}\n" * 3, encoding)
    with pytest.raises(InputFileError, match="--encoding"):
        intake.open(path)
    assert cells(path, encoding=encoding)[0] == ("1", text)


def test_an_encoding_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    for name in ("utf-5", "rot13", "base64"):
        with pytest.raises(InputFileError, match=f"no encoding '{name}'"):
            intake.open(written(tmp_path / "a.csv", "review\n好\n"), Options(encoding=name))


def test_many_broken_lines_refuse_the_file_and_a_few_do_not(tmp_path: Path) -> None:
    good, bad = "1,味道很好\n".encode(), b"1,\xe5\xe5\xe5\n"
    found = cells(written(tmp_path / "a.csv", b"label,review\n" + good * 990 + bad * 10))
    assert [isinstance(row, str) for row in found].count(True) == 10
    with pytest.raises(InputFileError, match="--encoding"):
        cells(written(tmp_path / "b.csv", b"label,review\n" + good * 50 + bad * 50))


@pytest.mark.parametrize(
    "raw",
    [
        "这家店“很好”，下次再来".encode().decode("latin-1").encode(),
        "“很好”".encode().replace(b"\x9d", b"").decode("cp1252").encode(),
        "这家店很好，下次再来".encode("gbk").decode("latin-1").encode(),
        "这家店很好，下次再来".encode("gbk").decode("utf-8", "replace").encode(),
        "不錯，我很喜歡這個".encode("big5").decode("gb18030").encode(),
    ],
)
def test_text_that_an_earlier_conversion_damaged_is_refused(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(InputFileError, match=r"an earlier conversion damaged it: .*; export it again"):
        intake.open(written(tmp_path / "a.csv", b"label,review\n1," + raw + b"\n"))


# Dialects


def test_the_first_line_that_excel_understands_names_the_separator(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "sep=;\r\nlabel;review\r\n1;很好\r\n", "gb18030")
    assert intake.open(path).header == ("label", "review")
    assert list(intake.open(path).rows()) == [(3, ("1", "很好"))]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_any_usual_separator_is_found(tmp_path: Path, separator: str) -> None:
    others = ",;|\t".replace(separator, "").replace("\t", "")
    path = written(tmp_path / "a.txt", f"label{separator}review\n1{separator}很好{others}\n0{separator}差\n")
    assert cells(path) == [("1", f"很好{others}"), ("0", "差")]


def test_a_quoted_table_with_tabs_keeps_its_line_breaks(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", 'label\treview\n1\t"他说""很好"""\n0\t"第一行\n第二行"\n')
    assert cells(path) == [("1", '他说"很好"'), ("0", "第一行\n第二行")]


def test_lone_quotes_that_come_late_in_a_table_with_tabs_are_characters(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "label\treview\n" + "1\t味道很好\n" * 20_000 + '0\t"差\n1\t好\n0\t"差\n')
    assert cells(path)[-3:] == [("0", '"差'), ("1", "好"), ("0", '"差')]


@pytest.mark.parametrize(
    "body", ['1\t"很好"\n0\t太差\n', '1\t"很好\n0\t太差"\n'], ids=["a quotation", "two rows or one"]
)
def test_quotes_that_may_be_part_of_the_text_are_refused_with_both_readings(tmp_path: Path, body: str) -> None:
    path = written(tmp_path / "a.tsv", f"label\treview\n{body}")
    with pytest.raises(InputFileError, match=r"two ways. .*--quoting standard gives 2.*--quoting none gives 2 fields"):
        intake.open(path)
    assert len(cells(path, quoting="none")) == 2
    assert len(cells(path, quoting="standard")) == 3 - body.count('"很好\n') - 1


def test_a_backslash_before_a_quote_that_both_quotings_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('label,review\n"差","\\""\n"\n好","好"\n', "utf-8")
    with pytest.raises(InputFileError, match=r"can be read in two ways.*--quoting standard.*--quoting backslash"):
        intake.open(path)


def test_quotes_with_a_backslash_before_them_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", 'label,review\n1,"他说\\"很好\\",我信"\n0,差\n')
    assert cells(path) == [("1", '他说"很好",我信'), ("0", "差")]


def test_two_separators_that_fit_are_refused_with_both_readings(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "a;review,b\n1;很好,x\n0;差,y\n")
    with pytest.raises(
        InputFileError, match=r"--separator comma .*; --separator semicolon|--separator semicolon .*comma"
    ):
        intake.open(path)
    assert cells(path, separator="comma")[0] == ("1;很好", "x")
    assert cells(path, separator=";")[0] == ("1", "很好,x")


def test_a_table_of_one_column_may_have_commas(tmp_path: Path) -> None:
    assert cells(written(tmp_path / "a.txt", "review\n好,很好\n差\n真的,真的,好\n")) == [
        ("好,很好",),
        ("差",),
        ("真的,真的,好",),
    ]


@pytest.mark.parametrize(
    ("first", "is_header"),
    [
        ("1,很好用", False),
        ("2024-05-01,很好用", False),
        ("正面,这家店的服务真的很好，下次还来", False),
        ("编号,正文", True),
        ("0,1", True),
        ("1,review", True),
    ],
)
def test_a_first_row_of_values_is_no_header(tmp_path: Path, first: str, is_header: bool) -> None:
    path = written(tmp_path / "a.csv", f"{first}\n正面,太差了\n负面,满意\n")
    assert (intake.open(path).header == tuple(first.split(","))) == is_header
    assert len(cells(path)) == 3 - is_header
    assert len(cells(path, header=True)) == 2
    assert len(cells(path, header=False)) == 3
    assert intake.open(path, Options(header=False)).header == ("column 1", "column 2")


def test_options_that_there_are_not_are_errors(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "label,review\n1,好\n")
    with pytest.raises(ConfigError, match="one character, or comma, tab"):
        intake.open(path, Options(separator="::"))
    with pytest.raises(ConfigError, match="one of standard, backslash, none"):
        intake.open(path, Options(quoting="some"))
    with pytest.raises(ConfigError, match="--sheet is for spreadsheet, and this file is csv"):
        intake.open(path, Options(sheet="评论"))
    with pytest.raises(ConfigError, match="--encoding is for csv, jsonl, json, and this file is parquet"):
        parquet.write_table(pa.table({"review": ["好"]}), tmp_path / "a")
        intake.open(tmp_path / "a", Options(encoding="gbk"))


# Formats


def test_text_that_looks_like_json_in_another_encoding_is_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "{好,review\n1,很好\n", "utf-16")
    assert facts(path).startswith("format: csv")


def workbook(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_sheet_is_read_with_its_types(tmp_path: Path) -> None:
    day = datetime.fromisoformat("2024-05-01 18:30")
    rows = [("review", "label", "created_at"), ("好", 1, day), (None, None, None), ("差", 0.5, None)]
    path = workbook(tmp_path / "a.csv", 评论=rows, 空=[])
    assert list(intake.open(path).rows()) == [(2, ("好", 1, day)), (4, ("差", 0.5, None))]
    assert facts(path) == "format: spreadsheet; sheet: 评论"


def test_several_sheets_ask_for_the_name_of_one(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", 好评=[("review",), ("好",)], 差评=[("review",), ("差",)])
    with pytest.raises(InputFileError, match="2 sheets with cells: pass --sheet with one of 好评, 差评"):
        intake.open(path)
    assert cells(path, sheet="差评") == [("差",)]
    with pytest.raises(InputFileError, match="no sheet '中评': it has 好评, 差评"):
        intake.open(path, Options(sheet="中评"))


def test_a_sheet_without_a_header_is_recognised(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", 评论=[(1, "很好用"), (0, "差")])
    assert cells(path) == [(1, "很好用"), (0, "差")]


def test_an_old_excel_file_and_an_open_document_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.xls", zlib.decompress(base64.b85decode(XLS)))
    assert cells(path) == [("很好", 1), ("太差", 0)]
    row = "".join(
        "<table:table-row>{}</table:table-row>".format(
            "".join(
                f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
                for cell in row_cells
            )
        )
        for row_cells in (("review", "label"), ("很好", "1"))
    )
    names = 'xmlns:{0}="urn:oasis:names:tc:opendocument:xmlns:{0}:1.0"'
    content = (
        f"<office:document-content {' '.join(names.format(name) for name in ('office', 'table', 'text'))}>"
        f'<office:body><office:spreadsheet><table:table table:name="评论">{row}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    assert cells(tmp_path / "a.ods") == [("很好", "1")]


def test_a_damaged_spreadsheet_is_an_error(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", 评论=[("review",), ("好",)])
    with pytest.raises(InputFileError, match="damaged"):
        intake.open(written(tmp_path / "b.xlsx", path.read_bytes()[:2000]))
    with pytest.raises(InputFileError, match="is no spreadsheet, or is damaged"):
        intake.open(written(tmp_path / "c.xls", b"\xd0\xcf\x11\xe0" + b"x" * 600))


def test_a_json_array_is_read_piece_by_piece(tmp_path: Path) -> None:
    objects = [{"review": "好" * 50_000, "label": 1}, {"review": "差\n", "score": 1.5}, "怪", {"review": "\ud83d"}]
    path = written(tmp_path / "a.txt", json.dumps(objects, indent=1))
    assert intake.open(path).header == ("review", "label", "score")
    assert list(intake.open(path).rows()) == [
        (2, ("好" * 50_000, 1, None)),
        (6, ("差\n", None, 1.5)),
        (10, "expected a JSON object, found '\"怪\"'"),
        (11, ("\ud83d", None, None)),
    ]


@pytest.mark.parametrize("end", ["", "]]", "] x", ", {]", ", "])
def test_a_json_array_that_ends_elsewhere_is_an_error_with_its_line(tmp_path: Path, end: str) -> None:
    with pytest.raises(InputFileError, match="line 2: broken JSON"):
        cells(written(tmp_path / "a.json", f'[{{"review": "好"}}\n{end}'))


def test_keys_may_be_looked_for_in_the_first_rows_only(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"review": "好"}\n{"label": 1}\n')
    assert intake.open(path, Options(rows_for_keys=1)).header == ("review",)


def test_a_feather_file_is_read(tmp_path: Path) -> None:
    feather.write_feather(pa.table({"review": ["好"] * 3000}), str(tmp_path / "a.csv"))
    assert cells(tmp_path / "a.csv") == [("好",)] * 3000


def test_times_as_spark_writes_them_are_utc_in_any_year(tmp_path: Path) -> None:
    years = [datetime.fromisoformat("2024-05-01 10:30"), datetime.fromisoformat("2700-01-01")]
    table = pa.table({"at": pa.array(years, pa.timestamp("us"))})
    parquet.write_table(table, tmp_path / "a", use_deprecated_int96_timestamps=True)
    assert cells(tmp_path / "a") == [(each,) for each in years]
    spark = table.replace_schema_metadata({"org.apache.spark.version": "3.5.0"})
    parquet.write_table(spark, tmp_path / "b", use_deprecated_int96_timestamps=True)
    assert [row[0].isoformat() for row in cells(tmp_path / "b")] == [
        "2024-05-01T10:30:00+00:00",
        "2700-01-01T00:00:00+00:00",
    ]


def test_a_time_that_python_cannot_represent_does_not_cost_the_row(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"review": ["好"], "at": pa.array([10**18], pa.timestamp("us"))}), tmp_path / "a")
    assert cells(tmp_path / "a") == [("好", str(10**18))]


def archive_of(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_an_archive_of_one_file_is_unpacked_whatever_a_mac_adds(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.csv", **{"评论.csv": "review\n好\n", "__MACOSX/评论.csv": "x"})
    assert cells(path) == [("好",)]
    with pytest.raises(InputFileError, match="holds a, b: expected a zip archive of one file"):
        intake.open(archive_of(tmp_path / "b.zip", a="review\n好\n", b="review\n好\n"))
    with pytest.raises(InputFileError, match="holds no file"):
        intake.open(archive_of(tmp_path / "c.zip"))


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_a_compressed_file_that_was_cut_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    raw = ("label,review\n" + "".join(f"1,味道很好{i * 7919}\n" for i in range(50_000))).encode()
    pack: Any = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}.get(name)
    packed = pack(raw) if pack else pa.compress(raw, codec="zstd", asbytes=True)
    path = written(tmp_path / "a", packed[: len(packed) // 2])
    with pytest.raises(InputFileError, match="was not copied whole"):
        cells(path)


def test_what_is_not_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    contents: dict[str, bytes] = {
        "SQLite database: import a query": b"SQLite format 3\x00",
        "is HTML or XML, whatever its name": b"\xef\xbb\xbf\n<HTML><table>",
        "a PDF file": b"%PDF-1.7",
        "pickle, which could run code": b"\x80\x05",
        "one JSON object over several lines": b'{\n "review": 1\n}',
        "tar archive": tar(),
    }
    for message, content in contents.items():
        with pytest.raises(InputFileError, match=message):
            intake.open(written(tmp_path / "a.csv", content))


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("评论.csv"))
    return file.getvalue()


def test_patterns_name_files_each_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c[1].csv", "d.txt"):
        (tmp_path / name).write_text("review\n好\n", "utf-8")
    found = intake.find([f"{tmp_path}/b.csv", f"{tmp_path}/*.csv", f"{tmp_path}/c[1].csv"])
    assert [path.name for path in found] == ["b.csv", "a.csv", "c[1].csv"]
    with pytest.raises(InputFileError, match="no file matches"):
        intake.find([f"{tmp_path}/*.parquet"])
