"""Writes what the repository keeps of a pretraining: the model in float16, its codec, and the demo's clips, their codes
and texts.

    export(directory)       # model, codec, clips, codes, train.json, eval.json, prompts.json in `pretrained.DIRECTORY`

Guarantees
- No sentence of an evaluation sample or a prompt, neither reference nor target, is in `train.json`.
- Nothing of a speaker or a sentence that is evaluated, or of a new speaker, is in the data of pretraining.
- `train.json` also has pairs of pretrained speakers, so that fine-tuning forgets less of what the model can do.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import torch

from tracker_logging.data.audio import load_audio
from tracker_logging.data.codes import CodeCache
from tracker_logging.data.formats.conversation import INSTRUCTION
from tracker_logging.demo.kokoro import SAMPLE_RATE
from tracker_logging.demo.model import HEADS, demo_config, demo_model
from tracker_logging.demo.open_tokenizer import open_tokenizer
from tracker_logging.demo.pretrain.material import each_of, fitted_codec
from tracker_logging.demo.pretrain.pairs import SYSTEM_TEXT
from tracker_logging.demo.pretrain.real import RECORDINGS
from tracker_logging.demo.pretrain.speech import TRAINED_SENTENCES, planned_sentences
from tracker_logging.demo.pretrain.voices import NATURAL, NEW_SPEAKERS, UNSEEN
from tracker_logging.demo.pretrained_demo import CODES, DIRECTORY
from tracker_logging.demo.pretrained_demo import REAL as REAL_GROUP
from tracker_logging.demo.pretrained_demo import TRAINED as TRAINED_GROUP
from tracker_logging.demo.pretrained_demo import UNSEEN as UNSEEN_GROUP
from tracker_logging.demo.voice_codec import VoiceCodec

TRAINED_CLIPS = 24  # of each new speaker
EVALUATED_PAIRS = 2  # of each new speaker
REFERENCES = 3  # of each trained clip of a new speaker
REHEARSED = NATURAL[::2]  # pretrained speakers
REHEARSED_CLIPS = 4  # of each

Pair = tuple["KeptClip", "KeptClip"]


@dataclass(frozen=True, slots=True)
class KeptClip:
    """A clip of the demo: its text and its file, or None where it is a text alone."""

    speaker: str
    text: str
    source: Path | None

    @property
    def name(self) -> str | None:
        """Of its file below the demo's directory."""
        return None if self.source is None else f"clips/{self.source.stem}.ogg"


def export(directory: Path, target: Path = DIRECTORY) -> None:
    """`directory`: of a pretraining, with its checkpoint, `codec/`, `clips/` and `real/`."""
    codec = fitted_codec(directory)
    codec.save(target / "codec")
    _write_model(directory, target / "model", codebooks=codec.num_codebooks)
    unseen = [(clips[0], clips[1]) for clips in (_clips_of(directory / "clips", name) for name in UNSEEN)]
    trained, evaluated = _new_speakers(directory / "clips", {clip.text for pair in unseen for clip in pair})
    used = {clip.text for pair in (*trained, *evaluated, *unseen) for clip in pair}
    real = _real_speakers(directory / "real", used)
    trained += _rehearsed(directory / "clips")
    random.Random(2).shuffle(trained)
    pairs = (*trained, *evaluated, *unseen, *real)
    clips = {clip.name: clip.source for pair in pairs for clip in pair if clip.name and clip.source}
    for other in {f"clips/{path.name}" for path in (target / "clips").glob("*")} - clips.keys():
        (target / other).unlink()
    for name, source in clips.items():
        if not (target / name).exists():
            _write_clip(source, target / name)
    _write_codes(target, codec)
    _write_samples(target / "train.json", [(pair, None) for pair in trained])
    evaluation = [(pair, TRAINED_GROUP) for pair in evaluated] + [(pair, UNSEEN_GROUP) for pair in unseen]
    _write_samples(target / "eval.json", evaluation)
    _write_samples(target / "prompts.json", [*evaluation, *((pair, REAL_GROUP) for pair in real)])


def _write_codes(target: Path, codec: VoiceCodec) -> None:
    """Of all clips, since to encode them takes a second each."""
    codes = CodeCache(target / CODES, codec)
    shutil.rmtree(codes.directory, ignore_errors=True)
    each_of(codes, sorted((target / "clips").iterdir()))
    for path in codes.directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _write_model(directory: Path, target: Path, *, codebooks: int) -> None:
    tokenizer = open_tokenizer()
    model = demo_model(0, demo_config(tokenizer, codebooks=codebooks, heads=HEADS))
    model.load_state_dict(torch.load(directory / "training/last.pt", weights_only=True)["model"])
    model.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    for path in target.iterdir():
        path.chmod(0o644)


def _new_speakers(clips: Path, unseen: set[str]) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on, without the sentences `unseen`, and pairs of other sentences."""
    choice = random.Random(0)
    of_speaker = {name: _clips_of(clips, name) for name in NEW_SPEAKERS}
    count = 2 * EVALUATED_PAIRS
    evaluated = [
        (of_speaker[name][2 * number], of_speaker[name][2 * number + 1])
        for number in range(EVALUATED_PAIRS)
        for name in NEW_SPEAKERS
    ]
    held_out = unseen | {clip.text for pair in evaluated for clip in pair}
    trained: list[Pair] = []
    for name in NEW_SPEAKERS:
        kept = [clip for clip in of_speaker[name][count:] if clip.text not in held_out][:TRAINED_CLIPS]
        for target in kept:
            others = [clip for clip in kept if clip is not target]
            trained += [(reference, target) for reference in choice.sample(others, min(REFERENCES, len(others)))]
    return trained, evaluated


def _rehearsed(clips: Path) -> list[Pair]:
    """All pairs of a few clips of each of `REHEARSED`."""
    of_voices = (_clips_of(clips, voice.name)[:REHEARSED_CLIPS] for voice in REHEARSED)
    return [pair for of_voice in of_voices for pair in permutations(of_voice, 2)]


def _real_speakers(directory: Path, used: set[str]) -> list[Pair]:
    """Each recording with a sentence that no other clip of the demo has."""
    free = [text for text in planned_sentences()[TRAINED_SENTENCES:] if text not in used]
    sentences = random.Random(1).sample(free, len(RECORDINGS))
    return [
        (
            KeptClip(recording.speaker, recording.text, directory / f"{recording.speaker}_{number % 2}.flac"),
            KeptClip(recording.speaker, sentence, None),
        )
        for number, (recording, sentence) in enumerate(zip(RECORDINGS, sentences, strict=True))
    ]


def _clips_of(clips: Path, speaker: str) -> list[KeptClip]:
    """Of different sentences, in the order of their numbers."""
    sentences = planned_sentences()
    texts = {int(path.stem.rsplit("_", 1)[1]): path for path in sorted(clips.glob(f"{speaker}_*.flac"), reverse=True)}
    return [KeptClip(speaker, sentences[number], path) for number, path in reversed(texts.items())]


def _write_clip(source: Path, path: Path) -> None:
    import soundfile

    path.parent.mkdir(exist_ok=True)
    soundfile.write(
        path,
        load_audio(source, SAMPLE_RATE),
        SAMPLE_RATE,
        format="OGG",
        subtype="VORBIS",
        compression_level=0.6,
    )


def _write_samples(path: Path, pairs: Sequence[tuple[Pair, str | None]]) -> None:
    """ChatML (F1), a sample a line."""
    lines = [json.dumps(_sample(f"{path.stem}-{index:03d}", *pair)) for index, pair in enumerate(pairs)]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _sample(sample_id: str, pair: Pair, group: str | None) -> dict[str, Any]:
    reference, target = pair
    return {
        "messages": [
            {"role": "system", "content": SYSTEM_TEXT},
            {"role": "user", "content": [*_parts(reference), {"type": "text", "text": f"{INSTRUCTION} {target.text}"}]},
            {"role": "assistant", "content": list(_parts(target))},
        ],
        "speaker": target.speaker,
        "misc": {"sample_id": sample_id, "ref_transcript": reference.text, "target_transcript": target.text}
        | ({} if group is None else {"group": group}),
    }


def _parts(clip: KeptClip) -> Iterator[dict[str, str]]:
    yield {"type": "text", "text": clip.text}
    if clip.name is not None:
        yield {"type": "audio", "audio_url": clip.name}
