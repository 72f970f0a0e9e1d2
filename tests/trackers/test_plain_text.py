"""Hostile texts break neither a page nor a table nor a file."""

import html.parser
import time

import markdown
from hypothesis import given, settings
from hypothesis import strategies as st
from tracker_examples import HOSTILE

from tracker_logging.runs.model import Table
from tracker_logging.runs.tensorboard import table_of_markdown
from tracker_logging.trackers.plain_text import (
    LONGEST,
    LONGEST_CELL,
    MOST_ROWS,
    clean,
    html_table,
    html_text,
    markdown_table,
    markdown_text,
    shown,
)

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=60) | st.sampled_from(
    [
        HOSTILE,
        "<script>alert(1)</script>",
        "a|b",
        "|",
        "\n\n# x",
        "```",
        "12. x",
        "- x",
        "\tx",
        "&lt;",
        "\ud800",
        "](",
    ]
)


class Page(html.parser.HTMLParser):
    """Collects the tags and the cells of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells and self.tags[-1] in ("td", "th", "br"):
            self.cells[-1] += data


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_clean_text_is_valid_and_short_and_clean_is_idempotent(text):
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert not set(cleaned) & set("\x00\x1b\u202e\u2066\u200f\r\x9b")
    assert clean(cleaned) == cleaned


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(ANYTHING, min_size=2, max_size=2), min_size=1, max_size=4))
def test_a_table_keeps_its_cells_whatever_they_contain(rows):
    drawn = markdown.markdown(markdown_table(["a", "b"], rows), extensions=["markdown.extensions.tables"])
    page = Page(drawn)
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert page.tags.count("td") == 2 * len(rows)
    page = Page(html_table(["a", "b"], rows))
    assert set(page.tags) == {"style", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.tags.count("td") == 2 * len(rows)
    assert page.cells[2:] == [shown(cell) for row in rows for cell in row]


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_a_text_never_becomes_markup(text):
    assert set(Page(markdown.markdown(markdown_text(text))).tags) <= {"p", "br"}
    assert set(Page(html_text(text)).tags) == {"style", "pre"}


def test_cells_are_readable():
    assert [shown(cell) for cell in (None, True, 3, 0.123456789, float("nan"))] == ["", "yes", "3", "0.123457", "nan"]


def test_long_texts_cells_and_tables_are_cut_with_a_note():
    line = "x" * 1_000_000
    began = time.process_time()
    assert clean(line).endswith(f"({1_000_000 - LONGEST} more characters)")
    assert len(shown(line)) < LONGEST_CELL + 40
    table = markdown_table(["a"], [[line]] * (MOST_ROWS + 7))
    assert table.endswith("7 more rows")
    assert len(table) < (LONGEST_CELL + 50) * (MOST_ROWS + 3)
    assert time.process_time() - began < 5
    assert html_table(["a"], [["x"]] * (MOST_ROWS + 1)).count("<tr>") == MOST_ROWS + 1


def test_clean_gives_exactly_this() -> None:
    assert clean("a\r\nb\rc\td") == "a\nb\nc\td"
    assert clean("nul\x00, half \ud800, \x1b]0;title\x07bell") == "nul�, half �, bell"
    assert clean("x" * 10, longest=10) == "x" * 10
    assert clean("x" * 11, longest=10) == "x" * 10 + "… (1 more characters)"
    assert (shown(True), shown(False), shown(None), shown(0.1234567)) == ("yes", "no", "", "0.123457")


def test_markdown_is_exactly_this() -> None:
    assert markdown_text("one\n  *two*") == "one  \n&#160;&#160;&#42;two&#42;"
    assert markdown_text("\tx") == "&#160;" * 4 + "x"
    assert markdown_table(("a", "b"), (("x\ny", "u\tv"),)) == "| a | b |\n| --- | --- |\n| x ⏎ y | u v |"


def test_a_wide_table_is_written_as_several_with_the_same_keys_and_read_as_one() -> None:
    columns = tuple(f"c{number}" for number in range(17))
    rows = tuple(tuple(f"{row}|{number}" for number in range(17)) for row in range(3))
    text = markdown_table(columns, rows)
    heads = [block.splitlines()[0] for block in text.split("\n\n")]
    assert heads == [
        "| c0 | c1 | c2 | c3 | c4 | c5 | c6 | c7 |",
        "| c0 | c1 | c8 | c9 | c10 | c11 | c12 | c13 |",
        "| c0 | c1 | c14 | c15 | c16 |",
    ]
    assert markdown.markdown(text, extensions=["markdown.extensions.tables"]).count("<table>") == 3
    assert table_of_markdown(text) == Table(columns=columns, rows=rows)
    assert table_of_markdown(markdown_table(columns, rows * 200)).rows == (rows * 200)[:MOST_ROWS]
    assert table_of_markdown(markdown_table(("a", "b"), rows) + "\n\n" + markdown_table(("a", "c"), rows)) is None


def test_html_is_exactly_this() -> None:
    text = html_text("<b>\n")
    assert text.startswith("<style>") and text.endswith('</style><pre style="white-space:pre-wrap">&lt;b&gt;\n</pre>')
    table = html_table(("a", "b"), ((1, "<i>"), (None, "x")))
    head = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>"
    body = "<tr><td>1</td><td>&lt;i&gt;</td></tr><tr><td></td><td>x</td></tr>"
    assert table.startswith("<style>body{") and table.endswith(f"</style>{head}{body}</tbody></table>")


def test_a_table_that_just_fits_is_not_cut_and_one_more_row_is_counted() -> None:
    rows = tuple((number,) for number in range(MOST_ROWS))
    assert "more rows" not in markdown_table(("n",), rows) + html_table(("n",), rows)
    assert markdown_table(("n",), (*rows, (0,))).endswith(f"| {MOST_ROWS - 1} |\n\n1 more rows")
    assert html_table(("n",), (*rows, (0,))).endswith("</table><p>1 more rows</p>")
