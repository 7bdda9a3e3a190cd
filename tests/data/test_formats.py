import gzip
import io
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats import read_rows
from data.tables import MAX_BYTES
from data.unpacking import BadFile, BadRow

GOOD = b'{"question": "who", "answers": ["me"]}'
COLUMNS = ("id", "question", "answers")


def outcomes(content: bytes, file_format: str = "jsonl") -> list[tuple[int, str]]:
    """(line, code) of every row, "ok" for a record."""
    rows = read_rows(content, file_format, COLUMNS)
    return [(line, row.code if isinstance(row, BadRow) else "ok") for line, row in rows]


def parquet(**columns: pa.Array) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, write_page_checksum=True)
    return sink.getvalue()


@pytest.mark.parametrize(
    "line, code",
    [
        (b'{"question": "who", "answers": ["me"]', "BAD_JSON"),
        (b'{"question": "a", "question": "b", "answers": ["me"]}', "BAD_JSON"),
        (b'{"question": "a", "answers": ["me"], "meta": {"x": 1, "x": 2}}', "BAD_JSON"),
        (b'{"question": "a", "answers": ["me"], "score": NaN}', "BAD_JSON"),
        (b'{"question": "a", "answers": ["me"], "score": -Infinity}', "BAD_JSON"),
        (GOOD + b" trailing", "BAD_JSON"),
        (GOOD + GOOD, "BAD_JSON"),
        (b'["who", "me"]', "BAD_JSON"),
        (b"12" * 5000, "BAD_JSON"),
        (b"[" * 200_000, "BAD_JSON"),
        (b'{"question": \x00"who"}', "BAD_JSON"),
        (b'{"question": "caf\xe9", "answers": ["me"]}', "BAD_ENCODING"),
        (b'{"question": "\xed\xa0\x80", "answers": ["me"]}', "BAD_ENCODING"),
        (b"\xef\xbb\xbf" + GOOD, "BAD_ENCODING"),
    ],
)
def test_a_bad_json_line_is_named_and_its_neighbors_are_read(line, code):
    assert outcomes(b"\n".join([GOOD, line, GOOD, b""])) == [(1, "ok"), (2, code), (3, "ok")]


PACKED = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "gzip in two members": lambda content: gzip.compress(content[:20]) + gzip.compress(content[20:]),
    "zstd": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    "byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "utf-16": lambda content: content.decode().encode("utf-16"),
    "utf-32": lambda content: content.decode().encode("utf-32"),
}
RECORD = {"question": "who, señor?", "answers": ["me"]}
WRITTEN = {
    "lines": json.dumps(RECORD) + "\n",
    "array": json.dumps([RECORD]),
    "indented array": json.dumps([RECORD], indent=2, ensure_ascii=False),
    "indented objects": json.dumps(RECORD, indent=2),
    "an object of rows": json.dumps({"version": "1.1", "data": [RECORD]}),
    "csv": 'question,answers\n"who, señor?","[""me""]"\n',
    "csv with semicolons": 'question;answers\r\n"who, señor?";"[""me""]"\r\n',
    "tsv": 'id\tquestion\tanswers\n\twho, señor?\t"[""me""]"\n',
    "dpr": "who, señor?\t['me']\n",
}


@pytest.mark.parametrize("named", ["jsonl", "csv", "tsv", None])
@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("written", WRITTEN)
def test_a_file_is_read_for_what_it_is_whatever_its_name(written, packed, named):
    content = PACKED[packed](WRITTEN[written].encode())
    [(line, record)] = read_rows(content, named, COLUMNS)
    assert (line, record["question"]) == (2 if written[:3] in ("csv", "tsv") else 1, "who, señor?")
    assert record["answers"] in (["me"], '["me"]')


@pytest.mark.parametrize("pack", [gzip.compress, PACKED["zstd"]])
def test_packed_parquet_is_read_and_a_truncated_archive_is_refused_whole(pack):
    packed = pack(parquet(question=pa.array(["who"] * 500)))
    assert len(list(read_rows(packed, None, COLUMNS))) == 500
    [(_, fault)] = read_rows(packed[:-9], "parquet", COLUMNS)
    assert isinstance(fault, BadFile)


def test_a_file_cut_off_in_its_last_line_says_so():
    *_, (line, fault) = read_rows(GOOD + b"\n" + GOOD[:-5], "jsonl", COLUMNS)
    assert line == 2 and fault.code == "BAD_JSON" and "cut off" in fault.detail
    assert outcomes(GOOD + b"\n" + GOOD) == [(1, "ok"), (2, "ok")], "a last line without its end may be whole"


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(GOOD)[:-6],
        b"\xff\xfe\x00",
        b"PK\x03\x04abc\n" * 9,
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
    ids=["gzip", "utf-16", "zip", "pointer"],
)
@pytest.mark.parametrize("file_format", ["jsonl", "tsv"])
def test_a_file_that_is_not_text_is_one_bad_row(content, file_format):
    assert outcomes(content, file_format) == [(1, "BAD_ENCODING")]


def test_only_line_feeds_end_lines():
    separators = "one\u2028two\x85three\x0bfour"
    line = json.dumps({"question": separators, "answers": ["me"]}, ensure_ascii=False).encode()
    [(_, record), _] = read_rows(line + b"\r\n\n  \n" + GOOD, "jsonl", COLUMNS)
    assert record["question"] == separators
    assert outcomes(line + b"\r\n\n  \n" + GOOD) == [(1, "ok"), (4, "ok")], "blank lines hold no row but are counted"


@pytest.mark.parametrize(
    "line, answers",
    [
        (b"who?\t['me', \"it's\"]", ["me", "it's"]),
        (b'who?\t"[\'it\'\'s\', ""it\'s""]"\r', ["its", "it's"]),
        ("who?\t['Röntgen']".encode(), ["Röntgen"]),
    ],
)
def test_tsv_fields_may_stand_in_csv_quotes(line, answers):
    [(_, record)] = read_rows(line + b"\n", "tsv", COLUMNS)
    assert record == {"question": "who?", "answers": answers}


def test_a_quoted_tsv_question_loses_one_layer_of_quotes():
    line = b'"Who said ""stay""?"\t[\'me\']\n"Imagine" is by whom?\t[\'me\']\n'
    assert [record["question"] for _, record in read_rows(line, "tsv", COLUMNS)] == [
        'Who said "stay"?',
        '"Imagine" is by whom?',
    ]


@pytest.mark.parametrize(
    "line, code",
    [
        (b"who?", "BAD_TSV"),
        (b"who?\t['me']\t7", "BAD_TSV"),
        (b"who?\tme", "BAD_TSV"),
        (b"who?\t__import__('os').getcwd()", "BAD_TSV"),
        (b"who?\t['me'", "BAD_TSV"),
        (b"who?\t" + b"[" * 100_000, "BAD_TSV"),
        (b"who?\t" + b"-" * 100_000 + b"1", "BAD_TSV"),
        (b"who?\t{[]: 1}", "BAD_TSV"),
        (b"who?\t['\xff']", "BAD_ENCODING"),
        (b"who?\t['" + b"x" * MAX_BYTES + b"']", "TOO_LONG"),
    ],
)
def test_a_bad_tsv_line_is_named_and_its_neighbors_are_read(line, code):
    good = b"who?\t['me']"
    assert outcomes(b"\n".join([good, line, good]), "tsv") == [(1, "ok"), (2, code), (3, "ok")]


@pytest.mark.parametrize(
    "line, code",
    [
        (b"who,me,you", "BAD_CSV"),
        (b"who", "BAD_CSV"),
        (b'"who"ever,me', "BAD_CSV"),
        (b"caf\xe9,me", "BAD_ENCODING"),
        (b"who," + b"x" * (MAX_BYTES + 1), "BAD_CSV"),
    ],
)
def test_a_bad_csv_line_is_named_and_its_neighbors_are_read(line, code):
    good = b'"who\nis it",me'
    found = outcomes(b"\n".join([b"question,answer", good, line, b"", good]), "csv")
    assert found == [(2, "ok"), (4, code), (6, "ok")]


def test_an_open_quote_and_a_header_with_a_name_twice_are_named():
    *_, (line, fault) = read_rows(b'question,answer\nwho,me\nwhat,"you\nwhere,here\n', "csv", COLUMNS)
    assert (line, fault.code) == (3, "BAD_CSV") and "left open" in fault.detail
    [(_, fault)] = read_rows(b"question,question\nwho,me\n", "csv", COLUMNS)
    assert isinstance(fault, BadFile) and "twice" in fault.detail


def test_a_broken_array_is_one_fault_that_says_where():
    [(_, fault)] = read_rows(b"[" + GOOD + b", {]", "jsonl", COLUMNS)
    assert isinstance(fault, BadFile) and "char" in fault.detail
    assert outcomes(b"[" + GOOD + b", 7]") == [(1, "ok"), (2, "BAD_JSON")]


def test_parquet_rows_are_read_by_their_column_names():
    content = parquet(
        question=pa.array(["who", "what"]),
        answer=pa.array([{"aliases": ["me"]}, None]),
        passages=pa.array(["long", "long"]),
    )
    assert list(read_rows(content, "parquet", ("question", "answer"))) == [
        (1, {"question": "who", "answer": {"aliases": ["me"]}}),
        (2, {"question": "what", "answer": None}),
    ]


def test_a_parquet_string_that_is_not_utf8_is_one_bad_row():
    text = pa.array([b"who", b"caf\xe9", b"what"]).view(pa.string())
    assert outcomes(parquet(question=text), "parquet") == [(1, "ok"), (2, "BAD_ENCODING"), (3, "ok")]


def test_a_damaged_parquet_file_never_gives_part_of_its_rows():
    content = parquet(question=pa.array([f"question {i}" for i in range(2000)]))
    for sixteenth in range(16):
        assert outcomes(content[: len(content) * sixteenth // 16], "parquet") == [(1, "BAD_ENCODING")]
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 4
    assert outcomes(bytes(flipped), "parquet") == [(1, "BAD_ENCODING")]


@settings(deadline=None)  # a shared machine may stall for longer than any example takes
@given(
    st.binary(max_size=300) | st.text(max_size=200).map(str.encode),
    st.sampled_from(["jsonl", "csv", "tsv", "parquet", None]),
)
def test_any_bytes_are_read_or_named(content, file_format):
    for line, row in read_rows(content, file_format, COLUMNS):
        assert line >= 1 and isinstance(row, dict | BadRow)


@pytest.mark.parametrize(
    "content, file_format",
    [
        (json.dumps({"question": "x" * 10_000_000, "answers": ["me"]}).encode(), "jsonl"),
        (json.dumps({"question": "x", "answers": ["me"] * 10_000}).encode(), "jsonl"),
        (b"x" * 10_000_000 + b"\t['me']", "tsv"),
        (b"x\t" + repr(["alias"] * 10_000).encode(), "tsv"),
    ],
)
def test_huge_rows_are_read_in_linear_time(content, file_format):
    begin = time.process_time()
    assert len(outcomes(content, file_format)) == 1
    assert time.process_time() - begin < 1
