"""Codes to waveforms: the recordings around each prompt and the clips that were generated, ready to log and to score.

Guarantees
- The recordings of a prompt are decoded once per run; a recording that cannot be decoded is left out, with a warning.
- A clip that was generated has an event at once (`clip_event`, stage "generated"); scoring only needs these waveforms,
  neither the codec nor the model.

    decoder = ClipDecoder(prompts, processor)
    for clip in decoder.decode(results):
        tracker.emit(clip_event(clip, step=500))
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tracker_logging.data.audio import load_audio
from tracker_logging.data.groups import group_of
from tracker_logging.data.voices import untagged
from tracker_logging.events import Clip, FloatArray, VoiceComparison
from tracker_logging.families.base import Processor
from tracker_logging.metrics.repetition import repetition
from tracker_logging.metrics.speech import sounding_stretches
from tracker_logging.voices.generation import Generated
from tracker_logging.voices.prompt import VoicePrompt

logger = logging.getLogger("tracker_logging")

AT_GENERATION = ("repetition", "first_frame_s")
"""Scores that are known when a clip is generated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedVoice:
    """A prompt with its recordings.

    `prompt_id`: the id of the first take; takes of one prompt have the same recordings. `waves`: [n] float32 at
    `sample_rate` Hz by name: `reference`, `target`, and both encoded and decoded (`reference_codec`, `target_codec`),
    each only where it exists. `speaker` groups clips, `speaker_name` is the name in the data. `group`, `sampling` as in
    `VoiceComparison`. `errors`: recording -> why it is missing.
    """

    voice_id: str
    prompt_id: str
    speaker: str
    reference_text: str
    target_text: str
    sample_rate: int
    waves: Mapping[str, FloatArray]
    speaker_name: str | None = None
    language: str | None = None
    reference_language: str | None = None
    group: str | None = None
    sampling: Mapping[str, float | int]
    errors: Mapping[str, str]

    @property
    def reference_words(self) -> str:
        """What is said in the reference: `reference_text`, which is shown, without tags of voices."""
        return untagged(self.reference_text)

    @property
    def target_words(self) -> str:
        """What is to be said: `target_text` without tags of voices."""
        return untagged(self.target_text)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeneratedClip:
    """One voice at one step: `wave` [n] float32 (may be empty), None if generation failed (`error` has the reason).

    `scores`: those of `AT_GENERATION`, which cannot be measured on the wave. `swapped`: the same text generated with
    another speaker's reference, for `cond_gain`.
    """

    voice: RecordedVoice
    wave: FloatArray | None
    stop_reason: str | None = None
    error: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    swapped: FloatArray | None = None


class ClipDecoder:
    """Decodes the results of each round. One thread at a time. `prompts` in the order in which rows are shown."""

    def __init__(self, prompts: Sequence[VoicePrompt], processor: Processor) -> None:
        self._prompts = tuple(prompts)
        self._processor = processor
        self._recorded: dict[str, RecordedVoice] = {}  # by prompt

    def decode(self, generated: Sequence[Generated], swapped: Sequence[Generated] = ()) -> list[GeneratedClip]:
        """One clip per prompt; a prompt without a result, or whose codes cannot be decoded, has the reason."""
        results, swapped_results = _by_voice(generated), _by_voice(swapped)
        return [
            self._clip(prompt, results.get(prompt.voice_id), swapped_results.get(prompt.voice_id))
            for prompt in self._prompts
        ]

    def _clip(self, prompt: VoicePrompt, result: Generated | None, swapped: Generated | None) -> GeneratedClip:
        if prompt.prompt_id not in self._recorded:
            self._recorded[prompt.prompt_id] = recorded_voice(prompt, self._processor)
            for name, error in self._recorded[prompt.prompt_id].errors.items():
                logger.warning(
                    "Voice %s: its %s cannot be decoded (%s). Scores that need it are left out; all others are logged.",
                    prompt.voice_id, name.replace("_", " "), error,
                )  # fmt: skip
        voice = replace(self._recorded[prompt.prompt_id], voice_id=prompt.voice_id, sampling=prompt.sampling)
        if result is None or result.codes is None:
            error = "not generated" if result is None else result.error or "not generated"
            return GeneratedClip(voice=voice, wave=None, error=error)
        try:
            wave = self._wave(result)
            return GeneratedClip(
                voice=voice,
                wave=wave,
                stop_reason=result.stop_reason,
                scores=_scores(result, wave, voice.sample_rate),
                swapped=None if swapped is None or swapped.codes is None else self._wave(swapped),
            )
        except Exception as error:
            return GeneratedClip(voice=voice, wave=None, error=f"{type(error).__name__}: {error}")

    def _wave(self, result: Generated) -> FloatArray:
        assert result.codes is not None
        return self._processor.codec.decode(result.codes) if result.codes.shape[1] else np.zeros(0, dtype=np.float32)


def _scores(result: Generated, wave: FloatArray, sample_rate: int) -> dict[str, float]:
    assert result.codes is not None
    sounding = sounding_stretches(wave, sample_rate, count=result.codes.shape[1])
    repeated = repetition(result.codes[:, sounding]) if result.codes.dtype.kind == "i" else None
    scores = dict(zip(AT_GENERATION, (repeated, result.first_frame_s), strict=True))
    return {name: value for name, value in scores.items() if value is not None}


def recorded_voice(prompt: VoicePrompt, processor: Processor) -> RecordedVoice:
    """Load the recordings of a prompt and pass them through the codec. An error is kept in `errors`, not raised."""
    sample, codec = prompt.sample, processor.codec
    waves: dict[str, FloatArray] = {}
    errors: dict[str, str] = {}

    def add(name: str, make: Callable[[Path], FloatArray], path: Path | None) -> None:
        if path is not None:
            try:
                waves[name] = make(path)
            except Exception as error:
                errors[name] = f"{type(error).__name__}: {error}"

    def load(path: Path) -> FloatArray:
        return load_audio(path, codec.sample_rate)

    def resynthesise(path: Path) -> FloatArray:
        return codec.decode(processor.codes(path))

    add("reference", load, sample.reference_audio)
    add("reference_codec", resynthesise, sample.reference_audio)
    add("target", load, sample.target_audio)
    add("target_codec", resynthesise, sample.target_audio)
    reference_language = sample.extra.get("reference_language")
    return RecordedVoice(
        voice_id=prompt.voice_id,
        prompt_id=prompt.prompt_id,
        speaker=prompt.speaker,
        reference_text=sample.reference_text,
        target_text=sample.target_text,
        sample_rate=codec.sample_rate,
        waves=waves,
        speaker_name=sample.speaker,
        language=sample.language,
        reference_language=None if reference_language is None else str(reference_language),
        group=group_of(sample),
        sampling=prompt.sampling,
        errors=errors,
    )


def clip_event(
    clip: GeneratedClip, *, step: int, scorers: Mapping[str, str] | None = None, new_fixed_clips: bool = True
) -> VoiceComparison:
    """The event of a clip that is not scored yet: stage "generated"."""
    voice = clip.voice
    copies = {name: wave for name, wave in voice.waves.items() if name.endswith("_codec")}
    shown = {
        "reference": voice.waves.get("reference"),
        "target": voice.waves.get("target"),
        "codec": copies.get("target_codec", copies.get("reference_codec")),
        "generated": clip.wave,
        "reference_codec": copies.get("reference_codec"),
    }
    captions = {"generated": f"generated at step {step}" if step else "generated before training"}
    return VoiceComparison(
        step=step,
        voice_id=voice.voice_id,
        clips={
            name: Clip(samples=wave, sample_rate=voice.sample_rate, caption=captions.get(name, name))
            for name, wave in shown.items()
            if wave is not None and len(wave)
        },
        reference_text=voice.reference_text,
        target_text=voice.target_text,
        speaker=voice.speaker_name,
        language=voice.language,
        group=voice.group,
        stop_reason=clip.stop_reason,
        scores=clip.scores,
        sampling=voice.sampling,
        new_fixed_clips=new_fixed_clips,
        error=clip.error,
        stage="generated",
        scorers=scorers or {},
    )


def _by_voice(results: Sequence[Generated]) -> dict[str, Generated]:
    """One result per voice; where two ranks generated it, one that has codes."""
    return {result.voice_id: result for result in sorted(results, key=lambda result: result.codes is not None)}
