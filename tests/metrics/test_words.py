import math

import pytest

from tracker_logging.metrics.words import character_errors, leaked_share, normalise, total, word_errors


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("the cat sat", "The cat, sat!", 0),
        ("the cat sat", "the dog sat", 1),
        ("the cat sat", "cat sat", 1),
        ("the cat sat", "the cat sat down here", 2),
        ("the cat sat", "", 3),
        ("don't", "don’t", 0),
    ],
)
def test_word_errors_of_known_transcripts(said: str, heard: str, errors: int) -> None:
    count = word_errors(text=said, transcript=heard)
    assert count.errors == errors
    assert count.rate == pytest.approx(errors / len(said.split()))


def test_errors_agree_with_jiwer() -> None:
    jiwer = pytest.importorskip("jiwer")
    said = "seven small children walked home in the cold rain"
    heard = "seventeen small children children walked in a cold brain home"
    assert word_errors(text=said, transcript=heard).rate == pytest.approx(jiwer.wer(said, heard))
    plain = said.replace(" ", ""), heard.replace(" ", "")
    assert character_errors(text=said, transcript=heard).rate == pytest.approx(jiwer.cer(*plain))


def test_the_corpus_rate_weighs_by_length() -> None:
    perfect = word_errors(text="a b c d e f g h", transcript="a b c d e f g h")
    counts = [perfect, word_errors(text="a b", transcript="x y")]
    assert total(counts).rate == pytest.approx(2 / 10)


def test_languages_without_spaces_and_with_marks_are_counted() -> None:
    assert character_errors(text="今天天气很好。", transcript="今天天气真好").rate == pytest.approx(1 / 6)
    assert normalise("नमस्ते, दुनिया!") == "नमस्ते दुनिया"


def test_only_words_foreign_to_the_target_leak() -> None:
    leaked = leaked_share(reference="the old man painted", target="the red boat", transcript="old the red boat")
    assert leaked == pytest.approx(1 / 3)


def test_an_apostrophe_belongs_to_a_word_and_a_quotation_mark_does_not() -> None:
    assert normalise("Don't say 'no', say ’yes’!") == "don't say no say yes"
    assert word_errors(text="it's the dogs' bowl", transcript="its the dogs bowl").errors == 1


def test_without_words_to_compare_there_is_no_rate() -> None:
    assert math.isnan(word_errors(text="…", transcript="a word").rate)
    assert math.isnan(leaked_share(reference="the boat", target="the red boat", transcript="the boat"))
