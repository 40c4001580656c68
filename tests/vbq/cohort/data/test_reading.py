"""What a cohort file may look like, and what is said of one that cannot be read."""

import io

import numpy as np
import pandas as pd
import pytest

from vbq.cohort.data.reading import read_table
from vbq.cohort.data.table import from_frame
from vbq.cohort.errors import UnusableCohort


def numbers(data: bytes, column: str = "b", **options: str) -> list[float]:
    return read_table(data, "file.csv", **options).numbers(column).tolist()


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,2\n3,4\n",
        b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4\r\n",
        b"a;b\n1;2\n3;4",
        b"a\tb\n1\t2\n3\t 4 \n",
        b"a,b\n1,2\n\n3,4\n\n",
        b'"a","b"\n"x\ny",2\n1,"4"\n',
        "a,b\n1,2\n3,4\n".encode("utf-16"),
        b"a,b\r1,2\r3,4\r",
        b"sep=;\r\na;b\r\n1;2\r\n3;4\r\n",
        b"a|b\n1|2\n3|4\n",
    ],
)
def test_bom_delimiters_blank_lines_and_quotes_are_understood(data) -> None:
    assert numbers(data) == [2.0, 4.0]


def test_missing_cells_are_missing_however_they_are_written() -> None:
    assert np.isnan(numbers(b"a,b\n1,\n1,NA\n1,nan\n1, . \n")).all()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"1,2\n3,4\n", "add a header"),
        (b"a,a\n1,2\n", "more than once"),
        (b"a,b\n1,2\n3\n", "line 3: 1 cells where the header names 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3: 3 cells"),
        (b"a,b\n1,2\n\n3,x\n", "column 'b': line 4: text where a number"),
        (b'a,b\n"q\nq",2\n3,x\n', "line 4: text"),
        (b"a;b\n1;2,5\n", "decimal commas; read the file with --decimal comma"),
        (b"a,b\n1,inf\n", "line 2: infinite"),
        (b"a,b\n1,-1e308\n", "line 2: infinite or beyond 1e100"),
        (b"sep=;\na;b\n1;x\n", "line 3: text where a number"),
        (b"sep=;\na;b\n1\n", "line 3: 1 cells"),
        (b"A study\na,b\n1,2\n", "line 2: 2 cells where the header names 1 column.*title or a remark"),
        (b"0,67,0,0.5\n1,2,3,4\n", "add a header"),
        (b'"' + b"x" * 200_000 + b'",b\n1,2\n', "no column names"),
        (b"a,b\n1,yes\n1,No\n", "lines 2, 3: words .* write 1 for yes"),
        (b"a,b\n1,TRUE\n", "words where a number"),
        (b"a,b\n1,2020-01-31\n1,31.1.2020\n", "dates where a number .* years from the images"),
        (b'a,b\n1,"1,085.3"\n', "separators between thousands"),
        (b"a;b\n1;1.085,3\n", "separators between thousands"),
        (b"a,b\n1,<3.1\n", "limits of a measurement"),
        ("a,b\n1,\u22122.5\n".encode(), "typographic minus"),
        (b"a,b\n1,55 kg\n", "unit or other text behind the number"),
        (b"a,b\n1,#DIV/0!\n", "error values of a spreadsheet"),
        (b"a,b\n1,yes\n1,2020-01-31\n", "text where a number"),
        (b"a,b\n1,1_000\n", "text where a number"),
        ("a,b\n1,2\n1,\xe9\n".encode("latin-1"), "line 3: not UTF-8"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"PAR1nonsense", "damaged Parquet"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(data, words) -> None:
    with pytest.raises(UnusableCohort, match=words):
        numbers(data)


def test_decimal_commas_are_read_when_asked_for_and_points_are_then_refused() -> None:
    assert numbers(b"a;b\n1;2,5\n", decimal="comma") == [2.5]
    with pytest.raises(UnusableCohort, match="without --decimal comma"):
        numbers(b"a;b\n1;2.5\n", decimal="comma")


def test_no_cell_is_repeated_in_a_message() -> None:
    with pytest.raises(UnusableCohort) as refusal:
        numbers(b"a,b\n1,secretname\n")
    assert "secretname" not in refusal.value.detail


def test_a_missing_column_brings_the_nearest_name() -> None:
    with pytest.raises(UnusableCohort, match="did you mean 'weight'"):
        read_table(b"weight,b\n1,2\n", "f.csv").numbers("wieght")


def test_parquet_and_data_frames_give_the_same_table() -> None:
    frame = pd.DataFrame({"a": [1.5, None, 3.0], "c": ["x", None, "y"], "d": [True, False, True]})
    stored = io.BytesIO()
    frame.to_parquet(stored)
    for table in (read_table(stored.getvalue(), "f.parquet"), from_frame(frame)):
        np.testing.assert_array_equal(table.numbers("a"), [1.5, np.nan, 3.0])
        assert table.text("c") == ["x", None, "y"]
        assert table.numbers("d").tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"b": [b"ab", b"cd"]}, "rows 1, 2: text where a number"),
        ({"b": pd.to_datetime(["2020-01-31", None])}, "row 1: dates where a number"),
        ({"b": pd.to_timedelta([3, 4], unit="D")}, "rows 1, 2: durations"),
        ({"b": pd.Categorical(["yes", "no"])}, "words where a number"),
    ],
)
def test_parquet_columns_that_are_no_numbers_are_refused_by_what_they_are(frame, words) -> None:
    data = io.BytesIO()
    pd.DataFrame(frame).to_parquet(data)
    with pytest.raises(UnusableCohort, match=words):
        numbers(data.getvalue())


def test_a_column_that_is_in_a_parquet_file_twice_is_named() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["b", "b"]), data)
    with pytest.raises(UnusableCohort, match="column b occurs more than once"):
        numbers(data.getvalue())


def test_a_name_in_other_letters_is_suggested() -> None:
    with pytest.raises(UnusableCohort, match="did you mean 'T_SCORE'"):
        numbers(b"T_SCORE,VBQ\n1,2\n", "t_score")
