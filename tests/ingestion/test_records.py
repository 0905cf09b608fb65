"""Text: the header by name, the rows with their physical lines, and quotes that cannot be trusted."""

import codecs
import csv
import gzip
import io
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.datasets import COLUMNS, Dataset
from ingestion.reader import fetch
from ingestion.records import BLOCK, RECORD_BYTES, RECORD_LINES, records
from ingestion.refusals import CODES, FileRefused, code_of

HEADER = "name,state,lga,lat,lon,type\n"
WIDTH = 6
ROW = "Aminu Clinic,KANO,Dala,,,Clinic"
CELLS = ROW.split(",")
FULL = "v,w,x,y,z"  # after one more cell, a whole line


class Announced:
    size = md5 = None


def fetched(text, *, is_gzip=False):
    delivered = text if isinstance(text, bytes) else text.encode()
    body = io.BytesIO(gzip.compress(delivered, 1) if is_gzip else delivered)
    return fetch(body, Announced, is_gzip=is_gzip, max_bytes=1 << 30)


def read(text, *, size=BLOCK, is_gzip=False, dataset=Dataset.FACILITIES):
    """(line, cells) of every row, the lines of suspects, the number of blank lines."""
    with fetched(text, is_gzip=is_gzip) as file:
        found = records(file, dataset)
        rows, suspects = [], []
        for chunk in found.chunks(size):
            assert chunk.rows
            rows += zip(chunk.lines, chunk.rows, strict=True)
            suspects += [chunk.lines[index] for index in chunk.suspects]
        return rows, suspects, found.blank


def lines(text, **options):
    return [line for line, _ in read(text, **options)[0]]


def refusal(text, **options):
    with pytest.raises(FileRefused) as refused:
        read(text, **options)
    return refused.value.reason


# --- The header


@pytest.mark.parametrize(
    "header",
    [
        "name,state,lga,lat,lon,type",
        "type,lon,lat,lga,state,name",
        " Name ,STATE,Lga,\tlat,lon\xa0,type",
        '"name","state","lga","lat","lon","type"',
        "\ufeffname,state,lga,lat,lon,type",
        "\ufeff\ufeffname,sta\u200bte,lga\0,lat,lon,type",
        '\ufeff"name",state,lga,lat,lon,type',
        '"name\n",state,lga,lat,lon,type',
    ],
)
def test_header_is_matched_by_name_in_any_order_case_and_spacing(header):
    with fetched(header + "\n" + ROW) as file:
        found = records(file, Dataset.FACILITIES)
        assert sorted(found.header) == ["lat", "lga", "lon", "name", "state", "type"]
        assert found.unknown == ()
        assert [row for chunk in found.chunks() for row in chunk.rows] == [CELLS]


def test_header_names_stand_in_the_order_of_the_file_with_unknown_ones_cleaned():
    with fetched("NIN,type,lon,lat,lga,state, My  Column\u202e ,name,,\n") as file:
        found = records(file, Dataset.FACILITIES)
        assert found.header[:-2] == ("nin", "type", "lon", "lat", "lga", "state", "my column", "name")
        assert found.unknown == ("nin", "my column", "(column 9)", "(column 10)")


def test_long_unknown_name_is_cut():
    with fetched("x" * 5000 + "," + HEADER) as file:
        assert records(file, Dataset.FACILITIES).unknown == ("x" * 100,)


def test_optional_columns_are_known_and_may_be_absent():
    with fetched(HEADER.replace("type", "type,hfr_code")) as file:
        assert records(file, Dataset.FACILITIES).unknown == ()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("," * 99 + HEADER, "HEADER_TOO_WIDE"),
        ("x," * 100 + "y", "HEADER_TOO_WIDE"),
        ("name;state;lga;lat;lon;type", "HEADER_MISSING"),
        ("name\tstate\tlga\tlat\tlon\ttype", "HEADER_MISSING"),
        (ROW, "HEADER_MISSING"),
        ("# a comment\n" + HEADER, "HEADER_MISSING"),
        ("  \n\t\n", "HEADER_MISSING"),
        ('{"name": "x", "state": "y"}', "HEADER_MISSING"),
        ("\0" * 1000, "HEADER_MISSING"),
        ("state,name,state,lga,lat,lon,type", "HEADER_DUPLICATE_COLUMN:state"),
        ("name,State ,lga,lat,lon,STATE", "HEADER_DUPLICATE_COLUMN:state"),
        ("x,name,state,lga,lat,lon,type,X", "HEADER_DUPLICATE_COLUMN:x"),
        ("name,state,08031597531,lga,08031597531", "HEADER_DUPLICATE_COLUMN:(column 5)"),
        ("name,state", "HEADER_MISSING_COLUMN:lga"),
        ("type,lga", "HEADER_MISSING_COLUMN:name"),
        ("name,state,lga,lat,lon,typ", "HEADER_MISSING_COLUMN:type"),
        ('name,state,lga,lat,lon,"typ', "HEADER_MISSING_COLUMN:type"),
        ('name,state,lga,lat,lon,"type', "QUOTE_UNBALANCED:1"),
        ('\nname,state,lga,lat,lon,"type\n' + "a\n" * 300, "HEADER_MISSING_COLUMN:type"),
    ],
)
def test_header_that_breaks_the_contract_is_refused(header, reason):
    assert refusal(header) == reason


@pytest.mark.parametrize("dataset", Dataset)
def test_first_missing_column_is_named_in_the_order_of_the_table(dataset):
    required = COLUMNS[dataset].required
    assert refusal(",".join(reversed(required[2:])), dataset=dataset) == f"HEADER_MISSING_COLUMN:{required[0]}"
    assert refusal(",".join(required[:-1]), dataset=dataset) == f"HEADER_MISSING_COLUMN:{required[-1]}"


def test_hundred_columns_are_not_too_many():
    assert read(HEADER.strip() + "," * 94 + "\n") == ([], [], 0)


def test_refusal_of_the_bytes_is_raised_where_records_are_asked_for():
    assert refusal(b"\xff" + HEADER.encode()) == "ENCODING_INVALID:0"


def test_header_without_rows_has_none():
    assert read(HEADER) == ([], [], 0)


# --- Rows and their lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("is_gzip", [False, True])
def test_rows_are_numbered_from_the_header_whatever_ends_a_line(end, mark, is_gzip):
    text = mark + HEADER.replace("\n", end) + (ROW + end) * 3
    assert read(text, is_gzip=is_gzip) == ([(2, CELLS), (3, CELLS), (4, CELLS)], [], 0)


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        ("a,b\r\nc,d\re,f\ng,h", [2, 3, 4, 5]),
        ("a,b\r\r\nc,d", [2, 4]),
        ("a,b\n\rc,d", [2, 4]),
        ('"a\nb",c\nd,e', [2, 4]),
        ('"a\r\nb\rc\n",d\ne,f', [2, 6]),
        ('"a\n\n\nb",c\n\n"d",e\n\nf,g', [2, 7, 9]),
        ('a,b\n"c",d\n"e\r",f\ng,h', [2, 3, 4, 6]),
        ('a,"b\n', None),
        ("a,b\x0bc\x0c,d\x85e\u2028f\n\x1cg,h", [2, 3]),
    ],
)
def test_line_is_where_the_record_starts(below, expected):
    if expected is None:
        assert refusal(HEADER + below) == "QUOTE_UNBALANCED:2"
    else:
        assert lines(HEADER + below) == expected


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('Bola "BJ" Ade,x', ['Bola "BJ" Ade', "x"]),
        ('a"b",c', ['a"b"', "c"]),
        (' "a",b', [' "a"', "b"]),
        ('"a ""b"" c",d', ['a "b" c', "d"]),
        ('"",""', ["", ""]),
        ('"a,b",c', ["a,b", "c"]),
        (" a , b ", [" a ", " b "]),
        ("a\\,b,c", ["a\\", "b", "c"]),
        ("5'6\",x", ["5'6\"", "x"]),
        ("a\0b,c", ["a\0b", "c"]),
        (",,,,,", [""] * 6),
        ("one", ["one"]),
        (",".join("abcdefghij"), list("abcdefghij")),
    ],
)
def test_cells_come_as_delivered_in_any_number(line, cells):
    assert read(HEADER + line)[0] == [(2, cells)]


def test_blank_lines_are_skipped_and_counted_and_commas_alone_are_a_row():
    text = f"\n \n{HEADER}\n{ROW}\n\t \n,,,,,\n\n"
    assert read(text) == ([(5, CELLS), (7, [""] * 6)], [], 5)


def test_blank_is_counted_anew_when_read_again():
    with fetched(f"{HEADER}\n\n{ROW}\n") as file:
        found = records(file, Dataset.FACILITIES)
        assert [[chunk.lines[0] for chunk in found.chunks()] for _ in range(2)] == [[4], [4]]
        assert found.blank == 2


def test_pick_gives_the_raw_cells_of_the_lines_asked_for():
    text = HEADER + "".join(f'"n\n{index}",{index}\n\n' for index in range(20000))
    with fetched(text) as file:
        picked = list(records(file, Dataset.FACILITIES).pick([2, 3, 5, 30002, 59999, 70000]))
    assert picked == [
        (2, ["n\n0", "0"]),
        (5, ["n\n1", "1"]),
        (30002, ["n\n10000", "10000"]),
        (59999, ["n\n19999", "19999"]),
    ]


def test_pick_of_nothing_is_nothing():
    with fetched(HEADER + ROW) as file:
        assert list(records(file, Dataset.FACILITIES).pick([])) == []


# --- Quotes that cannot be trusted


def long_record(size):
    """A record of exactly so many bytes, its line end apart, and of fewer characters."""
    tail = '",b,c,d,'
    filling = size - 1 - len(tail)
    return '"' + "ọ" * (filling // 3) + "x" * (filling % 3) + tail


UNBALANCED = {
    "end inside quotes": (f'{ROW}\n"a,b\n{ROW}\n', 3),
    "quote as the last byte": (f'{ROW}\n{ROW}\na,b,"', 4),
    "a blank line before": (f'"a\nb",c\n\n"d\n{ROW}\n' + "x\n" * 500, 5),
    "too many lines": ('"' + "a\n" * RECORD_LINES + f'",b\n{ROW}', 2),
    "too many bytes": (f"{ROW}\n" + "a" * (RECORD_BYTES + 1) + "\n", 3),
    "too many bytes and no line end": (f"{ROW}\n" + "a" * (RECORD_BYTES + 1), 3),
    "too many bytes, fewer characters": (f"{ROW}\n" + long_record(RECORD_BYTES + 1) + "\n", 3),
    "many cells": (f"{ROW}\n" + ("a" * 5000 + ",") * 300 + "\n", 3),
    "few lines of many bytes": (f'{ROW}\n"a' + "\n".join(["b" * 9000] * 150) + '"\n', 3),
    "a cell without end": (f'{ROW}\n"' + "a" * 3_000_000, 3),
    "two suspects": (f'{ROW}\n"a\n1,{FULL}\nb",c\n{ROW}\n"d\n2,{FULL}\ne",f\n', 3),
    "two suspect cells of one row": (f'{ROW}\n"a\n1,{FULL}\nb",c,"d\n2,{FULL}\ne"\n', 3),
    "a suspect, then no end": (f'{ROW}\n"a\n1,{FULL}\nb",c\n{ROW}\n"d', 7),
}


@pytest.mark.parametrize("kind", UNBALANCED)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_unbalanced_quote_names_the_line_of_its_record(kind, end):
    below, line = UNBALANCED[kind]
    assert refusal((HEADER + below).replace("\n", end)) == f"QUOTE_UNBALANCED:{line}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_record_of_just_the_allowed_length_loads(end):
    text = HEADER + '"' + "a\n" * (RECORD_LINES - 1) + '",b\n' + long_record(RECORD_BYTES) + "\n" + ROW
    assert lines(text.replace("\n", end)) == [2, 2 + RECORD_LINES, 3 + RECORD_LINES]


@pytest.mark.parametrize(
    ("cell", "is_suspect"),
    [
        (f"a\n1,{FULL}\nb", True),
        (f"a\r\n1,{FULL}\r\nb", True),
        (f"a\r1,{FULL}\rb", True),
        (f"a\n\nx\n1,{FULL}\n", True),
        (f"\n1,{FULL}\n", True),
        ('a\n1,"",x,y,z,"Lagos, Ikeja"\nb', False),
        ('a\n1,"",w,x,y,z\nb', True),
        ('a\n"quoted, words",w,x,y,"",z\nb', False),
        (f"a\n1,{FULL}", False),
        (f"1,{FULL}\na", False),
        (f"a\n1,2,{FULL}\nb", False),
        ("a\nb, and so on\nc", False),
    ],
)
def test_cell_that_holds_a_whole_line_of_the_headers_width_is_suspect(cell, is_suspect):
    quoted = '"' + cell.replace('"', '""') + '"'
    rows, suspects, _ = read(f"{HEADER}{ROW}\nx,{quoted},,,,\n{ROW}\n")
    assert (rows[1], suspects) == ((3, ["x", cell, "", "", "", ""]), [3] if is_suspect else [])


def test_line_that_lies_across_two_cells_is_in_neither():
    assert read(f'{HEADER}"a\n1",v,w,x,y,"z\nb"\n')[1] == []


def test_swallowed_lines_are_counted_as_they_stand_in_the_file():
    # The quote opened on line 2 is closed by the first one of line 4; line 3 has an empty quoted cell of its own.
    text = f'{HEADER}"Aminu Clinic,KANO,Dala,,,Clinic\nBola,"",Dala,,,Clinic\n"Chidi",KANO,Dala,,,Clinic\n{ROW}\n'
    rows, suspects, _ = read(text)
    assert [line for line, _ in rows] == [2, 5]
    assert suspects == [2]


def test_header_over_two_lines_is_not_suspect():
    assert read(f'"name\n",state,lga,lat,lon,"a\n1,{FULL}\nb",type\n')[1] == []


@pytest.mark.parametrize("start", ["", '"'])
def test_file_without_a_line_end_is_refused_in_flat_memory(start):
    class Endless:
        def __init__(self):
            self.pieces = iter([(HEADER + start).encode(), *[b"a" * 65536] * 1000])

        def read(self, size):
            return next(self.pieces, b"")

    tracemalloc.start()
    try:
        with (
            fetch(Endless(), Announced, is_gzip=False, max_bytes=1 << 30) as file,
            pytest.raises(FileRefused) as refused,
        ):
            list(records(file, Dataset.FACILITIES).chunks())
        assert refused.value.reason == "QUOTE_UNBALANCED:2"
        assert tracemalloc.get_traced_memory()[1] < 24 * 1024**2
    finally:
        tracemalloc.stop()


# --- Properties


def model(text):
    """Slow and obvious: (line, cells) of every record, and the line of the one whose quote stays open."""
    found, cells, cell, state, line, start = [], [], "", "start", 1, 1
    text = text.removeprefix("\ufeff")
    position = 0
    while position < len(text):
        here = "\r\n" if text.startswith("\r\n", position) else text[position]
        position += len(here)
        is_end = here in ("\r\n", "\r", "\n")
        line += is_end
        if state == "quoted":
            if here != '"':
                cell += here
            elif text.startswith('"', position):
                cell, position = cell + '"', position + 1
            else:
                state = "bare"
        elif is_end:
            found.append((start, [*cells, cell]))
            cells, cell, state, start = [], "", "start", line
        elif here == ",":
            cells, cell, state = [*cells, cell], "", "start"
        elif here == '"' and state == "start":
            state = "quoted"
        else:
            cell, state = cell + here, "bare"
    if state == "quoted":
        return found, start
    if cells or cell or state != "start":
        found.append((start, [*cells, cell]))
    return found, None


def expected(text):
    """What `read` gives by the model: the records that are not blank, below the header."""
    found, open_line = model(text)
    filled = [(line, cells) for line, cells in found if len(cells) > 1 or cells[0].strip()]
    return open_line or (filled[1:], [], len(found) - len(filled))


def outcome(text, **options):
    try:
        return read(text, **options)
    except FileRefused as refused:
        return int(re.fullmatch(r"QUOTE_UNBALANCED:(\d+)", refused.reason)[1])


ENDS = st.sampled_from(["\n", "\r\n", "\r"])
# Cells too short, and a header too wide, for a cell to hold a whole line: nothing is suspect.
WIDE_HEADER = HEADER.replace("\n", "," * 90 + "\n")
CELL = st.text('a",\n\r é\0\u2028', max_size=6)
TEXT = st.text('a",\n\r é', max_size=80)
SIZES = st.sampled_from([1, 2, 3, 5, 8, 40, BLOCK])


@st.composite
def written(draw):
    """Valid CSV with any quoting and any line ends, and its rows with their lines."""
    text, rows, line = draw(st.sampled_from(["", "\ufeff"])) + HEADER, [], 2
    for cells in draw(st.lists(st.lists(CELL, min_size=2, max_size=7), max_size=8)):
        record = ",".join(
            '"' + cell.replace('"', '""') + '"' if set(cell) & set('",\r\n') or draw(st.booleans()) else cell
            for cell in cells
        )
        record += draw(ENDS) + draw(st.sampled_from(["", "\n", " \r\n"]))
        rows.append((line, cells))
        line += len(re.findall(r"\r\n|\r|\n", record))
        text += record
    return text, rows


@given(written(), SIZES, st.booleans())
def test_valid_csv_comes_back_exactly_with_the_lines_where_records_start(csv_and_rows, size, is_gzip):
    text, rows = csv_and_rows
    assert read(text, size=size, is_gzip=is_gzip)[0] == rows


@given(
    st.lists(st.lists(CELL, min_size=2, max_size=7), max_size=8),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    SIZES,
)
def test_what_the_csv_module_writes_comes_back(rows, quoting, size):
    out = io.StringIO(HEADER.replace("\n", "\r\n"), newline="")
    out.seek(0, io.SEEK_END)
    csv.writer(out, quoting=quoting).writerows(rows)
    found, _, _ = read(out.getvalue(), size=size)
    assert [cells for _, cells in found] == rows


@given(TEXT, SIZES, st.booleans())
@settings(max_examples=400)
def test_any_text_is_read_as_the_model_reads_it_in_blocks_of_any_size(below, size, is_gzip):
    text = WIDE_HEADER + below
    assert outcome(text, size=size, is_gzip=is_gzip) == outcome(text) == expected(text)


@given(st.lists(st.sampled_from([f"1,{FULL}", "a", "b,c", '"', '""', ",", "\n", "\r\n", "\r"]), max_size=30), SIZES)
@settings(max_examples=400)
def test_suspects_do_not_depend_on_the_size_of_blocks(parts, size):
    text = HEADER + "".join(parts)
    assert outcome(text, size=size) == outcome(text)


VALID = (
    codecs.BOM_UTF8.decode() + HEADER + f'{ROW}\r\n"Adébáyọ̀ ""A"" Clinic",KANO,"Da\nla",,,Clinic\n\n{ROW}\n'
).encode()
CHANGE = st.tuples(st.sampled_from(["delete", "insert", "flip"]), st.integers(0, 500), st.integers(1, 255))


def changed(content, changes):
    for kind, position, byte in changes:
        position %= len(content) + 1
        head, tail = content[:position], content[position:]
        if kind == "insert":
            content = head + bytes([byte]) + tail
        elif tail:
            content = head + (bytes([tail[0] ^ byte]) if kind == "flip" else b"") + tail[1:]
    return content


@given(st.lists(CHANGE, max_size=6), st.booleans(), st.booleans(), SIZES)
@settings(max_examples=400)
def test_damaged_file_is_refused_or_read_and_never_fails_otherwise(changes, is_gzip, is_damaged_inside, size):
    delivered = gzip.compress(VALID, mtime=0) if is_gzip else VALID
    if is_gzip and is_damaged_inside:
        delivered = gzip.compress(changed(VALID, changes), mtime=0)
    else:
        delivered = changed(delivered, changes)
    with fetch(io.BytesIO(delivered), Announced, is_gzip=is_gzip, max_bytes=1 << 20) as file:
        try:
            numbered = [line for chunk in records(file, Dataset.FACILITIES).chunks(size) for line in chunk.lines]
        except FileRefused as refused:
            numbered = []
            reason = refused.reason
        else:
            reason = None
    assert reason is None or code_of(reason) in CODES
    assert numbered == sorted(set(numbered))
