from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker_logging import tags
from tracker_logging.data.audio import load_audio
from tracker_logging.events import Event, Scalars, Table, VoiceComparison
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.metrics.speech import trim_silence
from tracker_logging.voices.clips import ClipDecoder, clip_event
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.measurement import Instruments
from tracker_logging.voices.prompt import VoicePrompt
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder
from tracker_logging.voices.scoring import VoiceScorer

TEXTS = ("reference_text", "target_text")


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
        Generated(
            voice_id=p.voice_id, codes=processor.codes(p.sample.target_audio), stop_reason="eos", first_frame_s=0.5
        )
        for p in prompts
    ]


def score(
    prompts: list[VoicePrompt],
    processor: SpeechProcessor,
    instruments: Instruments,
    generated: list[Generated],
    *,
    step: int = 1,
    swapped: Sequence[Generated] = (),
) -> list[Event]:
    clips = ClipDecoder(prompts, processor).decode(generated, swapped)
    return list(VoiceScorer(instruments).score(step=step, clips=clips))


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
    return score(demo_prompts, demo_processor, instruments, perfect(demo_prompts, demo_processor), step=500)


def test_a_copy_of_the_target_is_as_good_as_the_codec_allows(round_of_copies: list[Event]) -> None:
    found = values(round_of_copies)
    assert found["voices/spk_top1"] >= 10 / 12
    assert found["voices/sim_o/mean"] == pytest.approx(found["voices/sim_codec/mean"])
    assert found["voices/sim_o/mean"] <= found["voices/sim_ceiling/mean"]
    assert found["voices/dur_ratio/mean"] == pytest.approx(1.0)
    assert found["voices/first_frame_s/mean"] == 0.5 and found["voices/first_frame_s/n"] == 12
    assert found["voices/repetition/mean"] == 0.0 and found["voices/repetition/n"] == 12
    assert (found["voices/valid_clips"], found["voices/invalid_clips"], found["voices/failed"]) == (12, 0, 0)
    assert found["voices/stopped_pct"] == 100.0


class Colour:
    """A similarity model: the power below and above a quarter of the sampling rate."""

    name = "colour"

    def represent(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(wave)) ** 2
        return np.array([power[: len(power) // 2].sum(), power[len(power) // 2 :].sum()], np.float32)


def test_a_similarity_is_the_cosine_to_the_prompt_beside_that_of_the_real_clip_and_of_the_codec(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    prompts, instruments = demo_prompts[:2], Instruments(similarity=(Colour(),))
    events = score(prompts, demo_processor, instruments, perfect(prompts, demo_processor), step=5)
    colour, found = Colour(), values(events)
    for event in comparisons(events):
        trimmed = {name: trim_silence(clip.samples, clip.sample_rate) for name, clip in event.clips.items()}
        vectors = {name: colour.represent(wave, 24_000) for name, wave in trimmed.items()}
        for score_name, clip in {"": "generated", "_ceiling": "target", "_codec": "codec"}.items():
            first, second = vectors[clip].astype(float), vectors["reference"].astype(float)
            cosine = first @ second / np.sqrt((first @ first) * (second @ second))
            assert event.scores[f"colour_sim{score_name}"] == pytest.approx(cosine, abs=1e-5)
    assert found["voices/colour_sim/mean"] == pytest.approx(found["voices/colour_sim_codec/mean"])  # it is that copy
    assert found["voices/colour_sim_ceiling/n"] == 2
    (instruments_table,) = [e for e in events if isinstance(e, Table) and e.tag == "voices/instruments"]
    assert ("further similarities", "colour") in instruments_table.rows


def test_every_number_has_a_tag_that_the_zero_shot_callback_owns(round_of_copies: list[Event]) -> None:
    for name in values(round_of_copies):
        tag = tags.find(name)
        assert tag is not None and (tag.kind, tag.owner) == ("scalar", "zero_shot"), name
    kinds = Counter(type(event).__name__ for event in round_of_copies)
    assert kinds == {"VoiceComparison": 12, "Table": 3, "Scalars": 1}


def test_a_comparison_holds_all_clips_in_order_and_the_step_of_generation(round_of_copies: list[Event]) -> None:
    for event in comparisons(round_of_copies):
        assert list(event.clips) == ["reference", "target", "codec", "generated", "reference_codec"]
        assert event.sampling.keys() == {"temperature", "top_p", "seed", "prompt_seed", "max_frames"}
        assert (event.step, event.stage, event.error) == (500, "scored", None)
        assert event.clips["generated"].samples.tolist() == event.clips["codec"].samples.tolist()
        assert "sim_o" in event.scores and "spk_top1" in event.scores and "sim_margin" in event.scores


def test_a_clip_has_an_event_without_scores_that_the_scored_one_completes(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    prompts = demo_prompts[:2]
    clips = ClipDecoder(prompts, demo_processor).decode(perfect(prompts, demo_processor))
    before = [clip_event(clip, step=7, scorers={"encoder": "ge2e"}) for clip in clips]
    after = comparisons(list(VoiceScorer(instruments).score(step=7, clips=clips)))
    for first, second in zip(before, after, strict=True):
        assert (first.stage, second.stage) == ("generated", "scored")
        assert (first.voice_id, first.step, first.sampling) == (second.voice_id, second.step, second.sampling)
        assert (
            first.scores.keys() == {"repetition", "first_frame_s"} and first.transcript is None and not first.embeddings
        )
        assert {name: clip.samples.tolist() for name, clip in first.clips.items()} == {
            name: clip.samples.tolist() for name, clip in second.clips.items()
        }


def test_a_recording_that_cannot_be_decoded_or_measured_costs_only_its_own_scores(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, encoder: GE2ESpeakerEncoder,
    caplog: pytest.LogCaptureFixture, tmp_path: Path,
) -> None:  # fmt: skip
    prompts = demo_prompts[:4]
    gone = replace(prompts[1].sample, target_audio=tmp_path / "removed.flac")
    broken = [prompts[0], replace(prompts[1], sample=gone), *prompts[2:]]
    generated = perfect(prompts, demo_processor)
    refused = load_audio(prompts[0].sample.reference_audio, demo_processor.codec.sample_rate)

    class Picky:
        name = "picky"

        def embed(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
            if np.array_equal(wave, trim_silence(refused, sample_rate)):
                raise RuntimeError("this clip cannot be embedded")
            return encoder.embed(wave, sample_rate)

    rows = comparisons(score(broken, demo_processor, Instruments(encoder=Picky()), generated))
    assert [row.error for row in rows] == [None] * 4
    assert "sim_o" not in rows[0].scores and "sim_r" in rows[0].scores and "level_delta_db" in rows[0].scores
    assert "sim_ceiling" not in rows[1].scores and "sim_o" in rows[1].scores and "dur_ratio" not in rows[1].scores
    assert "target" not in rows[1].clips and "generated" in rows[1].clips
    assert all("sim_o" in row.scores and "sim_margin" in row.scores for row in rows[1:])
    assert "its reference cannot be measured (RuntimeError: this clip cannot be embedded)" in caplog.text
    assert "its target cannot be decoded (" in caplog.text and "its target codec cannot be decoded (" in caplog.text


def test_invalid_and_missing_clips_are_counted_shown_and_left_out_of_means(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    generated = perfect(demo_prompts, demo_processor)
    alone = values(score(demo_prompts, demo_processor, instruments, generated))
    generated[0] = Generated(voice_id=generated[0].voice_id, codes=np.zeros((4, 0), dtype=np.int64), stop_reason="eos")
    generated[1] = Generated(voice_id=generated[1].voice_id, error="rank 1 sent nothing within 60 s")
    del generated[2]
    events = score(demo_prompts, demo_processor, instruments, generated)
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
    scorer = VoiceScorer(Instruments(transcriber=transcriber))
    clips = ClipDecoder(prompts, demo_processor).decode(perfect(prompts, demo_processor))
    events = list(scorer.score(step=1, clips=clips))
    found, rows = values(events), comparisons(events)
    assert rows[0].transcript == prompts[0].sample.target_text
    assert rows[0].scores["wer"] == 0.0 < rows[1].scores["wer"]
    words = [len(prompt.sample.target_text.split()) for prompt in prompts]
    assert found["voices/wer"] == pytest.approx(rows[1].scores["wer"] * words[1] / sum(words))
    assert found["voices/wer_real"] == found["voices/wer"]
    assert "voices/wer/mean" not in found and "voices/sim_o/mean" not in found
    assert transcriber.calls == 4
    list(scorer.score(step=2, clips=clips))
    assert transcriber.calls == 6


def test_the_tag_of_a_voice_is_shown_and_is_no_word(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    plain = demo_prompts[:2]
    texts = [{name: f"[SPEAKER1] {getattr(one.sample, name)}" for name in TEXTS} for one in plain]
    tagged = [replace(one, sample=replace(one.sample, **of_one)) for one, of_one in zip(plain, texts, strict=True)]
    instruments = Instruments(transcriber=FixedTranscriber(plain[0].sample.target_text))
    without, with_tags = (
        score(prompts, demo_processor, instruments, perfect(prompts, demo_processor)) for prompts in (plain, tagged)
    )
    rows = comparisons(with_tags)
    assert rows[0].scores["wer"] == rows[0].scores["cer"] == rows[0].scores["wer_real"] == 0.0
    assert {"rate_ratio", "ref_leak", "wer_seed_tts"} <= rows[0].scores.keys()
    assert [row.scores for row in rows] == [row.scores for row in comparisons(without)]
    assert values(with_tags) == values(without)
    assert [{name: getattr(row, name) for name in TEXTS} for row in rows] == texts


def test_the_gain_of_conditioning_is_positive_when_the_voice_follows_the_prompt(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    prompts = demo_prompts[:2]
    generated = perfect(prompts, demo_processor)
    first, second = generated
    follows = [replace(second, voice_id=first.voice_id), replace(first, voice_id=second.voice_id)]
    for swapped, low, high in ((follows, 0.05, 1.0), (generated, -0.01, 0.01)):
        found = values(score(prompts, demo_processor, instruments, generated, swapped=swapped))
        assert low <= found["voices/cond_gain/mean"] <= high


def test_scores_are_split_by_language_where_there_are_two(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    english, other = demo_prompts[0], demo_prompts[1]
    across = replace(other, sample=replace(other.sample, language="de", extra={"reference_language": "en"}))
    generated = perfect([english, across], demo_processor)
    found = values(score([english, across], demo_processor, instruments, generated))
    assert "voices/language/en/sim_o" in found and "voices/language/en>de/sim_o" in found
    assert not any("/group/" in tag for tag in found)


def test_scores_of_a_group_are_those_of_its_clips_with_an_interval_over_its_speakers(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor, instruments: Instruments
) -> None:
    unseen = demo_prompts[0].speaker
    prompts = [
        replace(one, sample=replace(one.sample, extra={"group": "unseen real" if one.speaker == unseen else "trained"}))
        for one in demo_prompts
    ]
    generated = perfect(prompts, demo_processor)
    events = score(prompts, demo_processor, Instruments(encoder=instruments.encoder), generated)
    found, rows = values(events), comparisons(events)
    margins = {one.voice_id: row.scores["sim_margin"] for one, row in zip(prompts, rows, strict=True)}
    speakers = {one.voice_id: one.speaker for one in prompts}
    for group, names in (("trained", set(speakers.values()) - {unseen}), ("unseen_real", {unseen})):
        of_group = [margins[voice] for voice in margins if speakers[voice] in names]
        assert found[f"voices/group/{group}/sim_margin"] == pytest.approx(np.mean(of_group))
        assert found[f"voices/group/{group}/sim_margin/n"] == len(of_group)
    means = [
        np.mean([margins[v] for v in margins if speakers[v] == name]) for name in set(speakers.values()) - {unseen}
    ]
    half = 2.776 * np.std(means, ddof=1) / np.sqrt(5) * np.sqrt(5 / 4)  # Student's t, 4 degrees of freedom
    assert found["voices/group/trained/sim_margin/low"] == pytest.approx(np.mean(means) - half, abs=1e-3)
    assert "voices/group/unseen_real/sim_margin/low" not in found, "one speaker has no interval"
    assert found["voices/group/trained/spk_top1/low"] > 0.6, "a share has Wilson's interval"
    (table,) = (event for event in events if isinstance(event, Table) and event.tag == "voices/table")
    assert [row[table.columns.index("group")] for row in table.rows] == [one.sample.extra["group"] for one in prompts]
    assert [row.group for row in rows] == [one.sample.extra["group"] for one in prompts]


def test_words_of_a_group_are_counted_over_all_its_words(
    demo_prompts: list[VoicePrompt], demo_processor: SpeechProcessor
) -> None:
    prompts = [
        replace(one, sample=replace(one.sample, extra={"group": group}))
        for one, group in zip(demo_prompts[:3], ("unseen", "trained", "trained"), strict=True)
    ]
    scorer = VoiceScorer(Instruments(transcriber=FixedTranscriber(prompts[1].sample.target_text)))
    events = list(
        scorer.score(step=1, clips=ClipDecoder(prompts, demo_processor).decode(perfect(prompts, demo_processor)))
    )
    words = [len(prompt.sample.target_text.split()) for prompt in prompts]
    errors = comparisons(events)[2].scores["wer"] * words[2]
    assert values(events)["voices/group/trained/wer"] == pytest.approx(errors / (words[1] + words[2]))


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
    (event,) = comparisons(score([untargeted], demo_processor, instruments, generated))
    assert list(event.clips) == ["reference", "codec", "generated", "reference_codec"]
    assert "dur_ratio" not in event.scores and "sim_o" in event.scores and "sim_ceiling" not in event.scores
