"""The numbers of Seed-TTS-eval: under names of their own, and told to be comparable only where its rules were kept.

- `sim_seed_tts`: `sim_o` by the benchmark's encoder, of whole clips.
- `wer_seed_tts`: errors by the benchmark's normaliser, words in English and characters in Chinese; the mean over clips.

Rules (github.com/BytedanceSpeech/seed-tts-eval): English is transcribed by Whisper large-v3, Chinese by Paraformer, of
which the characters are made simplified by zhconv. Published values are means over all prompts of a list.
"""

from __future__ import annotations

from typing import Any

from tracker_logging.metrics.words import BENCHMARK_LANGUAGES, benchmark_errors
from tracker_logging.voices.scorers.whisper import LARGE_V3

_WHOLE = "comparable where all prompts of its list are generated and no clip is invalid"


def comparability(encoder: Any, transcriber: Any) -> dict[str, str]:
    """For the table of what measured what: whether the numbers compare with published ones, and why not."""
    rows: dict[str, str] = {}
    if benchmark_similarity(encoder) is not None:
        rows["SIM of Seed-TTS-eval"] = _WHOLE
    if transcriber is not None:
        is_same = transcriber.name == LARGE_V3
        rows["WER of Seed-TTS-eval"] = (
            f"English: {_WHOLE}; Chinese: not comparable, it has another transcriber"
            if is_same
            else f"not comparable: the transcriber is {transcriber.name}"
        )
    return rows


def benchmark_similarity(encoder: Any) -> str | None:
    """The score that `sim_o` is too with this encoder; None for another one than the benchmark's."""
    return getattr(encoder, "benchmark", None)


def benchmark_error_rate(*, text: str, transcript: str, language: str | None) -> float:
    """Of one clip; NaN for a language that the benchmark does not have, and for Chinese without zhconv."""
    code = (language or "").lower().split("-")[0]
    if code not in BENCHMARK_LANGUAGES:
        return float("nan")
    if code == "zh":
        try:
            import zhconv
        except ImportError:
            return float("nan")
        transcript = zhconv.convert(transcript, "zh-cn")
    return benchmark_errors(text=text, transcript=transcript, language=code).rate
