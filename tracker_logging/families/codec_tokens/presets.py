"""The layouts of published checkpoints, and which of them a tokenizer has.

The tokens and prompts are those of each project's own code: Orpheus (`orpheus_tts_pypi`, `pretrain/train.py` and the
zero-shot notebook of the pretrained model), LLaSA (`train_tts.py`), NeuTTS Air (`examples/finetune.py`,
`neutts/neutts.py`), OuteTTS 1.0 (`version/v3`), Spark-TTS (`cli/SparkTTS.py`).

>>> [layout.name for layout in PRESETS]
['orpheus', 'llasa', 'neutts', 'outetts', 'spark']
"""

from __future__ import annotations

from typing import Any

from tracker_logging.data.sample import DataError
from tracker_logging.families.codec_tokens.layout import Slot, TokenLayout

_TURN = "<custom_token_3><|begin_of_text|>{%s_text}<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"
_CLIP = "{%s_audio}<custom_token_2><custom_token_6>"
ORPHEUS = TokenLayout(  # SNAC at 24 kHz: its codes 1 + 2 + 4 in the order of time
    name="orpheus",
    slots=tuple(Slot("<custom_token_{}>", codes=4096, first=10 + 4096 * slot) for slot in range(7)),
    end="<custom_token_2>",
    prompt=_TURN % "target" + _CLIP % "target",
    cloning=_TURN % "reference" + _CLIP % "reference" + _TURN % "target" + _CLIP % "target",
)

_ASK = (
    "Convert the text to speech:<|TEXT_UNDERSTANDING_START|>%s<|TEXT_UNDERSTANDING_END|>\n<|SPEECH_GENERATION_START|>"
)
LLASA = TokenLayout(  # XCodec2
    name="llasa",
    slots=(Slot("<|s_{}|>", codes=65_536),),
    end="<|SPEECH_GENERATION_END|>",
    prompt=_ASK % "{target_text}" + "{target_audio}<|SPEECH_GENERATION_END|>",
    cloning=_ASK % "{reference_text} {target_text}" + "{reference_audio}{target_audio}<|SPEECH_GENERATION_END|>",
    chat=True,
)

_REQUEST = (
    "user: Convert the text to speech:<|TEXT_PROMPT_START|>%s<|TEXT_PROMPT_END|>\nassistant:<|SPEECH_GENERATION_START|>"
)
NEUTTS = TokenLayout(  # NeuCodec; its texts are phonemes
    name="neutts",
    slots=(Slot("<|speech_{}|>", codes=65_536),),
    end="<|SPEECH_GENERATION_END|>",
    prompt=_REQUEST % "{target_text}" + "{target_audio}<|SPEECH_GENERATION_END|>",
    cloning=_REQUEST % "{reference_text} {target_text}" + "{reference_audio}{target_audio}<|SPEECH_GENERATION_END|>",
)

OUTETTS = TokenLayout(  # DAC with two codebooks; words and their features are between the codes
    name="outetts",
    slots=(Slot("<|c1_{}|>", codes=1025), Slot("<|c2_{}|>", codes=1025)),
    end="<|audio_end|>",
    inside=True,
    by_word=True,
)

_TASK = "<|task_tts|><|start_content|>{target_text}<|end_content|><|start_global_token|>%s<|end_global_token|>"
_SEMANTIC = "<|start_semantic_token|>{target_audio}<|end_semantic_token|><|im_end|>"
SPARK = TokenLayout(  # BiCodec: semantic tokens by frame, global tokens by clip
    name="spark",
    slots=(Slot("<|bicodec_semantic_{}|>", codes=8192), Slot("<|bicodec_global_{}|>", codes=4096, per_clip=True)),
    end="<|im_end|>",
    prompt=_TASK % "{target_clip}" + _SEMANTIC,
    cloning=_TASK % "{reference_clip}" + _SEMANTIC,
    inside=True,
)

PRESETS = (ORPHEUS, LLASA, NEUTTS, OUTETTS, SPARK)


def preset(name: str) -> TokenLayout:
    """The layout of that name. Raises `ValueError` with the known names."""
    for layout in PRESETS:
        if layout.name == name:
            return layout
    known = ", ".join(layout.name for layout in PRESETS)
    raise ValueError(f"layout {name!r} is unknown; known are {known}. Pass a TokenLayout for another.")


def layout_of(tokenizer: Any) -> TokenLayout | None:
    """The preset whose tokens the tokenizer has, or None."""
    if tokenizer is None:
        return None
    for layout in PRESETS:
        try:
            layout.ids(tokenizer)
        except DataError:
            continue
        return layout
    return None
