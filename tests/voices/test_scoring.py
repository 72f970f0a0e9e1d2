from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tracker_logging import tags
from tracker_logging.events import Event, Scalars, Table, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder
from tracker_logging.voices.scoring import VoiceScorer


class FixedTranscriber:
    """A transcriber that returns the same words for every clip, and counts its calls."""

    name = "fixed"

    def __init__(self, words: str) -> None:
        self.words = words
        self.calls = 0

    def transcribe(self, wave: np.ndarray, sample_rate: int, *, language: str | None) -> str:
        assert language == "en"
        self.calls += 1
        return self.words


def perfect(prompts: list[VoicePrompt], processor: SpeechProcessor) -> list[Generated]:
    """The results of a model that generates the codes of every target exactly."""
    return [
        Generated(voice_id=p.voice_id, codes=processor.codes(p.sample.target_audio), stop_reason="eos") for p in prompts
    ]


def values(events: list[Event]) -> dict[str, float]:
    return next(event.values for event in events if isinstance(event, Scalars))


def comparisons(events: list[Event]) -> list[VoiceComparison]:
    return [event for event in events if isinstance(event, VoiceComparison)]


@pytest.fixture(scope="module")
def instruments(encoder: GE2ESpeakerEncoder) -> Instruments:
    return Instruments(encoder=encoder)


@pytest.fixture(scope="module")
def round_of_copies(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> list[Event]:
    scorer = VoiceScorer(demo_prompts, demo_processor, instruments)
    return list(scorer.score(step=500, generated=perfect(demo_prompts, demo_processor)))


def test_a_copy_of_the_target_is_as_good_as_the_codec_allows(round_of_copies: list[Event]) -> None:
    found = values(round_of_copies)
    assert found["voices/spk_top1"] >= 10 / 12
    assert found["voices/sim_o/mean"] == pytest.approx(found["voices/sim_codec/mean"])
    assert found["voices/sim_o/mean"] <= found["voices/sim_ceiling/mean"]
    assert found["voices/dur_ratio/mean"] == pytest.approx(1.0)
    assert found["voices/repetition/mean"] == 0.0 and found["voices/repetition/n"] == 12
    assert (found["voices/valid_clips"], found["voices/invalid_clips"], found["voices/failed"]) == (12, 0, 0)
    assert found["voices/stopped_pct"] == 100.0


def test_every_number_has_a_tag_that_the_zero_shot_callback_owns(round_of_copies: list[Event]) -> None:
    for name in values(round_of_copies):
        tag = tags.find(name)
        assert tag is not None and (tag.kind, tag.owner) == ("scalar", "zero_shot"), name
    kinds = Counter(type(event).__name__ for event in round_of_copies)
    assert kinds == {"VoiceComparison": 12, "Table": 3, "Scalars": 1}


def test_a_comparison_holds_all_clips_in_order_and_the_step_of_generation(round_of_copies: list[Event]) -> None:
    for event in comparisons(round_of_copies):
        assert list(event.clips) == ["reference", "target", "codec", "generated"]
        assert event.sampling.keys() == {"temperature", "top_p", "seed", "prompt_seed", "max_frames"}
        assert event.step == 500 and event.new_fixed_clips and event.error is None
        assert event.clips["generated"].samples.tolist() == event.clips["codec"].samples.tolist()
        assert "sim_o" in event.scores and "spk_top1" in event.scores and "sim_margin" in event.scores


def test_fixed_clips_are_new_once_and_ids_stay(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    scorer = VoiceScorer(demo_prompts[:2], demo_processor, instruments)
    generated = perfect(demo_prompts[:2], demo_processor)
    first, second = (comparisons(list(scorer.score(step=step, generated=generated))) for step in (1, 2))
    assert [event.new_fixed_clips for event in first + second] == [True, True, False, False]
    assert [event.voice_id for event in first] == [event.voice_id for event in second]


def test_invalid_and_missing_clips_are_counted_shown_and_left_out_of_means(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    generated = perfect(demo_prompts, demo_processor)
    alone = values(list(VoiceScorer(demo_prompts, demo_processor, instruments).score(step=1, generated=generated)))
    generated[0] = Generated(voice_id=generated[0].voice_id, codes=np.zeros((4, 0), dtype=np.int64), stop_reason="eos")
    generated[1] = Generated(voice_id=generated[1].voice_id, error="rank 1 sent nothing within 60 s")
    del generated[2]
    events = list(VoiceScorer(demo_prompts, demo_processor, instruments).score(step=1, generated=generated))
    found = values(events)
    assert (found["voices/valid_clips"], found["voices/invalid_clips"], found["voices/failed"]) == (9, 1, 2)
    assert found["voices/sim_o/n"] == 9
    assert found["voices/sim_ceiling/mean"] == pytest.approx(alone["voices/sim_ceiling/mean"])
    errors = [event.error for event in comparisons(events)]
    assert errors[:3] == ["too little speech (0.00 s)", "rank 1 sent nothing within 60 s", "not generated"]
    assert errors[3:] == [None] * 9
    assert "generated" not in comparisons(events)[1].clips


def test_word_error_rate_is_a_corpus_rate_with_the_rate_of_the_real_clips(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    prompts = demo_prompts[:2]
    transcriber = FixedTranscriber(prompts[0].sample.target_text)
    scorer = VoiceScorer(prompts, demo_processor, Instruments(transcriber=transcriber))
    events = list(scorer.score(step=1, generated=perfect(prompts, demo_processor)))
    found, rows = values(events), comparisons(events)
    assert rows[0].transcript == prompts[0].sample.target_text
    assert rows[0].scores["wer"] == 0.0 < rows[1].scores["wer"]
    words = [len(prompt.sample.target_text.split()) for prompt in prompts]
    assert found["voices/wer"] == pytest.approx(rows[1].scores["wer"] * words[1] / sum(words))
    assert found["voices/wer_real"] == found["voices/wer"]
    assert "voices/wer/mean" not in found and "voices/sim_o/mean" not in found
    assert transcriber.calls == 4
    list(scorer.score(step=2, generated=perfect(prompts, demo_processor)))
    assert transcriber.calls == 6


def test_the_gain_of_conditioning_is_positive_when_the_voice_follows_the_prompt(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    prompts = demo_prompts[:2]
    generated = perfect(prompts, demo_processor)
    first, second = generated
    follows = [replace(second, voice_id=first.voice_id), replace(first, voice_id=second.voice_id)]
    for swapped, low, high in ((follows, 0.05, 1.0), (generated, -0.01, 0.01)):
        scorer = VoiceScorer(prompts, demo_processor, instruments)
        found = values(list(scorer.score(step=1, generated=generated, swapped=swapped)))
        assert low <= found["voices/cond_gain/mean"] <= high


def test_scores_are_split_by_language_where_there_are_two(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    english, other = demo_prompts[0], demo_prompts[1]
    across = replace(other, sample=replace(other.sample, language="de", extra={"reference_language": "en"}))
    generated = perfect([english, across], demo_processor)
    found = values(list(VoiceScorer([english, across], demo_processor, instruments).score(step=1, generated=generated)))
    assert "voices/language/en/sim_o" in found and "voices/language/en>de/sim_o" in found


def test_tables_have_one_row_per_voice_and_per_speaker(round_of_copies: list[Event]) -> None:
    tables = {event.tag: event for event in round_of_copies if isinstance(event, Table)}
    assert len(tables["voices/table"].rows) == 12
    assert [row[2:4] for row in tables["voices/speakers"].rows] == [(2, 2)] * 6
    assert dict(tables["voices/instruments"].rows) == {"speaker encoder": "ge2e"}
    assert all(len(row) == len(table.columns) for table in tables.values() for row in table.rows)


def test_without_a_target_there_is_no_ratio_and_the_codec_copy_is_the_prompts(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    prompt = demo_prompts[0]
    untargeted = replace(prompt, sample=replace(prompt.sample, target_audio=None))
    generated = perfect([prompt], demo_processor)
    event = comparisons(
        list(VoiceScorer([untargeted], demo_processor, instruments).score(step=1, generated=generated))
    )[0]
    assert list(event.clips) == ["reference", "codec", "generated"]
    assert "dur_ratio" not in event.scores and "sim_o" in event.scores and "sim_ceiling" not in event.scores
