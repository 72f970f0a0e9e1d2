"""The demo's tokenizer: one token per word, and the special tokens of Higgs Audio v2.

>>> tokenizer = demo_tokenizer()
>>> tokenizer.decode(tokenizer.encode("The old man painted a red boat."))
'The old man painted a red boat.'
"""

from __future__ import annotations

import re
from typing import Any

from tracker_logging.data.chat_tokens import SCENE_END, SCENE_START, STRUCTURE
from tracker_logging.demo.composed.phrases import SLOTS, SYSTEM_TEXT

PAD = "<|pad|>"
UNKNOWN = "<|unknown|>"
SPECIAL = (PAD, UNKNOWN, *STRUCTURE, SCENE_START, SCENE_END)


def demo_tokenizer() -> Any:
    """A `PreTrainedTokenizerFast`. The same words give the same ids in every build."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    texts = [SYSTEM_TEXT, "system user assistant .", *(phrase for slot in SLOTS for phrase in slot)]
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text)})
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return with_special_tokens(tokenizer, clean_up_tokenization_spaces=True)


def with_special_tokens(tokenizer: Any, **options: Any) -> Any:
    """A `PreTrainedTokenizerFast` of a `tokenizers.Tokenizer` whose vocabulary begins with `SPECIAL`."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        additional_special_tokens=[*STRUCTURE, SCENE_START, SCENE_END],
        **options,
    )
