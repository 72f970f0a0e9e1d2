"""The recordings around a prompt, measured once per run.

real = real_side(prompt, processor, instruments)
real.reference.embedding
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tracker_logging.data.audio import load_audio
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.voices.listening import Heard, Instruments, listen
from tracker_logging.voices.prompt import VoicePrompt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealSide:
    """The recordings: the prompt, the prompt through the codec, the target and the target through the codec."""

    reference: Heard
    reference_codec: Heard
    target: Heard | None = None
    target_codec: Heard | None = None


def real_side(prompt: VoicePrompt, processor: SpeechProcessor, instruments: Instruments) -> RealSide:
    """Load, resynthesise and measure the recordings, each by what its scores need. Raises `DataError`."""
    sample, codec = prompt.sample, processor.codec
    assert sample.reference_audio is not None
    voice_only = replace(instruments, pitch=None, cepstrum=None, transcriber=None, quality=(), loudness=None)

    def recorded(which: Instruments, path: Path) -> Heard:
        return listen(load_audio(path, codec.sample_rate), codec.sample_rate, which, language=sample.language)

    def resynthesised(which: Instruments, path: Path) -> Heard:
        return listen(codec.decode(processor.codes(path)), codec.sample_rate, which)

    reference = recorded(replace(instruments, cepstrum=None, transcriber=None), sample.reference_audio)
    reference_codec = resynthesised(voice_only, sample.reference_audio)
    if sample.target_audio is None:
        return RealSide(reference=reference, reference_codec=reference_codec)
    return RealSide(
        reference=reference,
        reference_codec=reference_codec,
        target=recorded(replace(instruments, quality=()), sample.target_audio),
        target_codec=resynthesised(replace(voice_only, pitch=instruments.pitch), sample.target_audio),
    )
