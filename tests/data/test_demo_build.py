"""The built demo: read by the ordinary loader, held-out sentences held out, the same every time."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import AutoTokenizer, HiggsAudioV2ForConditionalGeneration

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import DataError
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.demo.composed.phrases import HELD_OUT, SENTENCES, SLOTS, TRAINED
from tracker_logging.demo.composed.recipe import DEMO_RECIPE, DemoRecipe
from tracker_logging.demo.composed.speakers import SPEAKERS, VOICES
from tracker_logging.demo.composed.world_codec import WorldCodec
from tracker_logging.demo.model import demo_model
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator

MEBIBYTE = 2**20


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_voice_clips_are_complete_small_mono_and_whole_frames() -> None:
    clips = sorted(VOICES.glob("*.flac"))
    assert len(clips) == len(SPEAKERS) * sum(len(slot) for slot in SLOTS)
    assert sum(path.stat().st_size for path in clips) < 3 * MEBIBYTE
    for path in clips:
        header = soundfile.info(path)
        assert (header.samplerate, header.channels, header.frames % 960) == (24_000, 1, 0)


def test_held_out_sentences_are_not_trained_but_all_their_phrase_pairs_are() -> None:
    assert set(HELD_OUT).isdisjoint(TRAINED)
    assert set(HELD_OUT) | set(TRAINED) == set(SENTENCES)
    for first in range(4):
        for second in range(first + 1, 4):
            assert len({(sentence[first], sentence[second]) for sentence in TRAINED}) == 25


def test_no_evaluation_sentence_is_trained_for_any_speaker(demo: DemoPaths) -> None:
    trained = {text for one in read_samples(demo.train) for text in (one.reference_text, one.target_text)}
    evaluated = [text for one in read_samples(demo.eval) for text in (one.reference_text, one.target_text)]
    assert trained.isdisjoint(evaluated)
    assert len(set(evaluated)) == len(evaluated)


def test_reference_and_target_are_different_sentences_of_one_speaker(demo: DemoPaths) -> None:
    for sample in read_samples(demo.train) + read_samples(demo.eval):
        assert sample.reference_text != sample.target_text
        for path in (sample.reference_audio, sample.target_audio):
            assert path is not None
            assert path.stem.rsplit("_", 1)[0] == sample.speaker


def test_the_first_twelve_evaluation_samples_contain_every_speaker_twice(demo: DemoPaths) -> None:
    speakers = [sample.speaker for sample in read_samples(demo.eval)[:12]]
    assert sorted(speakers) == sorted([speaker.name for speaker in SPEAKERS] * 2)


def test_the_ordinary_processor_and_model_train_on_it_without_encoding_anything(demo: DemoPaths) -> None:
    samples = read_samples(demo.train)
    processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
    assert isinstance(processor.codes, CodeCache)
    clips = [path for sample in samples for path in (sample.reference_audio, sample.target_audio) if path]
    assert processor.codes.prepare(clips).encoded == 0
    dataset = VoiceCloningDataset(samples, processor)
    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(demo.model)
    loss = model(**VoiceCloningCollator.of(processor)([dataset[0], dataset[1]])).loss
    assert loss.item() == pytest.approx(4 * np.log(258), rel=0.2)  # chance, at random weights
    assert 4.0e6 < sum(weight.numel() for weight in model.parameters()) < 5.0e6


def test_the_codes_of_a_composed_clip_are_almost_those_of_its_file(demo: DemoPaths, tmp_path: Path) -> None:
    codec = WorldCodec.load(demo.codec)
    sample = read_samples(demo.eval)[0]
    assert sample.target_audio is not None
    composed = CodeCache(demo.codes, codec)(sample.target_audio)
    encoded = CodeCache(tmp_path, codec)(sample.target_audio)
    assert composed.shape == encoded.shape
    assert (composed == encoded).mean() > 0.85


def test_the_tokenizer_decodes_what_it_encoded(demo: DemoPaths) -> None:
    tokenizer = AutoTokenizer.from_pretrained(demo.model)
    for sample in read_samples(demo.eval):
        ids = tokenizer.encode(sample.target_text, add_special_tokens=False)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids).replace(" .", ".") == sample.target_text


def test_a_finished_build_is_reused_and_leaves_no_other_files(demo: DemoPaths, small_recipe: DemoRecipe) -> None:
    before = demo.train.stat().st_mtime_ns
    build_demo(demo.directory, recipe=small_recipe)
    assert demo.train.stat().st_mtime_ns == before
    beside = {path.name for path in demo.directory.parent.iterdir()}
    assert beside == {demo.directory.name, f".{demo.directory.name}.lock"}


def test_without_a_directory_the_demo_is_shared_by_all_trainings_of_the_user(
    demo: DemoPaths, tmp_path: Path, small_recipe: DemoRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        "tracker_logging.demo.composed.build._build", lambda paths, recipe: paths.train.write_text("[]")
    )
    first = build_demo(recipe=small_recipe)
    first.train.write_text("[1]")
    assert build_demo(recipe=small_recipe).train.read_text() == "[1]"
    assert build_demo(recipe=DEMO_RECIPE).directory != first.directory
    assert {path.parent for path in (first.directory,)} == {tmp_path / "tracker_logging"}


def test_a_cache_that_cannot_be_made_is_refused_with_the_fix(
    tmp_path: Path, small_recipe: DemoRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="choose another folder with XDG_CACHE_HOME"):
        build_demo(recipe=small_recipe)


def test_a_directory_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="contains files other than the demo"):
        build_demo(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.slow
def test_an_older_demo_is_replaced_and_two_builds_are_equal(
    demo: DemoPaths, tmp_path: Path, small_recipe: DemoRecipe
) -> None:
    expected = digests(demo.directory)
    older = tmp_path / "demo"
    shutil.copytree(demo.directory, older)
    (older / "finished").write_text("another fingerprint")
    (older / "left_over").write_text("")
    build_demo(older, recipe=small_recipe)
    assert digests(older) == expected


def test_the_model_is_the_same_for_the_same_seed() -> None:
    first, again, other = (demo_model(seed).audio_lm_head.weight for seed in (0, 0, 1))
    assert bool((first == again).all())
    assert not bool((first == other).all())


def test_the_recipe_makes_a_new_pair_for_every_row_of_every_step() -> None:
    rows = DEMO_RECIPE.max_steps * DEMO_RECIPE.per_device_train_batch_size
    assert DEMO_RECIPE.sentences_per_speaker**2 * len(SPEAKERS) > rows
    assert DEMO_RECIPE.sentences_per_speaker <= len(TRAINED)
