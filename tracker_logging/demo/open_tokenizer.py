"""A tokenizer for open text: one token for each word of the pretraining's vocabulary, letters for other words.

>>> tokenizer = open_tokenizer()
>>> tokenizer.tokenize("The boat sank.")
['the', 'boat', 's', '##a', '##n', '##k', '.']
"""

from __future__ import annotations

from typing import Any

from tracker_logging.demo.composed.tokenizer import SPECIAL, UNKNOWN, with_special_tokens
from tracker_logging.demo.sentences import VOCABULARY

_LETTERS = "abcdefghijklmnopqrstuvwxyz'"
_OTHER_WORDS = ("speak", "the", "text", "in", "voice", "of", "reference", "system", "user", "assistant")
_LONGEST_WORD = 40  # letters; longer ones are unknown


def open_tokenizer() -> Any:
    """A `PreTrainedTokenizerFast`; text is read in lower case, without accents. The ids are the pretrained model's."""
    return _tokenizer(_vocabulary())


def spelling_tokenizer() -> Any:
    """The same ids, but every word of `VOCABULARY` is spelled in letters."""
    words = {word for word in VOCABULARY if len(word) > 1}
    return _tokenizer({piece: index for piece, index in _vocabulary().items() if piece not in words})


def _vocabulary() -> dict[str, int]:
    pieces = [*SPECIAL, *VOCABULARY, *_OTHER_WORDS, *_LETTERS, *(f"##{letter}" for letter in _LETTERS), *".,?!-"]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


def _tokenizer(vocabulary: dict[str, int]) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return with_special_tokens(tokenizer)
