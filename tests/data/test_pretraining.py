"""Pretraining of the demo's model: sentences, voices, the codec that keeps speaker and speech apart, the training."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch
from demo_phrases import NAMES, phrases

from tracker_logging.data.audio import load_audio
from tracker_logging.data.sample import DataError
from tracker_logging.demo.composed.speakers import SAMPLE_RATE
from tracker_logging.demo.composed.tokenizer import UNKNOWN
from tracker_logging.demo.kokoro import STYLE_SIZE, Sounds
from tracker_logging.demo.model import HEADS, demo_config, demo_model
from tracker_logging.demo.open_tokenizer import open_tokenizer
from tracker_logging.demo.pretrain import train
from tracker_logging.demo.pretrain.__main__ import main
from tracker_logging.demo.pretrain.kokoro_speech import Synthesis, Voice, kokoro_alphabet
from tracker_logging.demo.pretrain.lean import lean_losses
from tracker_logging.demo.pretrain.material import coded_clips, fitted_codec
from tracker_logging.demo.pretrain.pairs import CALIBRATION, Clip, CodedVariant, Noise, PairSource
from tracker_logging.demo.pretrain.speech import Source, make_speech, planned, planned_sentences, style_of
from tracker_logging.demo.pretrain.train import Schedule, noise_of, pretrain
from tracker_logging.demo.pretrain.variants import VARIANTS, Variant, varied
from tracker_logging.demo.pretrain.voices import BLENDED, FINE_TUNED, HELD_OUT, KEPT, MIXED, NATURAL, SINGLE, TRAINED
from tracker_logging.demo.sentences import VOCABULARY, draw_sentences, words
from tracker_logging.demo.voice_codec import SOUNDS, UNVOICED, VOICE_SIZE, Speech, VoiceCodec
from tracker_logging.demo.voice_parts import CODEBOOKS, FIRST_CODES, PARTS
from tracker_logging.families.base import IGNORE
from tracker_logging.runs import open_run
from tracker_logging.voices.scorers.choose import ScorerChoice

CONTENT = SOUNDS
VOICE = slice(CONTENT, CONTENT + CODEBOOKS)


@pytest.fixture(scope="module")
def codec(voice_codec: VoiceCodec) -> VoiceCodec:
    return voice_codec


@pytest.fixture(scope="module")
def clips(speech: dict[str, list[Speech]], codec: VoiceCodec) -> dict[str, Clip]:
    sentences = draw_sentences(20, seed=0)
    return {
        f"{name}_{number}": Clip(
            sentences[number],
            name,
            [CodedVariant(codec.coded(varied(clip, variant)), clip.voice) for variant in VARIANTS[:6]],
        )
        for name, several in speech.items()
        for number, clip in enumerate(several[:3])
    }


def test_sentences_are_distinct_repeatable_and_of_the_vocabulary() -> None:
    sentences = draw_sentences(3_000, seed=0)
    assert sentences == draw_sentences(3_000, seed=0)
    assert len(set(sentences)) == 3_000
    used = Counter(word for sentence in sentences for word in words(sentence))
    assert set(used) <= set(VOCABULARY)
    assert min(used[word] for word in VOCABULARY) >= 20
    assert not any(" a a" in sentence or " a o" in sentence for sentence in sentences)


def test_the_tokenizer_reads_known_words_whole_and_spells_others() -> None:
    tokenizer = open_tokenizer()
    for sentence in draw_sentences(200, seed=1):
        assert tokenizer.decode(tokenizer.encode(sentence)) == sentence.lower()
        assert len(tokenizer.tokenize(sentence)) == len(words(sentence))
    assert UNKNOWN not in tokenizer.tokenize("Zebras quickly jumped, didn't they?")


def test_unseen_voices_and_new_speakers_are_in_no_trained_voice() -> None:
    trained = {part for speaker in (*TRAINED, *SINGLE) for part in speaker.parts}
    others = {part for speaker in (*HELD_OUT, *FINE_TUNED) for part in speaker.parts}
    assert not trained & others
    assert len({(speaker.parts, speaker.weights) for speaker in TRAINED}) == len(TRAINED) == 3_204
    assert all(sum(speaker.weights) == pytest.approx(1) for speaker in TRAINED)


def test_any_prefix_of_the_plan_has_each_natural_voice_equally_often() -> None:
    plan = list(islice(planned(), 1_000))
    assert plan == list(islice(planned(), 1_000))
    assert len({utterance.name for utterance in plan}) == 1_000
    counts = Counter(utterance.speaker for utterance in plan)
    natural = [counts[speaker] for speaker in NATURAL]
    assert max(natural) - min(natural) <= 1
    assert max(counts[speaker] for speaker in BLENDED) == 4
    assert set(Counter(utterance.speaker for utterance in planned() if utterance.speaker in MIXED).values()) == {2}
    assert min(counts[speaker] for speaker in HELD_OUT) >= 3


def test_sentences_of_voices_that_are_kept_are_of_no_trained_voice() -> None:
    kept, trained = set(), set()
    for utterance in planned():
        (kept if utterance.speaker in (*HELD_OUT, *FINE_TUNED) else trained).add(utterance.sentence)
    assert kept and kept.isdisjoint(trained)


def test_each_sentence_is_planned_for_two_trained_voices_in_a_row() -> None:
    single = {speaker.name for speaker in SINGLE}
    trained = [utterance for utterance in planned() if utterance.speaker.name not in KEPT | single]
    with_partner = [
        one for one, two in pairwise(trained) if one.sentence == two.sentence and one.speaker != two.speaker
    ]
    assert 2 * len(with_partner) > 0.98 * len(trained)


def test_voices_for_the_codec_alone_have_one_short_clip_each_at_the_end() -> None:
    plan = list(planned())[-len(SINGLE) :]
    assert [utterance.speaker for utterance in plan] == list(SINGLE)
    texts = [planned_sentences()[utterance.sentence] for utterance in plan]
    assert all(utterance.number == 0 and utterance.sentence < 3_600 for utterance in plan)
    assert max(map(len, texts)) <= 28 and len(set(texts)) > 400


def test_phonemes_are_written_in_the_alphabet_of_kokoro() -> None:
    assert kokoro_alphabet("ðə dʒˈʌdʒ sˈɔː ɐ tʃˈɛɹ ɔnðə bˈoʊt") == "ðə ʤˈʌʤ sˈɔ ə ʧˈɛɹ ɔnðə bˈOt"
    assert kokoro_alphabet("hɜː pˈeɪntɚ") == "hɜɹ pˈAntəɹ"


class Tones:
    """In place of Kokoro, which tests cannot install: a tone for each voice."""

    synthesised: list[str]

    def __init__(self) -> None:
        self.synthesised = []

    def voice(self, name: str) -> Voice:
        return np.full((510, 256), 100.0 + 10 * len(name), dtype=np.float32)

    def synthesise(self, phonemes: str, voice: Voice, *, speed: float) -> Synthesis:
        self.synthesised.append(phonemes)
        wave = np.sin(np.arange(6_000) * 2 * np.pi * voice[0, 0] / SAMPLE_RATE).astype(np.float32)
        wave[:1_200] = 0
        rows = np.full(20, voice[0, 0], dtype=np.float32)
        return Synthesis(wave, Sounds(np.zeros((10, 512), dtype=np.float32), rows, rows), voice[0, :STYLE_SIZE])


def test_a_new_voice_leaves_the_span_of_its_parts_and_a_mixture_does_not() -> None:
    draw = np.random.default_rng(0)
    parts = [draw.normal(size=(510, 256)).astype(np.float32) for _ in NATURAL]
    spanned = np.stack([part[40] for part in parts])
    for speaker in (MIXED[0], MIXED[-1]):
        style = style_of(speaker, parts)
        assert np.array_equal(style, style_of(speaker, parts)) and style.dtype == np.float32
        weights = np.linalg.lstsq(spanned.T, style[40], rcond=None)[0]
        outside = np.linalg.norm(style[40] - spanned.T @ weights) / np.linalg.norm(style[40])
        assert outside > 0.5 if speaker.noise else outside < 1e-3
    assert MIXED[-1].noise and not MIXED[0].noise


def test_speech_is_divided_among_processes_and_resumed(tmp_path: Path) -> None:
    phonemes = planned_sentences()
    make_speech(tmp_path, Tones(), phonemes, share=0, shares=2, most=12)
    assert len(list((tmp_path / "clips").iterdir())) == len(list((tmp_path / "sources").iterdir())) == 6
    make_speech(tmp_path, Tones(), phonemes, share=1, shares=2, most=12)
    made = {path.stem for path in (tmp_path / "clips").iterdir()}
    assert made == {utterance.name for utterance in islice(planned(), 12)}
    missing = next(planned())
    (tmp_path / f"clips/{missing.name}.flac").unlink()
    again = Tones()
    make_speech(tmp_path, again, phonemes, share=0, shares=1, most=12)
    assert again.synthesised == [phonemes[missing.sentence]]
    source = Source.load(tmp_path / f"sources/{missing.name}.npz")
    assert source.start == pytest.approx(1_200 - 240, abs=8)  # where the tone begins, less the margin
    assert len(load_audio(tmp_path / f"clips/{missing.name}.flac", SAMPLE_RATE)) == pytest.approx(4_800 + 240, abs=20)


QUIET = Noise(
    other_voice=0, any_codes=0, one_voice=0, one_part=0, voice_codes=0, spelled=0, foreign=0, prosody_codes=0,
    content_codes=0, frames=0,
)  # fmt: skip


@pytest.mark.parametrize("noise", [replace(QUIET, other_voice=1, one_voice=1), replace(QUIET, any_codes=1)])
def test_a_pair_of_another_voice_changes_both_clips_alike(
    codec: VoiceCodec, clips: dict[str, Clip], noise: Noise
) -> None:
    pairs = PairSource(clips, codec, open_tokenizer(), seed=0, noise=noise)
    voices = set()
    for _ in range(8):
        codes = pairs.batch(1, speakers=["slt"])["audio_input_ids"][0]
        parts = _voice_of(codes)
        voices.add(tuple(parts))
        assert len(parts) == PARTS  # each has one code in the reference and the target
    assert len(voices) == 8


def test_pairs_of_one_part_have_its_codes_in_every_frame(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    noise = replace(QUIET, one_part=1, one_voice=1)
    pairs = PairSource(clips, codec, open_tokenizer(), seed=0, noise=noise)
    parts = [_voice_of(pairs.batch(1, speakers=["slt"])["audio_input_ids"][0]) for _ in range(12)]
    assert all(len(codes) == 1 for codes in parts)
    assert len({codes[0] // FIRST_CODES for codes in parts}) > 4


def test_one_part_is_for_the_first_steps() -> None:
    shares = [noise_of(step, 0.5).one_part for step in range(0, 1_000, 20)]
    assert shares[0] > 0.5 and shares[-1] == 0 and sorted(shares, reverse=True) == shares
    assert noise_of(10, 0.99) == CALIBRATION


def _voice_of(codes: torch.Tensor) -> list[int]:
    """The different codes of the first voice codebook, [F, K]."""
    first = codes[:, CONTENT]
    return sorted(first[first < 256].unique().tolist())


def test_noise_replaces_voice_codes_of_targets_only(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    noise = replace(QUIET, voice_codes=1)
    noisy = PairSource(clips, codec, open_tokenizer(), seed=3, noise=noise).batch(1, speakers=["rms"])
    clean = PairSource(clips, codec, open_tokenizer(), seed=3, noise=QUIET).batch(1, speakers=["rms"])
    changed = noisy["audio_input_ids"] != clean["audio_input_ids"]
    assert not changed[..., :CONTENT].any() and not changed[..., VOICE.stop :].any()
    assert not changed[clean["audio_input_ids"] >= 256].any()
    target = clean["audio_labels"][..., VOICE] != IGNORE  # a reference has no labels of voice codes
    assert not changed[..., VOICE][~target].any()
    assert changed[..., VOICE][target].float().mean() > 0.5
    first = clean["audio_input_ids"][..., CONTENT]
    assert (first // FIRST_CODES == noisy["audio_input_ids"][..., CONTENT] // FIRST_CODES)[first < 256].all()
    assert torch.equal(noisy["audio_labels"], clean["audio_labels"])
    trained = (clean["audio_labels"][..., :CONTENT] != IGNORE).sum(dim=1)[0]
    assert (trained > 1.3 * target.sum(dim=1)[0, 0]).all()  # the reference's content, too


def test_voice_codes_are_replaced_by_those_of_the_same_part(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    pairs = PairSource(clips, codec, open_tokenizer(), seed=3, noise=replace(QUIET, voice_codes=1))
    batch = pairs.batch(1, speakers=["rms"])
    voices = np.stack([codec.parts.codes(each.voice) for clip in clips.values() for each in clip.variants])
    for codebook in range(CODEBOOKS):
        labels = batch["audio_labels"][0, :, CONTENT + codebook]
        replaced = batch["audio_input_ids"][0, :, CONTENT + codebook][(labels != IGNORE) & (labels < 256)]
        for frame, code in enumerate(replaced.tolist()):
            assert code in voices[:, codebook, frame % PARTS]


def test_noise_replaces_prosody_of_targets(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    noisy = PairSource(clips, codec, open_tokenizer(), seed=3, noise=replace(QUIET, prosody_codes=0.5))
    clean = PairSource(clips, codec, open_tokenizer(), seed=3, noise=QUIET)
    before, after = (pairs.batch(1, speakers=["rms"]) for pairs in (clean, noisy))
    changed = before["audio_input_ids"] != after["audio_input_ids"]
    assert not changed[..., : VOICE.stop].any()
    target = before["audio_labels"][..., VOICE.stop :] != IGNORE
    assert not changed[..., VOICE.stop :][~target].any()
    assert 0.3 < changed[..., VOICE.stop :][target].float().mean() < 0.7


def test_frames_are_replaced_whole_and_others_kept(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    noisy = PairSource(clips, codec, open_tokenizer(), seed=3, noise=replace(QUIET, frames=0.3))
    clean = PairSource(clips, codec, open_tokenizer(), seed=3, noise=QUIET)
    before, after = (pairs.batch(1, speakers=["rms"])["audio_input_ids"][0] for pairs in (clean, noisy))
    is_code = (before < 256).all(dim=1)
    changed = (before != after)[is_code][:, :CONTENT].float().mean(dim=1)
    assert 0.1 < (changed > 0.9).float().mean() < 0.6
    assert ((changed >= 0.5) | (changed == 0)).all()  # a code may be replaced by itself
    assert torch.equal(before[:, CONTENT:], after[:, CONTENT:])


def test_words_are_spelled_and_references_have_texts_of_other_languages(
    codec: VoiceCodec, clips: dict[str, Clip]
) -> None:
    quiet, tokenizer = PairSource(clips, codec, open_tokenizer(), seed=3, noise=QUIET), open_tokenizer()
    plain = quiet.batch(1, speakers=["rms"])
    spelled = PairSource(clips, codec, tokenizer, seed=3, noise=replace(QUIET, spelled=1)).batch(1, speakers=["rms"])
    assert spelled["input_ids"].shape[1] > 1.2 * plain["input_ids"].shape[1]
    texts = [tokenizer.decode(batch["input_ids"][0], skip_special_tokens=True) for batch in (plain, spelled)]
    assert texts[0].split()[-3:] == texts[1].split()[-3:]
    foreign = PairSource(clips, codec, tokenizer, seed=3, noise=replace(QUIET, foreign=1)).batch(1, speakers=["rms"])
    assert (foreign["audio_labels"] != IGNORE).any(dim=2).sum() < 0.7 * (plain["audio_labels"] != IGNORE).any(
        dim=2
    ).sum()


def test_any_two_variants_may_be_a_pair(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    marked = {
        name: replace(
            clip,
            variants=[CodedVariant(np.full((8, 3), index), np.full(VOICE_SIZE, 0.1 * index)) for index in range(6)],
        )
        for name, clip in clips.items()
    }
    pairs = PairSource(marked, codec, open_tokenizer(), seed=0, noise=QUIET)
    chosen = {_pair(pairs.batch(1, speakers=["slt"])["audio_input_ids"][0, :, 0]) for _ in range(60)}
    assert len(chosen) > 20


def _pair(codes: torch.Tensor) -> tuple[int, int]:
    """The codes of the reference and of the target, each of which has the same in all its frames."""
    audio = codes[codes < 256].tolist()
    return audio[0], audio[-1]


def test_variants_change_what_they_name_and_the_first_nothing(speech: dict[str, list[Speech]]) -> None:
    clip = speech["rms"][1]
    rows = len(clip.sounds)
    same = varied(clip, VARIANTS[0])
    assert VARIANTS[0] == Variant() and len(set(VARIANTS)) == len(VARIANTS)
    assert all(np.array_equal(getattr(same, name), getattr(clip, name)) for name in ("sounds", "pitch", "energy"))
    delayed = varied(clip, Variant(delay=3))
    assert np.array_equal(delayed.sounds[3 : 3 + rows], clip.sounds) and len(delayed.sounds) % 4 == 0
    slower = varied(clip, Variant(rate=0.8))
    assert len(slower.sounds) == pytest.approx(rows / 0.8, abs=5)
    flat = varied(clip, Variant(intonation=0.5))
    is_voiced = clip.pitch > UNVOICED
    assert np.allclose(flat.pitch[is_voiced], 0.5 * clip.pitch[is_voiced])
    assert (flat.pitch[~is_voiced] == UNVOICED).all()
    assert all(np.array_equal(varied(clip, variant).voice, clip.voice) for variant in VARIANTS)


def test_lean_losses_and_gradients_are_those_of_the_model(codec: VoiceCodec, clips: dict[str, Clip]) -> None:
    pairs = PairSource(clips, codec, open_tokenizer(), seed=0)
    model = demo_model(1, demo_config(open_tokenizer(), codebooks=8))
    batch = pairs.batch(4, speakers=NAMES)
    lean = lean_losses(model, batch)
    lean.sum().backward()
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    model.zero_grad()
    output = model(**batch)
    output.loss.backward()
    assert lean.sum().item() == pytest.approx(output.loss.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and parameter.grad.abs().max() > 0:
            assert torch.allclose(gradients[name], parameter.grad, rtol=1e-3, atol=1e-6), name


def test_training_is_a_run_that_is_resumed(
    codec: VoiceCodec, clips: dict[str, Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_off = dict.fromkeys(("pitch", "cepstrum", "speech"), "off")
    monkeypatch.setattr(train, "ScorerChoice", partial(ScorerChoice, quality=(), **others_off))
    unseen = {"slt_low": "af_nova", "awb_high": "hm_psi"}
    renamed = {name: replace(clip, speaker=unseen.get(clip.speaker, clip.speaker)) for name, clip in clips.items()}
    (tmp_path / "clips").mkdir()
    for name, clip in renamed.items():
        soundfile.write(tmp_path / f"clips/{name}.flac", codec.decode(clip.variants[0].codes), SAMPLE_RATE)
    schedule = Schedule(minutes=1e-4, batch_size=2)
    pretrain(renamed, codec, tmp_path, schedule)
    model = pretrain(renamed, codec, tmp_path, schedule)
    (directory,) = (tmp_path / "training/runs").iterdir()
    run = open_run(directory)
    steps = [step for step, _ in run.scalars["eval/unseen"].points]
    assert len(steps) == 2 and 0 < steps[0] < steps[1]
    assert "voices/sim_margin/mean" in run.scalars
    for tag in ("eval/unseen", "eval/seen", "eval/gap", "train/codebook_0"):
        assert all(np.isfinite(value) for _, value in run.scalars[tag].points), tag
    last = torch.load(tmp_path / "training/last.pt", weights_only=True)
    assert last["steps"] == steps[1]
    assert all(torch.equal(value, last["model"][name]) for name, value in model.state_dict().items())


def test_training_begins_with_weights_that_are_given(codec: VoiceCodec, clips: dict[str, Clip], tmp_path: Path) -> None:
    renamed = {name: replace(clip, speaker=clip.speaker.replace("slt_low", "af_nova")) for name, clip in clips.items()}
    (tmp_path / "clips").mkdir()
    for name, clip in renamed.items():
        soundfile.write(tmp_path / f"clips/{name}.flac", codec.decode(clip.variants[0].codes), SAMPLE_RATE)
    given = demo_model(7, demo_config(open_tokenizer(), codebooks=8, heads=HEADS))
    given.half().save_pretrained(tmp_path / "given")
    schedule = Schedule(minutes=1e-9, batch_size=2, weights=tmp_path / "given")
    model = pretrain(renamed, codec, tmp_path, schedule)
    for name, value in given.float().state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_the_codec_of_a_directory_is_kept_when_clips_are_added(tmp_path: Path) -> None:
    waves = phrases()
    for folder in ("clips", "sources"):
        (tmp_path / folder).mkdir()

    def add(name: str, wave: npt.NDArray[np.float32]) -> None:
        soundfile.write(tmp_path / f"clips/{name}.flac", wave, SAMPLE_RATE)
        sounds = len(wave) // 600 + 1
        draw = np.random.default_rng(len(wave))
        Source(
            content=draw.normal(size=(5, 512)).astype(np.float16),
            places=np.arange(sounds, dtype=np.int16) % 5,
            pitch=draw.uniform(80, 200, 2 * sounds).astype(np.float32),
            energy=draw.normal(size=2 * sounds).astype(np.float32),
            style=draw.normal(size=STYLE_SIZE).astype(np.float32),
            start=0,
        ).save(tmp_path / f"sources/{name}.npz")

    for name in NAMES:
        for number in range(3):
            add(f"{name}_{number:03d}_0007", np.concatenate(waves[name][number : number + 2]))
    first = fitted_codec(tmp_path, sound_steps=2, spectrum_steps=2)
    add("slt_009_0011", waves["slt"][4])
    assert fitted_codec(tmp_path).identity == first.identity
    coded = coded_clips(tmp_path, first)
    assert len(coded) == 3 * len(NAMES) + 1
    assert len(coded["slt_009_0011"].variants) == len(VARIANTS)
    wave = load_audio(tmp_path / "clips/slt_009_0011.flac", SAMPLE_RATE)
    codes, searched = coded["slt_009_0011"].variants[0].codes, first.encode(wave)
    is_voice = np.isin(np.arange(len(codes)), np.arange(VOICE.start, VOICE.stop))  # of the style that it was made of
    assert np.array_equal(codes[~is_voice], searched[~is_voice])
    assert not np.array_equal(codes[VOICE], searched[VOICE])
    again = coded_clips(tmp_path, first)["slt_009_0011"].variants
    assert all(
        np.array_equal(one.codes, two.codes) for one, two in zip(again, coded["slt_009_0011"].variants, strict=True)
    )
    assert coded["slt_009_0011"].text == planned_sentences()[11]
    assert coded["slt_low_000_0007"].speaker == "slt_low"


def test_a_directory_without_clips_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codec", str(tmp_path)]) == 2
    assert "Run the step `speech` first" in capsys.readouterr().err
    with pytest.raises(DataError):
        fitted_codec(tmp_path)
