"""Does a model clone voices? Measured without the scorers of this library: Resemblyzer, faster-whisper and jiwer.

    pip install resemblyzer faster-whisper jiwer
    python benchmarks/voice_cloning.py CLIPS --whisper DIRECTORY --model base=DIRECTORY --model fine-tuned=DIRECTORY

CLIPS are those of `python -m tracker_logging.demo.pretrain speech`: each natural voice with seven sentences or more is
asked for three of them after another one as its reference. Printed for each model and group of voices, and for the
recordings and their codec copies, as the table of docs/performance.md and of the model's card: how often the nearest of
all references is the voice's own, how often it is where a voice is the mean of its reference and three more clips, the
similarity to the reference and to those of the others, and the word error rate over the corpus.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tracker_logging.data.codes import CodeCache
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.pretrain.pairs import SYSTEM_TEXT
from tracker_logging.demo.pretrain.speech import planned_sentences
from tracker_logging.demo.pretrain.voices import NATURAL, NEW_SPEAKERS, UNSEEN
from tracker_logging.demo.pretrained_demo import pretrained_demo
from tracker_logging.families import adapter_for
from tracker_logging.families.base import SamplingSettings
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.generation import generate
from tracker_logging.voices.prompt import build_prompt

SENTENCES, MORE_REFERENCES, BATCH, RATE = 3, 3, 16, 24_000
GROUPS = {
    **{voice.name: "pretrained" for voice in NATURAL},
    **dict.fromkeys(NEW_SPEAKERS, "new"),
    **dict.fromkeys(UNSEEN, "unseen"),
}

Wave = npt.NDArray[np.float32]
HEAD = """| clips | voices | right | right, by four clips | similarity | to others | word errors |
|---|---|---|---|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Asked:
    """One sentence of one voice."""

    voice: str
    text: str
    clip: Path
    reference: Path
    reference_text: str
    more_references: tuple[Path, ...]

    def sample(self) -> VoiceSample:
        return VoiceSample(
            sample_id=self.clip.stem,
            reference_text=self.reference_text,
            reference_audio=self.reference,
            target_text=self.text,
            target_audio=self.clip,
            speaker=self.voice,
            system_text=SYSTEM_TEXT,
        )


def asked_of(clips: Path) -> list[Asked]:
    sentences = planned_sentences()
    asked = []
    for voice in GROUPS:
        texts = {sentences[int(path.stem.rsplit("_", 1)[1])]: path for path in sorted(clips.glob(f"{voice}_*.flac"))}
        if len(texts) > SENTENCES + MORE_REFERENCES:
            (reference_text, reference), *others = texts.items()
            more = tuple(path for _, path in others[SENTENCES : SENTENCES + MORE_REFERENCES])
            asked += [Asked(voice, text, path, reference, reference_text, more) for text, path in others[:SENTENCES]]
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--whisper", required=True, help="a directory of faster-whisper")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIRECTORY")
    parser.add_argument("--temperature", type=float, default=0.2)
    args = parser.parse_args()
    asked = asked_of(args.clips)
    scorers = Scorers(args.whisper, asked)
    print(
        f"{len({each.voice for each in asked})} voices, {len(asked)} sentences; nearest of all references\n\n{HEAD}",
        flush=True,
    )
    paths = pretrained_demo()
    processor = SpeechProcessor.from_pretrained(str(paths.model), str(paths.codec), cache_directory=paths.codes)
    codes = CodeCache(paths.codes, processor.codec)
    scorers.report("recordings", [recorded(each.clip) for each in asked])
    scorers.report("codec copies", [processor.codec.decode(codes(each.clip)) for each in asked])
    for model in args.model:
        name, _, directory = model.partition("=")
        scorers.report(name, generated(directory, processor, asked, args.temperature))


def recorded(path: Path) -> Wave:
    import soundfile

    wave: Wave = soundfile.read(path, dtype="float32")[0]
    return wave


def generated(directory: str, processor: SpeechProcessor, asked: list[Asked], temperature: float) -> list[Wave]:
    from transformers import HiggsAudioV2ForConditionalGeneration

    model = HiggsAudioV2ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    adapter, sampling = adapter_for(model), SamplingSettings(temperature=temperature)
    prompts = [build_prompt(each.sample(), processor, sampling, seed=0) for each in asked]
    waves: list[Wave] = []
    for result in generate(adapter, prompts, sampling, batch_size=BATCH):
        assert result.codes is not None, result.error
        waves.append(processor.codec.decode(result.codes))
    return waves


class Scorers:
    """Embeddings and words, of other packages than this library's."""

    def __init__(self, whisper: str, asked: list[Asked]) -> None:
        from faster_whisper import WhisperModel
        from resemblyzer import VoiceEncoder

        self._encoder: Any = VoiceEncoder("cpu", verbose=False)
        self._whisper: Any = WhisperModel(whisper, device="cpu", compute_type="int8", cpu_threads=1)
        self._asked = asked
        of_voices = {each.voice: (each.reference, *each.more_references) for each in asked}
        self._voices = list(of_voices)
        embeddings = np.array(
            [[self._embedding(recorded(clip)) for clip in references] for references in of_voices.values()]
        )
        means = embeddings.mean(axis=1)
        self._references = embeddings[:, 0]  # [voices, 256]
        self._means = means / np.linalg.norm(means, axis=1, keepdims=True)

    def report(self, name: str, waves: list[Wave]) -> None:
        """Print a row for each group."""
        import jiwer

        rows: Mapping[str, list[tuple[bool, bool, float, float, str, str]]] = defaultdict(list)
        for each, wave in zip(self._asked, waves, strict=True):
            place, embedding = self._voices.index(each.voice), self._embedding(wave)
            similarity = self._references @ embedding
            others = np.delete(similarity, place).mean()
            words = plain(self._words(wave)) or "-"
            right = bool(similarity.argmax() == place), bool((self._means @ embedding).argmax() == place)
            rows[GROUPS[each.voice]].append((*right, similarity[place], others, plain(each.text), words))
        for number, (group, values) in enumerate(rows.items()):
            right_of_one, right_of_means, similar, others = (
                np.mean([value[column] for value in values]) for column in range(4)
            )
            errors = jiwer.wer([value[4] for value in values], [value[5] for value in values])
            voices = len({each.voice for each in self._asked if GROUPS[each.voice] == group})
            print(
                f"|{'' if number else f' {name}'} | {voices} {group} | {100 * right_of_one:.0f} % | "
                f"{100 * right_of_means:.0f} % | {similar:.3f} | {others:.3f} | {errors:.2f} |",
                flush=True,
            )

    def _embedding(self, wave: Wave) -> npt.NDArray[np.float32]:
        from resemblyzer import preprocess_wav

        prepared = preprocess_wav(wave, source_sr=RATE)
        embedding: npt.NDArray[np.float32] = (
            self._encoder.embed_utterance(prepared) if len(prepared) > 1_600 else np.zeros(256, dtype=np.float32)
        )
        return embedding

    def _words(self, wave: Wave) -> str:
        import librosa

        segments, _ = self._whisper.transcribe(
            librosa.resample(wave, orig_sr=RATE, target_sr=16_000), language="en", beam_size=1
        )
        return " ".join(segment.text for segment in segments)


def plain(text: str) -> str:
    """Lower-case words, as they are compared."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


if __name__ == "__main__":
    main()
