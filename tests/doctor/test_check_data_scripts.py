"""Non-ASCII texts: their script, whether it fits the language, and their duration."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_examples import healthy_items, set_target_text, write_items

from tracker_logging.doctor.data_checks.letters import script_of, weighted_letters
from tracker_logging.doctor.data_checks.report import check_files


@pytest.mark.parametrize(
    ("language", "text", "seen"),
    [
        ("ru", "Они видели реку.", None),
        ("ja", "川を見ました。", None),
        ("fr-CA", "Ils ont vu la rivière à côté.", None),
        ("xx", "Они видели реку.", None),  # not in the table: not judged
        ("en", "Они видели реку.", "language 'en', text in Cyrillic"),
        ("zh", "Они видели реку.", "language 'zh', text in Cyrillic"),
        ("ru", "Ils ont vu la rivière.", "language 'ru', text in Latin"),
    ],
)
def test_the_script_of_a_text_fits_its_language(tmp_path: Path, language: str, text: str, seen: str | None) -> None:
    items = healthy_items(tmp_path, 2)
    items[0]["language"] = language
    set_target_text(items[0], text)
    report = check_files(write_items(tmp_path / "train.json", items))
    found = [own.seen for own in report.findings if own.name == "language_script"]
    assert [one.split(":")[0] for one in found] == ([] if seen is None else [seen])


def test_the_script_is_that_of_most_letters() -> None:
    texts = ("Hello", "Da ist Öl", "Москва", "ab вгд", "…", "", "12")
    assert [script_of(text) for text in texts] == ["LATIN", "LATIN", "CYRILLIC", "CYRILLIC", None, None, None]


@pytest.mark.parametrize(
    ("text", "length"), [("ab 1.", 6), ("üb 1.", 6), ("你好", 6), ("かな", 4), ("カナ", 4), ("한글", 4), ("…", 0)]
)
def test_letters_are_weighted_by_their_duration(text: str, length: float) -> None:
    assert weighted_letters(text) == length
