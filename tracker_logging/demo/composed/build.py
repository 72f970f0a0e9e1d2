"""Builds the small demo in a directory: model, codec, composed clips, and ChatML files for the ordinary loader.

Guarantees
- Two builds on one machine are identical byte for byte. A finished build is reused; an unfinished one never is.
- No sentence of `eval.json`, neither reference nor target, is in `train.json`, from any speaker.
- The codes of a composed sentence are the concatenated codes of its phrases; they are written to the code cache.
  (Encoding the composed file gives the same codes except for a few frames at the joins.)

    paths = build_demo()                          # in the user's cache directory
    paths.model, paths.codec, paths.train, paths.eval, paths.codes
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from tracker_logging.data.audio import load_audio
from tracker_logging.data.audio_sources import user_cache
from tracker_logging.data.codes import CodeCache, Codes
from tracker_logging.data.formats.conversation import INSTRUCTION
from tracker_logging.data.sample import DataError, shown
from tracker_logging.demo.composed.phrases import (
    HELD_OUT,
    SLOTS,
    SYSTEM_TEXT,
    TRAINED,
    Sentence,
    clip_name,
    sentence_text,
)
from tracker_logging.demo.composed.recipe import DEMO_RECIPE, DemoRecipe
from tracker_logging.demo.composed.speakers import SAMPLE_RATE, SPEAKERS, VOICES
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.demo.composed.world_codec import WorldCodec
from tracker_logging.demo.model import demo_model
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.demo.world_features import analyse

_FINISHED = "finished"
_MODEL_SEED = 0

Phrase = tuple[str, int, int]  # speaker, slot, choice


def build_demo(directory: Path | None = None, *, recipe: DemoRecipe = DEMO_RECIPE) -> DemoPaths:
    """The demo in `directory`, built now unless it exists already. About 13 CPU-seconds and 260 MB.

    `directory` None: below `$XDG_CACHE_HOME/tracker_logging` or `~/.cache/tracker_logging`, under a name that is the
    hash of all that it is made of, so that every training of a machine shares it. Several processes may call it at
    once: one builds, the others wait for it. An older demo there is replaced. Raises `DataError` if `directory`
    contains anything else, or if it cannot be written.
    """
    fingerprint = _fingerprint(recipe)
    if directory is None:
        directory = user_cache() / f"demo-{fingerprint[:12]}"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{shown(directory.parent)}: cannot be made ({error.strerror}); choose another folder with XDG_CACHE_HOME."
        ) from error
    with FileLock(directory.parent / f".{directory.name}.lock"):
        if not _is_finished(directory, fingerprint):
            _refuse_foreign(directory)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
            try:
                _build(DemoPaths(unfinished), recipe)
                (unfinished / _FINISHED).write_text(fingerprint)
                shutil.rmtree(directory, ignore_errors=True)
                unfinished.replace(directory)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    return DemoPaths(directory)


def _is_finished(directory: Path, fingerprint: str) -> bool:
    finished = directory / _FINISHED
    return finished.is_file() and finished.read_text() == fingerprint


def _refuse_foreign(directory: Path) -> None:
    if directory.is_dir() and any(directory.iterdir()) and not (directory / _FINISHED).is_file():
        raise DataError(f"{shown(directory)}: contains files other than the demo. Name an empty or a new directory.")


def _build(paths: DemoPaths, recipe: DemoRecipe) -> None:
    waves = {phrase: load_audio(VOICES / clip_name(*phrase), SAMPLE_RATE) for phrase in _phrases()}
    analysed = {phrase: analyse(wave) for phrase, wave in waves.items()}
    codec = WorldCodec.fit(list(analysed.values()))
    codec.save(paths.codec)
    demo_model(_MODEL_SEED).save_pretrained(paths.model)
    demo_tokenizer().save_pretrained(paths.model)
    codes = {phrase: codec.quantised(features) for phrase, features in analysed.items()}
    composer = _Composer(paths, waves, codes, CodeCache(paths.codes, codec))
    choice = random.Random(recipe.seed)
    train = [pair for speaker in SPEAKERS for pair in _training_pairs(speaker.name, recipe, choice)]
    choice.shuffle(train)
    composer.write(paths.train, train)
    composer.write(paths.eval, _evaluation_pairs(recipe, choice))


def _phrases() -> list[Phrase]:
    return [
        (speaker.name, slot, choice)
        for speaker in SPEAKERS
        for slot, phrases in enumerate(SLOTS)
        for choice in range(len(phrases))
    ]


def _fingerprint(recipe: DemoRecipe) -> str:
    """A hash of the voices, the sentences, the recipe, and the code that makes the demo of them."""
    digest = hashlib.sha256(repr((recipe, SLOTS, SPEAKERS, SYSTEM_TEXT)).encode())
    here = Path(__file__).parent
    for source in sorted((*here.glob("*.py"), *here.parent.glob("*.py"))):
        digest.update(source.read_bytes())
    for phrase in _phrases():
        digest.update((VOICES / clip_name(*phrase)).read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Pair:
    """One sample: the speaker, the reference sentence and the target sentence."""

    speaker: str
    reference: Sentence
    target: Sentence


def _training_pairs(speaker: str, recipe: DemoRecipe, choice: random.Random) -> list[Pair]:
    """This speaker's share of the pairs that the recipe's steps consume, each sentence about equally often."""
    sentences = choice.sample(TRAINED, recipe.sentences_per_speaker)
    number = -(-recipe.max_steps * recipe.per_device_train_batch_size // len(SPEAKERS))
    pairs: list[Pair] = []
    while len(pairs) < number:
        references = choice.sample(sentences, len(sentences))
        pairs += [
            Pair(speaker, reference, target)
            for reference, target in zip(references, references[1:] + references[:1], strict=True)
        ]
    return pairs[:number]


def _evaluation_pairs(recipe: DemoRecipe, choice: random.Random) -> list[Pair]:
    """Held-out sentences, none twice, speakers in turn, so that the first few samples contain several voices."""
    sentences = choice.sample(HELD_OUT, 2 * recipe.eval_pairs_per_speaker * len(SPEAKERS))
    halves = zip(sentences[::2], sentences[1::2], strict=True)
    return [
        Pair(SPEAKERS[index % len(SPEAKERS)].name, reference, target)
        for index, (reference, target) in enumerate(halves)
    ]


@dataclass(frozen=True, slots=True)
class _Composer:
    """Composes sentences from phrases, each once, and writes samples of them."""

    paths: DemoPaths
    waves: dict[Phrase, npt.NDArray[np.float32]]
    codes: dict[Phrase, Codes]
    cache: CodeCache

    def write(self, path: Path, pairs: Sequence[Pair]) -> None:
        items = [self.item(f"{path.stem}-{index:04d}", pair) for index, pair in enumerate(pairs)]
        path.write_text(json.dumps(items, indent=1))

    def clip(self, speaker: str, sentence: Sentence) -> str:
        """Write the sentence as a file and its codes to the cache. Returns the path below the demo's directory."""
        import soundfile

        name = f"clips/{speaker}_{''.join(map(str, sentence))}.flac"
        path = self.paths.directory / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            phrases = [(speaker, slot, choice) for slot, choice in enumerate(sentence)]
            soundfile.write(path, np.concatenate([self.waves[phrase] for phrase in phrases]), SAMPLE_RATE)
            self.cache.put(path, np.concatenate([self.codes[phrase] for phrase in phrases], axis=1))
        return name

    def item(self, sample_id: str, pair: Pair) -> dict[str, Any]:
        """A ChatML sample (F1)."""
        reference, target = sentence_text(pair.reference), sentence_text(pair.target)
        user = [
            {"type": "text", "text": reference},
            {"type": "audio", "audio_url": self.clip(pair.speaker, pair.reference)},
            {"type": "text", "text": f"{INSTRUCTION} {target}"},
        ]
        assistant = [
            {"type": "text", "text": target},
            {"type": "audio", "audio_url": self.clip(pair.speaker, pair.target)},
        ]
        return {
            "messages": [
                {"role": "system", "content": SYSTEM_TEXT},
                {"role": "user", "content": user},
                {"role": "assistant", "content": assistant},
            ],
            "speaker": pair.speaker,
            "language": "en",
            "misc": {"sample_id": sample_id, "ref_transcript": reference, "target_transcript": target},
        }
