"""A tokenizer for open text: one token for each word of the pretraining's vocabulary, letters for other words.

>>> tokenizer = open_tokenizer()
>>> tokenizer.tokenize("The boat sank.")
['the', 'boat', 's', '##a', '##n', '##k', '.']
"""

from __future__ import annotations

from typing import Any

from tracker_logging.data.chat_tokens import SCENE_END, SCENE_START, STRUCTURE
from tracker_logging.demo.sentences import VOCABULARY
from tracker_logging.demo.tokenizer import PAD, UNKNOWN

_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_OTHER_WORDS = ("speak", "the", "text", "in", "voice", "of", "reference", "system", "user", "assistant")
_LONGEST_WORD = 40  # letters; longer ones are unknown


def open_tokenizer() -> Any:
    """A `PreTrainedTokenizerFast`; text is read in lower case. The ids are those of the pretrained checkpoint."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, UNKNOWN, *STRUCTURE, SCENE_START, SCENE_END]
    pieces = [*special, *VOCABULARY, *_OTHER_WORDS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *".,?!-"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        additional_special_tokens=[*STRUCTURE, SCENE_START, SCENE_END],
    )
