"""Text tables lose no row: what Python's csv writes comes back, what people write without quotes is read as it stands,
and a row that could be read in two ways is named."""

from __future__ import annotations

import csv
import io
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tracker_logging.data.formats.text_table import TextTable
from tracker_logging.data.sample import DataError

DELIMITERS = [",", ";", "\t", "|"]
quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.sampled_from("ab \"',;|\t.\n\\é世"), max_size=12)
cells = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)


def table(path: Path, content: str | bytes) -> TextTable:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return TextTable(path)


def outcomes(rows: TextTable) -> list[object]:
    found: list[object] = []
    for index in range(len(rows)):
        try:
            found.append(rows[index])
        except DataError as error:
            found.append(error)
    return found


@pytest.mark.parametrize("delimiter", ["|", "\t"])
def test_a_text_that_begins_with_a_quote_swallows_no_row(
    tmp_path: Path, delimiter: str, caplog: pytest.LogCaptureFixture
) -> None:
    written = [
        ("a1", '"I see," he said.'),
        ("a2", '"Never'),
        ("a3", 'He said "no".'),
        ("a4", '"Yes."'),
        ("a5", 'end"'),
    ]
    lines = [delimiter.join(("id", "text")), *(delimiter.join(row) for row in written)]
    rows = table(tmp_path / "a.csv", "\n".join(lines) + "\n")
    assert [(row["id"], row["text"]) for row in rows] == written  # type: ignore[index]
    assert "plain cells" in rows.decision
    assert "3 lines have a quote at the start of a cell; read as" in caplog.text and "plain cells" in caplog.text


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_csv_writes_is_read_as_csv(tmp_path: Path, delimiter: str, quoting: int) -> None:
    written = [("a.wav", f'He said "no"{delimiter} twice.'), ("b.wav", "Plain."), ("c.wav", "Two\nlines.")]
    content = io.StringIO(newline="")
    writer = csv.writer(content, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([("audio", "text"), *written])
    rows = table(tmp_path / "a.csv", content.getvalue())
    assert [(row["audio"], row["text"]) for row in rows] == written  # type: ignore[index]
    assert "quoted as in CSV" in rows.decision


@quick
@given(
    written=cells, delimiter=st.sampled_from(DELIMITERS), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
)
def test_a_table_written_by_csv_comes_back_or_its_rows_are_named(
    tmp_path: Path, written: list[tuple[str, str]], delimiter: str, quoting: int
) -> None:
    assume(all(any(cell.strip() for cell in row) for row in written))
    content = io.StringIO(newline="")
    csv.writer(content, delimiter=delimiter, quoting=quoting).writerows(  # type: ignore[arg-type]
        [("audio", "text"), *written]
    )
    assert_no_row_is_lost_or_merged(table(tmp_path / "a.csv", content.getvalue()), written, content.getvalue())


@quick
@given(written=cells, delimiter=st.sampled_from(DELIMITERS), index=st.booleans(), ends=st.sampled_from(["\n", "\r\n"]))
def test_a_table_written_by_pandas_comes_back_or_its_rows_are_named(
    tmp_path: Path, written: list[tuple[str, str]], delimiter: str, index: bool, ends: str
) -> None:
    pandas = pytest.importorskip("pandas")
    assume(index or all(any(cell.strip() for cell in row) for row in written))
    frame = pandas.DataFrame(written, columns=["audio", "text"])
    content = frame.to_csv(None, sep=delimiter, index=index, lineterminator=ends)
    assert_no_row_is_lost_or_merged(table(tmp_path / "a.csv", content), written, content)


def assert_no_row_is_lost_or_merged(rows: TextTable, written: list[tuple[str, str]], content: str) -> None:
    """Each row that is read is one of `written`, in order; the others are refused with their line."""
    found = outcomes(rows)
    good = [(row["audio"], row["text"]) for row in found if isinstance(row, dict)]
    assert len(found) >= len(written)
    assert all("line" in str(outcome) for outcome in found if isinstance(outcome, DataError))
    if rows.is_quoted or '"' not in content:
        left = iter(written)
        assert all(row in left for row in good)
        assert len(good) == len(found) or len(good) < len(written)
    else:  # read as plain: a cell stands in one line as it is
        lines = content.split("\n")
        assert all(any(str(cell) in line for line in lines) for row in good for cell in row)
        assert len(good) < len(found) or len(good) == len(written)


@quick
@given(written=cells, delimiter=st.sampled_from([",", ";"]))
def test_a_list_with_commas_written_without_quoting_merges_no_rows(
    tmp_path: Path, written: list[tuple[str, str]], delimiter: str
) -> None:
    written = [tuple(cell.replace("\n", " ").replace(delimiter, " ") for cell in row) for row in written]  # type: ignore[misc]
    assume(all(any(cell.strip() for cell in row) for row in written))
    lines = [delimiter.join(row) for row in written]
    rows = table(tmp_path / "a.csv", "\n".join([f"audio{delimiter}text", *lines]) + "\n")
    left = iter(zip(written, lines, strict=True))
    for outcome in outcomes(rows):
        if isinstance(outcome, DataError):
            assert "line" in str(outcome)
        else:
            read = tuple(outcome.values())  # type: ignore[attr-defined]
            assert any(read in (row, tuple(next(csv.reader([line], delimiter=delimiter)))) for row, line in left)


@quick
@given(written=cells, delimiter=st.sampled_from(["|", "\t"]))
def test_a_table_written_without_quoting_loses_no_row(
    tmp_path: Path, written: list[tuple[str, str]], delimiter: str
) -> None:
    written = [tuple(cell.replace("\n", " ").replace(delimiter, " ") for cell in row) for row in written]  # type: ignore[misc]
    assume(all(any(cell.strip() for cell in row) for row in written))
    content = f"audio{delimiter}text\n" + "".join(f"{first}{delimiter}{second}\n" for first, second in written)
    rows = table(tmp_path / "a.txt", content)
    found = outcomes(rows)
    assert len(found) == len(written)
    if not rows.is_quoted:
        for outcome, row in zip(found, written, strict=True):
            assert (
                "could be a row" in str(outcome)
                if isinstance(outcome, DataError)
                else outcome
                == {
                    "audio": row[0],
                    "text": row[1],
                }
            )


def test_a_row_that_can_be_read_in_two_ways_is_named_with_its_line(tmp_path: Path) -> None:
    rows = table(
        tmp_path / "a.csv", 'audio,text\na.wav,"Open\nb.wav,shut"\nc.wav,"Said ""no"", twice."\nd.wav,Plain.\n'
    )
    ambiguous, third, fourth = outcomes(rows)
    assert "a.csv[0] (line 2)" in str(ambiguous) and "over 2 lines" in str(ambiguous)
    assert third == {"audio": "c.wav", "text": 'Said "no", twice.'}
    assert fourth == {"audio": "d.wav", "text": "Plain."}


def test_an_unclosed_quote_spoils_its_own_row_only(tmp_path: Path) -> None:
    many = "".join(f'{n}.wav,"Number {n}, quoted."\n' for n in range(3_000))
    rows = table(tmp_path / "a.csv", f'audio,text\n{many}bad.wav,"Open, and on\nx.wav,"One, more."\ny.wav,Plain.\n')
    found = outcomes(rows)
    assert len(found) == 3_003
    assert [index for index, outcome in enumerate(found) if isinstance(outcome, DataError)] == [3_000]
    assert "line 3002" in str(found[3_000])
    assert found[-1] == {"audio": "y.wav", "text": "Plain."}


def test_a_stray_cell_is_named_with_its_line_and_the_others_are_read(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.tsv", "audio\ttext\na.wav\tOne.\n\nb.wav\tTwo\tcells.\nc.wav\tThree.\n")
    first, bad, third = outcomes(rows)
    assert (first["text"], third["text"]) == ("One.", "Three.")  # type: ignore[index]
    assert "(line 4): 3 cells under 2 column names" in str(bad)


def test_a_table_without_a_header_has_numbered_columns(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.csv", "LJ001|Said, then|done, too\nLJ002|One,|two\n")
    assert list(rows) == [{"1": "LJ001", "2": "Said, then", "3": "done, too"}, {"1": "LJ002", "2": "One,", "3": "two"}]
    assert not rows.layout.has_header and rows.layout.delimiter == "|"


def test_known_names_of_a_header_may_be_written_in_capitals(tmp_path: Path) -> None:
    assert table(tmp_path / "a.csv", "Audio,TEXT,Mood\na.wav,One.,calm\n")[0] == {
        "audio": "a.wav",
        "text": "One.",
        "Mood": "calm",
    }


def test_a_cell_of_any_length_is_read(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.csv", f'audio,text\na.wav,"{"word, " * 100_000}"\n')
    assert rows[0] == {"audio": "a.wav", "text": "word, " * 100_000}


def test_rows_are_read_where_they_lie_and_can_be_pickled(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = table(path, b"\xef\xbb\xbfaudio,text\r\n" + b"".join(b"%d.wav,Text %d.\r\n" % (n, n) for n in range(10_000)))
    assert rows[-1] == {"audio": "9999.wav", "text": "Text 9999."}
    copy = pickle.loads(pickle.dumps(rows))
    assert copy[1234] == rows[1234] == {"audio": "1234.wav", "text": "Text 1234."}
    assert len(pickle.dumps(rows)) < 30 * 10_000


def test_bytes_that_are_not_utf_8_spoil_their_row_only(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.csv", b"audio,text\na.wav,One.\nb.wav," + "Schön für Müller.".encode("cp1252") + b"\n")
    first, bad = outcomes(rows)
    assert first == {"audio": "a.wav", "text": "One."}
    assert "a.csv[1]: not UTF-8" in str(bad) and "cp1252" in str(bad)


def test_a_delimiter_at_the_end_of_each_line_and_an_index_without_a_name_are_no_columns_of_their_own(
    tmp_path: Path,
) -> None:
    assert table(tmp_path / "a.csv", "audio|text||\na.wav|One.||\n")[0] == {"audio": "a.wav", "text": "One."}
    rows = table(tmp_path / "b.csv", ",audio,text,\n0,a.wav,One.,\n1,b.wav,Two., more\n")
    assert list(rows) == [
        {"column 1": "0", "audio": "a.wav", "text": "One."},
        {"column 1": "1", "audio": "b.wav", "text": "Two.", "column 4": " more"},
    ]


def test_known_names_of_a_header_may_be_written_as_people_write_them(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.csv", "Audio File;Speaker-Name;Normalized Text;My Mood\na.wav;Anna;One.;calm\n")
    assert rows[0] == {"audio_file": "a.wav", "speaker_name": "Anna", "normalized_text": "One.", "My Mood": "calm"}
