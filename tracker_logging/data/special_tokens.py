"""The special tokens of Higgs Audio v2 by name, and their ids in a tokenizer.

tokens = SpecialTokens.of(tokenizer)
tokens.audio_out            # id of <|AUDIO_OUT|>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tracker_logging.data.sample import DataError

BEGIN_OF_TEXT = "<|begin_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
AUDIO_OUT = "<|AUDIO_OUT|>"
AUDIO_OUT_BOS = "<|audio_out_bos|>"
AUDIO_EOS = "<|audio_eos|>"
DELAY = "<|reserved_special_token_6|>"
SCENE_START = "<|scene_desc_start|>"
SCENE_END = "<|scene_desc_end|>"

# What no text of a user may contain: it would be read as structure.
STRUCTURE = (BEGIN_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN, AUDIO_OUT, AUDIO_OUT_BOS, AUDIO_EOS, DELAY)


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
