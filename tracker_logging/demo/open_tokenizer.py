"""A tokenizer for open text: one token for each word of the pretraining's vocabulary, letters for other words.

>>> tokenizer = open_tokenizer()
>>> tokenizer.tokenize("The boat sank.")
['the', 'boat', 's', '##a', '##n', '##k', '.']
"""

from __future__ import annotations

from typing import Any

from tracker_logging.demo.sentences import VOCABULARY
from tracker_logging.demo.tokenizer import SPECIAL, UNKNOWN, with_special_tokens

_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_OTHER_WORDS = ("speak", "the", "text", "in", "voice", "of", "reference", "system", "user", "assistant")
_LONGEST_WORD = 40  # letters; longer ones are unknown


def open_tokenizer() -> Any:
    """A `PreTrainedTokenizerFast`; text is read in lower case. The ids are those of the pretrained checkpoint."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    pieces = [*SPECIAL, *VOCABULARY, *_OTHER_WORDS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *".,?!-"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return with_special_tokens(tokenizer)
