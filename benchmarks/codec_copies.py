"""How much speech tells the voices of codec copies apart, and how much those of recordings?

    pip install resemblyzer
    python benchmarks/codec_copies.py CLIPS

CLIPS are those of `python -m tracker_logging.demo.pretrain speech`, of which the first eleven of each natural voice are
used. In each of 200 random splits some recordings of a voice make a mean embedding, and some of the others, or their
copies, a second one. It is right if the nearest of all first ones is that of its voice. Printed for each number of
clips, as the table of docs/performance.md: the share that is right with its 95 % interval over voices, and the
similarity to the own voice and to the others, for Resemblyzer and for the speaker encoder of this library.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from voice_cloning import GROUPS, RATE, recorded

from tracker_logging.data.codes import CodeCache
from tracker_logging.demo.pretrained_demo import pretrained_demo
from tracker_logging.demo.voice_codec import VoiceCodec
from tracker_logging.voices.scorers.speaker import GE2ESpeakerEncoder

VOICES = tuple(GROUPS)
CLIPS, SPLITS, RESAMPLES = 11, 200, 2_000
SIDES = ((1, 1), (1, 4), (2, 2), (3, 4), (5, 5))  # clips that are tested, recordings of a voice
HEAD = """| clips | of a voice | encoder | recordings | codec copies | similarity, of both | to others |
|---|---|---|---|---|---|---|"""

Values = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    directory = parser.parse_args().clips
    paths = pretrained_demo()
    codec = VoiceCodec.load(paths.codec)
    codes = CodeCache(paths.codes, codec)
    clips = {voice: clips_of(directory, voice) for voice in VOICES}
    kinds = {
        "recordings": {clip: recorded(clip) for of_voice in clips.values() for clip in of_voice},
        "copies": {clip: codec.decode(codes(clip)) for of_voice in clips.values() for clip in of_voice},
    }
    seconds = np.mean([len(wave) / RATE for wave in kinds["recordings"].values()])
    print(f"{len(VOICES)} voices, {CLIPS} clips of {seconds:.1f} s, {SPLITS} splits\n\n{HEAD}", flush=True)
    for encoder, embed in (("Resemblyzer", by_resemblyzer()), ("this library's", by_ge2e())):
        recordings, copies = (
            np.array([[embed(waves[clip]) for clip in of_voice] for of_voice in clips.values()])
            for waves in kinds.values()
        )
        for tested, known in SIDES:
            results = [similarities(recordings, other, tested, known) for other in (recordings, copies)]
            right = " | ".join(share(each) for each in results)
            own, others = (", ".join(f"{mean(each):.3f}" for each in results) for mean in (to_own, to_others))
            print(f"| {tested} | {known} | {encoder} | {right} | {own} | {others} |", flush=True)


def clips_of(directory: Path, voice: str) -> list[Path]:
    clips = sorted(directory.glob(f"{voice}_*.flac"))[:CLIPS]
    if len(clips) < CLIPS:
        raise SystemExit(f"{directory}: {len(clips)} clips of {voice}, {CLIPS} are needed")
    return clips


def similarities(recordings: Values, tested_clips: Values, tested: int, known: int) -> Values:
    """Two [voices, clips, 256] -> [splits, voices, voices]: means of `tested` clips with those of `known` others."""
    random, splits = np.random.default_rng(0), []
    for _ in range(SPLITS):
        order = random.permuted(np.tile(np.arange(CLIPS), (len(VOICES), 1)), axis=1)[..., None]
        references = unit(np.take_along_axis(recordings, order[:, :known], axis=1).mean(axis=1))
        means = unit(np.take_along_axis(tested_clips, order[:, known : known + tested], axis=1).mean(axis=1))
        splits.append(means @ references.T)
    return np.array(splits)


def share(similarity: Values) -> str:
    """Of [splits, voices, voices]: means whose nearest reference is their own voice's, and the interval over voices."""
    of_voices = (similarity.argmax(axis=2) == np.arange(len(VOICES))).mean(axis=0)
    resampled = np.random.default_rng(0).choice(of_voices, (RESAMPLES, len(VOICES))).mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return f"{100 * of_voices.mean():.1f} % [{100 * low:.0f}, {100 * high:.0f}]"


def to_own(similarity: Values) -> float:
    return float(np.diagonal(similarity, axis1=1, axis2=2).mean())


def to_others(similarity: Values) -> float:
    return float(similarity[:, ~np.eye(len(VOICES), dtype=bool)].mean())


def unit(vectors: Values) -> Values:
    normalised: Values = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return normalised


def by_resemblyzer() -> Callable[[npt.NDArray[np.float32]], Values]:
    from resemblyzer import VoiceEncoder, preprocess_wav

    encoder = VoiceEncoder("cpu", verbose=False)
    return lambda wave: np.asarray(encoder.embed_utterance(preprocess_wav(wave, source_sr=RATE)), dtype=np.float64)


def by_ge2e() -> Callable[[npt.NDArray[np.float32]], Values]:
    encoder = GE2ESpeakerEncoder()
    return lambda wave: encoder.embed(wave, RATE).astype(np.float64)


if __name__ == "__main__":
    main()
