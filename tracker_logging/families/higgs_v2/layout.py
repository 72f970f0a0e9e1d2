"""The conversation of a voice-cloning example as text, cut where the audio goes.

The layout is that of Higgs Audio v2's chat template, with Llama-3 headers; every turn ends with `<|eot_id|>`:

    system     text [scene]
    user       reference text                        ┐ only with a reference
    assistant  <|audio_out_bos|> audio <|audio_eos|> ┘
    user       target text
    assistant  <|audio_out_bos|> audio <|audio_eos|>

    before, between, after = cloning_text(sample)       # with a reference
    before, after = cloning_text(sample)                # without
"""

from __future__ import annotations

from tracker_logging.data.chat_tokens import (
    AUDIO_EOS,
    AUDIO_OUT_BOS,
    BEGIN_OF_TEXT,
    END_HEADER,
    END_OF_TURN,
    SCENE_END,
    SCENE_START,
    START_HEADER,
    STRUCTURE,
)
from tracker_logging.data.sample import DataError, VoiceSample

DEFAULT_SYSTEM_TEXT = "Generate audio following instruction."

_SPEAK = f"{START_HEADER}assistant{END_HEADER}\n\n{AUDIO_OUT_BOS}"
_SPOKEN = f"{AUDIO_EOS}{END_OF_TURN}"


def cloning_text(sample: VoiceSample) -> tuple[str, ...]:
    """The stretches of text around the audio: audio goes between each two of them. The last is the end of the target.

    Raises `DataError` if a text of the sample contains a token of the structure.
    """
    system = f"{BEGIN_OF_TEXT}{_turn('system', _system_text(sample))}"
    target = f"{_turn('user', _plain(sample, 'target text', sample.target_text))}{_SPEAK}"
    if sample.reference_audio is None:
        return f"{system}{target}", _SPOKEN
    reference = f"{_turn('user', _plain(sample, 'reference text', sample.reference_text))}{_SPEAK}"
    return f"{system}{reference}", f"{_SPOKEN}{target}", _SPOKEN


def _turn(role: str, text: str) -> str:
    return f"{START_HEADER}{role}{END_HEADER}\n\n{text}{END_OF_TURN}"


def _system_text(sample: VoiceSample) -> str:
    text = _plain(sample, "system text", sample.system_text) or DEFAULT_SYSTEM_TEXT
    if sample.scene is None:
        return text
    return f"{text}\n\n{SCENE_START}\n{_plain(sample, 'scene', sample.scene)}\n{SCENE_END}"


def _plain(sample: VoiceSample, field: str, text: str) -> str:
    found = next((token for token in STRUCTURE if token in text), None)
    if found is not None:
        raise DataError(f"{sample.origin}, {field}: contains {found}, which the model reads as structure. Remove it.")
    return text.strip()
