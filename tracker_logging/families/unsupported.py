"""Speech models that are not shown, or only their text, with the reason: the table of docs/adapters.md and the errors.

>>> refusal_of("VitsModel").why.split(":")[0]
'the class cannot be trained'
"""

from __future__ import annotations

from dataclasses import dataclass

ADAPTER = "write an adapter (docs/adapters.md)"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Models of one kind. `classes`: names of the classes; `shown`: "no" (refused) or "text only"; `instead`: what a
    user can do."""

    name: str
    classes: tuple[str, ...]
    shown: str
    why: str
    instead: str


UNSUPPORTED = (
    Unsupported(
        "Qwen2.5-Omni and Qwen3-Omni, the whole model",
        ("Qwen2_5OmniForConditionalGeneration", "Qwen3OmniMoeForConditionalGeneration"),
        "no",
        "the class generates only: it has no forward and no loss",
        "train the thinker and pass it (`model.thinker`), which is logged as text",
    ),
    Unsupported(
        "Qwen omni, the thinker",
        ("Qwen2_5OmniThinkerForConditionalGeneration", "Qwen3OmniMoeThinkerForConditionalGeneration"),
        "text only",
        "it writes text; audio and pictures are its input and have no labels",
        "nothing: inputs, text predictions, attention and gradients are logged",
    ),
    Unsupported(
        "Qwen omni, the talker",
        (
            "Qwen2_5OmniTalkerForConditionalGeneration",
            "Qwen3OmniMoeTalkerForConditionalGeneration",
            "Qwen3OmniMoeTalkerCodePredictorModelForConditionalGeneration",
        ),
        "no",
        "its codes depend on hidden states of the thinker, which are not in a batch, and its voices are fixed: there "
        "is no reference to clone",
        ADAPTER,
    ),
    Unsupported(
        "Parler-TTS",
        ("ParlerTTSForConditionalGeneration", "ParlerTTSForCausalLM"),
        "no",
        "its package requires transformers 4.46.1, and this library 5.18 or later: they cannot be installed together. "
        "Its voice is described in words, so there is no reference to clone",
        "log its loop's numbers with `loggers=()`, or port the class to transformers 5 and " + ADAPTER,
    ),
    Unsupported(
        "MusicGen",
        (
            "MusicgenForCausalLM",
            "MusicgenForConditionalGeneration",
            "MusicgenMelodyForCausalLM",
            "MusicgenMelodyForConditionalGeneration",
        ),
        "no",
        "it predicts the codebooks of music from a description: no speech, no reference, and its codes are no text",
        ADAPTER,
    ),
    Unsupported(
        "Bark",
        ("BarkModel", "BarkSemanticModel", "BarkCoarseModel", "BarkFineModel"),
        "no",
        "the class cannot be trained: transformers raises an error for labels",
        "train another model",
    ),
    Unsupported(
        "Moshi",
        ("MoshiForConditionalGeneration", "MoshiForCausalLM"),
        "no",
        "it holds a conversation in two audio streams and one of text at once: a batch has no text to read aloud, no "
        "reference and no target",
        ADAPTER,
    ),
    Unsupported(
        "VITS and MMS-TTS",
        ("VitsModel",),
        "no",
        "the class cannot be trained: transformers raises an error for labels. It has no codes, and its speakers are "
        "a table of embeddings",
        "train another model",
    ),
    Unsupported(
        "SpeechT5, FastSpeech2-Conformer",
        ("SpeechT5ForTextToSpeech", "FastSpeech2ConformerModel", "FastSpeech2ConformerWithHifiGan"),
        "no",
        "it predicts a mel spectrogram: there are no codes, and no frame of its input is a reference",
        "log its loop's numbers with `loggers=()`",
    ),
    Unsupported(
        "a language model with codec tokens, without a processor that knows them",
        (),
        "text only",
        "which tokens are audio is not guessed",
        "pass the checkpoint's tokenizer or a `CodecTokenProcessor` as `processor`",
    ),
)


def refusal_of(*class_names: str) -> Unsupported | None:
    """Why a class, of these names (its own and those of its bases), is refused; None if it is not in the table."""
    return next(
        (row for row in UNSUPPORTED if row.shown == "no" and any(name in row.classes for name in class_names)), None
    )
