"""The special tokens of Higgs Audio v2 by name, and their ids in a tokenizer.

tokens = SpecialTokens.of(tokenizer)
tokens.audio_out            # id of <|AUDIO_OUT|>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracker_logging.data.chat_tokens import (
    AUDIO_EOS,
    AUDIO_OUT,
    AUDIO_OUT_BOS,
    DELAY,
    END_OF_TURN,
    SCENE_END,
    SCENE_START,
    STRUCTURE,
)
from tracker_logging.data.sample import DataError


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids in one tokenizer."""

    audio_out: int
    audio_out_bos: int
    audio_eos: int
    delay: int
    end_of_turn: int
    pad: int

    @classmethod
    def of(cls, tokenizer: Any) -> SpecialTokens:
        """Raises `DataError` if the tokenizer lacks one of them: it is not one of Higgs Audio v2."""
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
