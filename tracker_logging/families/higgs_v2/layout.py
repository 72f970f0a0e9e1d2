"""The prompt text of a voice-cloning sample, cut where the audio goes, and the special tokens of Higgs Audio v2.

The layout is that of Higgs Audio v2's chat template, with Llama-3 headers; every turn ends with `<|eot_id|>`:

    system     text [scene]
    user       reference text                        ┐ only with a reference
    assistant  <|audio_out_bos|> audio <|audio_eos|> ┘
    user       target text
    assistant  <|audio_out_bos|> audio <|audio_eos|>

    before, between, after = cloning_text(sample)       # with a reference
    before, after = cloning_text(sample)                # without
    SpecialTokens.of(tokenizer).audio_out               # id of <|AUDIO_OUT|>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracker_logging.data.chat_tokens import (
    AUDIO_EOS,
    AUDIO_OUT,
    AUDIO_OUT_BOS,
    BEGIN_OF_TEXT,
    DELAY,
    END_HEADER,
    END_OF_TURN,
    SCENE_END,
    SCENE_START,
    START_HEADER,
    STRUCTURE,
)
from tracker_logging.data.sample import DataError, VoiceSample

DEFAULT_SYSTEM_TEXT = "Generate audio following instruction."

_BEFORE_AUDIO = f"{START_HEADER}assistant{END_HEADER}\n\n{AUDIO_OUT_BOS}"
_AFTER_AUDIO = f"{AUDIO_EOS}{END_OF_TURN}"


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of the special tokens in one tokenizer."""

    audio_out: int
    audio_out_bos: int
    audio_eos: int
    delay: int
    end_of_turn: int
    pad: int

    @classmethod
    def of(cls, tokenizer: Any) -> SpecialTokens:
        """Raises `DataError` if the tokenizer lacks one of them and so does not belong to Higgs Audio v2."""
        vocabulary = tokenizer.get_vocab()
        missing = [name for name in (*STRUCTURE, SCENE_START, SCENE_END) if name not in vocabulary]
        if missing:
            raise DataError(
                f"The tokenizer has no {', '.join(missing)}: it does not belong to Higgs Audio v2. "
                f"Pass a Higgs Audio v2 directory as --model_path."
            )
        end_of_turn = vocabulary[END_OF_TURN]
        return cls(
            audio_out=vocabulary[AUDIO_OUT],
            audio_out_bos=vocabulary[AUDIO_OUT_BOS],
            audio_eos=vocabulary[AUDIO_EOS],
            delay=vocabulary[DELAY],
            end_of_turn=end_of_turn,
            pad=end_of_turn if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id),
        )


def cloning_text(sample: VoiceSample) -> tuple[str, ...]:
    """The texts around the audio clips: one clip goes between each two of them. The last text ends the target's turn.

    Raises `DataError` if a text of the sample contains a token of the structure.
    """
    system = f"{BEGIN_OF_TEXT}{_turn('system', _system_text(sample))}"
    target = f"{_turn('user', _plain(sample, 'target text', sample.target_text))}{_BEFORE_AUDIO}"
    if sample.reference_audio is None:
        return f"{system}{target}", _AFTER_AUDIO
    reference = f"{_turn('user', _plain(sample, 'reference text', sample.reference_text))}{_BEFORE_AUDIO}"
    return f"{system}{reference}", f"{_AFTER_AUDIO}{target}", _AFTER_AUDIO


def _turn(role: str, text: str) -> str:
    return f"{START_HEADER}{role}{END_HEADER}\n\n{text}{END_OF_TURN}"


def _system_text(sample: VoiceSample) -> str:
    text = _plain(sample, "system text", sample.system_text) or DEFAULT_SYSTEM_TEXT
    if sample.scene is None:
        return text
    return f"{text}\n\n{SCENE_START}\n{_plain(sample, 'scene', sample.scene)}\n{SCENE_END}"


def _plain(sample: VoiceSample, field: str, text: str) -> str:
    token = next((token for token in STRUCTURE if token in text), None)
    if token is not None:
        raise DataError(f"{sample.origin}, {field}: contains {token}, which the model reads as structure. Remove it.")
    return text.strip()
