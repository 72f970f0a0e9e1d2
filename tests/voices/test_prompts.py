import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tracker_logging import tags
from tracker_logging.data.sample import VoiceSample
from tracker_logging.data.samples import Samples
from tracker_logging.events import VoiceComparison
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.trackers.parts import parts
from tracker_logging.trackers.voice_folder import write_voice
from tracker_logging.voices.prompt import MOST_READ, build_prompt, choose_samples, longest_s


def test_the_choice_is_spread_over_speakers_and_never_repeats(demo_samples: list[VoiceSample]) -> None:
    chosen = choose_samples(demo_samples + demo_samples, count=12)
    assert set(Counter(one.speaker for one in chosen).values()) == {2}
    assert len({one.sample_id for one in chosen}) == 12
    assert chosen == choose_samples(demo_samples, count=12)


def test_languages_take_turns_before_speakers_do(demo_samples: list[VoiceSample]) -> None:
    german = [replace(demo_samples[0], language="de", speaker="hans", target_text="Guten Tag!")]
    chosen = choose_samples(demo_samples + german, count=4)
    assert [one.language for one in chosen] == ["en", "de", "en", "en"]


def test_groups_take_turns_before_languages_do(demo_samples: list[VoiceSample]) -> None:
    unseen = [replace(demo_samples[0], language="de", speaker="hans", target_text=text) for text in ("Eins.", "Zwei.")]
    grouped = [replace(one, extra={"group": "unseen"}) for one in unseen]
    chosen = choose_samples([*demo_samples, *grouped], count=4)
    assert [one.language for one in chosen] == ["en", "de", "en", "de"]


def test_of_very_many_samples_an_even_choice_is_looked_at(demo_samples: list[VoiceSample]) -> None:
    class Counting(Samples):
        read = 0

        def __getitem__(self, index: Any) -> Any:
            Counting.read += 1
            return super().__getitem__(index)

        def take(self, positions: Sequence[int]) -> Samples:
            return Counting(self.source, self.indices[np.asarray(positions)])

    many = Counting(demo_samples, np.arange(100_000) % len(demo_samples))
    assert len({one.sample_id for one in choose_samples(many, count=12)}) == 12
    assert Counting.read == MOST_READ


def test_samples_without_a_reference_are_not_chosen(demo_samples: list[VoiceSample]) -> None:
    assert choose_samples([one.with_reference_of(None) for one in demo_samples], count=3) == []


def test_the_id_follows_from_content_not_from_place(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor, tmp_path: Path
) -> None:
    sample = demo_samples[0]
    moved = replace(
        sample,
        reference_audio=Path(shutil.copy(sample.reference_audio, tmp_path / "elsewhere.flac")),
        sample_id="renamed",
        origin="other.json[3]",
    )
    first, second = (build_prompt(one, demo_processor, SamplingSettings(), seed=0) for one in (sample, moved))
    assert first.voice_id == second.voice_id
    assert first.voice_id.endswith(f"-{sample.speaker}")
    assert first.prompt.seed == second.prompt.seed


@pytest.mark.parametrize(
    ("speaker", "readable"),
    [
        ("小明", "小明"),
        ("Ünal/ß", "Ünal-ß"),
        ("U\u0308nal", "Ünal"),  # decomposed, as macOS writes file names
        ("अनिता", "अनिता"),  # vowel signs are marks, not letters
        ("../../etc", "etc"),
        ("a|b\n c_d", "a-b-c-d"),
        ("slt", "slt"),
        ("😀", "voice"),
        ("長" * 50, "長" * 32),
        ("𠀀" * 50, "𠀀" * 24),
    ],
)
def test_the_id_keeps_the_name_of_the_speaker_in_its_own_script_and_is_one_file_name(
    speaker: str, readable: str, demo_samples: list[VoiceSample], demo_processor: SpeechProcessor, tmp_path: Path
) -> None:
    sample = replace(demo_samples[0], speaker=speaker)
    voice_id = build_prompt(sample, demo_processor, SamplingSettings(), seed=0).voice_id
    digest, _, name = voice_id.partition("-")
    plain = build_prompt(demo_samples[0], demo_processor, SamplingSettings(), seed=0).voice_id
    assert (digest, name) == (plain.partition("-")[0], readable)
    (tmp_path / voice_id).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [voice_id]
    event = VoiceComparison(step=1, voice_id=voice_id, clips={}, reference_text="", target_text="")
    assert [part.tag for part in parts(event)] == [f"voices/{voice_id}/text"]
    write_voice(tmp_path / "voices" / tags.safe_part(voice_id, "-"), event)
    assert [path.name for path in (tmp_path / "voices").iterdir()] == [voice_id]


@pytest.mark.parametrize("change", ["target text", "reference text", "reference"])
def test_the_id_changes_with_the_texts_and_the_reference(
    change: str, demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    sample = demo_samples[0]
    changed = {
        "target text": replace(sample, target_text=sample.target_text + "!"),
        "reference text": replace(sample, reference_text=sample.reference_text + "!"),
        "reference": replace(sample, reference_audio=demo_samples[1].reference_audio),
    }[change]
    before, after = (build_prompt(one, demo_processor, SamplingSettings(), seed=0) for one in (sample, changed))
    assert before.voice_id != after.voice_id and before.prompt.seed != after.prompt.seed


def test_sampling_settings_are_a_property_of_the_clip_not_of_the_voice(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    sample, sampled = demo_samples[0], SamplingSettings(temperature=0.7, top_p=0.9, top_k=50)
    greedy = build_prompt(sample, demo_processor, SamplingSettings(), seed=0)
    warm = build_prompt(sample, demo_processor, sampled, seed=0)
    reseeded = build_prompt(sample, demo_processor, sampled, seed=1)
    assert greedy.voice_id == warm.voice_id == reseeded.voice_id
    assert greedy.prompt.seed == warm.prompt.seed != reseeded.prompt.seed
    assert (warm.sampling["temperature"], warm.sampling["top_k"], warm.sampling["seed"]) == (0.7, 50, 0)
    assert reseeded.sampling["prompt_seed"] == reseeded.prompt.seed


def test_a_clip_may_be_half_as_long_again_as_its_target(demo_samples: list[VoiceSample]) -> None:
    sample = demo_samples[0]
    known = longest_s(sample)
    guessed = longest_s(replace(sample, target_audio=None))
    assert known == pytest.approx(guessed, rel=0.35)


@pytest.mark.parametrize(
    ("reference_text", "rate"),
    [
        ("r" * 60, 10.0),
        ("[SPEAKER1] " + "r" * 60, 10.0),
        ("是" * 30, 15.0),
        ("", 15.0),  # a reference in the scene
        ("[SPEAKER0] ", 15.0),
        ("Well.", 5.0),  # five bytes in six seconds
        ("r" * 6_000, 60.0),
    ],
)
def test_without_a_target_recording_the_reference_gives_a_rate_that_a_person_may_have(
    reference_text: str, rate: float, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(6 * 8_000, 0.1, np.float32), 8_000)
    sample = VoiceSample(
        sample_id="a", reference_text=reference_text, reference_audio=tmp_path / "a.wav", target_text="t" * 90,
        target_audio=None,
    )  # fmt: skip
    assert longest_s(sample) == pytest.approx(1.5 * 90 / rate + 1.0)
    assert longest_s(replace(sample, target_text="[SPEAKER1] " + "t" * 90)) == longest_s(sample)


def test_the_prompt_ends_where_the_audio_begins(
    demo_samples: list[VoiceSample], demo_processor: SpeechProcessor
) -> None:
    prompt = build_prompt(demo_samples[0], demo_processor, SamplingSettings(), seed=0).prompt
    assert prompt.token_ids[-1] == demo_processor.tokens.audio_out_bos
