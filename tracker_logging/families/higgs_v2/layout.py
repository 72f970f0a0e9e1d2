"""The prompt text of a voice-cloning sample, cut where the audio goes, and the special tokens of Higgs Audio v2.

The layout is that of Higgs Audio v2's chat template, with Llama-3 headers; every turn ends with `<|eot_id|>`:

    system     text [scene]
    user       reference text                        ┐ for each reference
    assistant  <|audio_out_bos|> audio <|audio_eos|> ┘
    user       target text                           ┐ for each target
    assistant  <|audio_out_bos|> audio <|audio_eos|> ┘

References in the system message are lines of its scene instead: `SPEAKER0: <|audio_out_bos|> audio <|audio_eos|>`.

    before, between, after = cloning_text(sample)       # with a reference and a target
    before, after = cloning_text(sample)                # without a reference
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
from tracker_logging.data.sample import DataError, Utterance, VoiceSample

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
    """The texts around the audio clips: one clip goes between each two of them, references first, then targets. Each
    text after a clip begins with the end of the clip; the last is the end of the last target alone.

    Raises `DataError` if a text of the sample contains a token of the structure.
    """
    pieces = [f"{BEGIN_OF_TEXT}{START_HEADER}system{END_HEADER}\n\n{_system_text(sample)}"]
    scene = _scene_lines(sample)
    if scene:
        pieces[0] += f"\n\n{SCENE_START}\n{scene[0]}"
        pieces += [f"{AUDIO_EOS}{line}" for line in scene[1:]]
        pieces[-1] += f"\n{SCENE_END}"
    pieces[-1] += END_OF_TURN
    for field, turn in _turns(sample):
        pieces[-1] += f"{_turn('user', _plain(sample, field, turn.text))}{_BEFORE_AUDIO}"
        pieces.append(_AFTER_AUDIO)
    return tuple(pieces)


def _turns(sample: VoiceSample) -> list[tuple[str, Utterance]]:
    """What is a turn of the user and the assistant, each with the field of its text."""
    references = sample.references if sample.references_in == "turns" else ()
    return [*(("reference text", turn) for turn in references), *(("target text", turn) for turn in sample.targets)]


def _scene_lines(sample: VoiceSample) -> list[str]:
    """The scene in the parts around its clips; empty without a scene."""
    scene = "" if sample.scene is None else _plain(sample, "scene", sample.scene)
    if sample.references_in == "turns":
        return [] if sample.scene is None else [scene]
    first, *more = (f"SPEAKER{number}: {AUDIO_OUT_BOS}" for number in range(len(sample.references)))
    return [f"{scene}\n\n{first}" if scene else first, *(f"\n{label}" for label in more), ""]


def _turn(role: str, text: str) -> str:
    return f"{START_HEADER}{role}{END_HEADER}\n\n{text}{END_OF_TURN}"


def _system_text(sample: VoiceSample) -> str:
    return _plain(sample, "system text", sample.system_text) or DEFAULT_SYSTEM_TEXT


def _plain(sample: VoiceSample, field: str, text: str) -> str:
    token = next((token for token in STRUCTURE if token in text), None)
    if token is not None:
        raise DataError(f"{sample.origin}, {field}: contains {token}, which the model reads as structure. Remove it.")
    return text.strip()
