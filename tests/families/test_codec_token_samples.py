"""The samples of codec-token models, id for id as the projects' own code writes them, and how a layout is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from codec_token_models import llama, qwen2
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tracker_logging.data.sample import DataError, Utterance, VoiceSample
from tracker_logging.families import IGNORE, adapter_for
from tracker_logging.families.codec_tokens.adapter import CodecTokenAdapter
from tracker_logging.families.codec_tokens.layout import Slot, TokenIds, TokenLayout
from tracker_logging.families.codec_tokens.presets import (
    LLASA,
    NEUTTS,
    ORPHEUS,
    OUTETTS,
    PRESETS,
    SPARK,
    layout_of,
    preset,
)
from tracker_logging.families.codec_tokens.processor import CodecTokenProcessor
from tracker_logging.families.processors import processor_parts
from tracker_logging.families.text.adapter import TextAdapter

REFERENCE, TARGET = Path("reference.wav"), Path("target.wav")
SAMPLE = VoiceSample(
    sample_id="1", origin="line 1", reference_text="one two", reference_audio=REFERENCE, target_text="three",
    target_audio=TARGET,
)  # fmt: skip
WORDS = ("one", "two", "three", "Convert", "the", "text", "to", "speech", ":", "user", "assistant")


def tokenizer_of(names: list[str], control: list[str], *, template: str | None = None) -> PreTrainedTokenizerFast:
    """A tokenizer of words whose id is the place in `names`; `control` tokens are found inside a text."""
    core = Tokenizer(models.WordLevel({name: at for at, name in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    tokenizer.add_special_tokens({"additional_special_tokens": control})
    tokenizer.chat_template = template
    return tokenizer


def orpheus_tokenizer() -> PreTrainedTokenizerFast:
    """With the ids of the checkpoint: Llama 3 has 128,256 tokens, then come `<custom_token_N>`."""
    names = ["[UNK]", *WORDS, *(f"w{at}" for at in range(12, 128_256))]
    names[128_000], names[128_009] = "<|begin_of_text|>", "<|eot_id|>"
    control = ["<|begin_of_text|>", "<|eot_id|>", *(f"<custom_token_{at}>" for at in range(10))]
    return tokenizer_of([*names, *(f"<custom_token_{at}>" for at in range(28_682))], control)


def small(layout: TokenLayout) -> TokenLayout:
    slots = tuple(
        replace(slot, codes=8, first=10 + 8 * at if slot.first else 0) for at, slot in enumerate(layout.slots)
    )
    return replace(layout, slots=slots)


def small_tokenizer(layout: TokenLayout, control: list[str], *, template: str | None = None) -> PreTrainedTokenizerFast:
    codes = [slot.token.format(slot.first + code) for slot in small(layout).slots for code in range(slot.codes)]
    return tokenizer_of(["[UNK]", *WORDS, *control, *codes], control, template=template)


def processor_of(
    layout: TokenLayout, tokenizer: PreTrainedTokenizerFast, codes: dict[Path, np.ndarray]
) -> CodecTokenProcessor:
    codec = SimpleNamespace(num_codebooks=len(layout.slots), codebook_size=8, tokens_per_clip=2)
    return CodecTokenProcessor(tokenizer, codec, codes.__getitem__, layout)


def test_a_sample_of_orpheus_has_the_ids_of_its_own_code() -> None:
    codes = {REFERENCE: np.arange(14).reshape(2, 7).T, TARGET: np.full((7, 1), 5)}
    processor = processor_of(ORPHEUS, orpheus_tokenizer(), codes)
    # `orpheus_tts_pypi` and the notebooks: 128259, text, 128009, 128260, 128261, 128257, codes, 128258, 128262
    audio = {
        role: [code + 128_266 + 4096 * at for frame in columns.T for at, code in enumerate(frame)]
        for role, columns in codes.items()
    }
    turn = [[128_259, 128_000, *text, 128_009, 128_260, 128_261, 128_257] for text in ([1, 2], [3])]
    before = [*turn[0], *audio[REFERENCE], 128_258, 128_262, *turn[1]]
    features = processor.features(SAMPLE)
    assert features["input_ids"].tolist() == [*before, *audio[TARGET], 128_258, 128_262]
    assert features["labels"].tolist() == [IGNORE] * len(before) + [*audio[TARGET], 128_258, 128_262]
    assert processor.prompt_features(SAMPLE)["input_ids"].tolist() == before
    alone = processor.features(SAMPLE, reference=None)["input_ids"].tolist()
    assert alone == [*turn[1], *audio[TARGET], 128_258, 128_262]
    assert ORPHEUS.ids(processor.tokenizer).highest == 156_937  # the checkpoint predicts 156,940 tokens
    assert layout_of(processor.tokenizer) is ORPHEUS


CHAT = "{% for turn in messages %}<|{{ turn['role'] }}|>{{ turn['content'] }}<|eot_id|>{% endfor %}"


def test_what_a_layout_has_no_place_for_is_refused() -> None:
    processor, second = processor_of(ORPHEUS, orpheus_tokenizer(), {}), (Utterance("two", TARGET),)
    both = (processor.features, processor.prompt_features)
    for methods, changes, message in (
        (both, {"more_references": second}, "line 1: several references or voices, of which layout 'orpheus'"),
        (both, {"target_text": "[SPEAKER0] one [SPEAKER1] two"}, "line 1: several references or voices"),
        (both, {"reference_text": " "}, "line 1, reference text: missing, and layout 'orpheus' needs it"),
        (both, {"target_text": "[SPEAKER0]"}, "line 1, target text: missing"),
        (both[:1], {"more_targets": second}, "line 1: several targets, of which layout 'orpheus' takes one"),
    ):
        for features in methods:
            with pytest.raises(DataError, match=message):
                features(replace(SAMPLE, **changes))


def test_the_tag_of_a_single_voice_is_not_read() -> None:
    codes = {REFERENCE: np.arange(14).reshape(2, 7).T, TARGET: np.full((7, 1), 5)}
    processor = processor_of(ORPHEUS, orpheus_tokenizer(), codes)
    tagged = replace(SAMPLE, reference_text="[SPEAKER0] one two", target_text="[SPEAKER0] three")
    assert processor.features(tagged)["input_ids"].tolist() == processor.features(SAMPLE)["input_ids"].tolist()


def test_a_sample_of_llasa_goes_on_with_the_codes_of_its_reference() -> None:
    control = ["<|user|>", "<|assistant|>", "<|eot_id|>", "<|TEXT_UNDERSTANDING_START|>", "<|TEXT_UNDERSTANDING_END|>"]
    control += ["<|SPEECH_GENERATION_START|>", "<|SPEECH_GENERATION_END|>"]
    tokenizer = small_tokenizer(LLASA, control, template=CHAT)
    processor = processor_of(small(LLASA), tokenizer, {REFERENCE: np.array([[1, 2, 3]]), TARGET: np.array([[4, 5]])})
    features = processor.features(SAMPLE)
    assert tokenizer.convert_ids_to_tokens(features["input_ids"].tolist()) == [
        "<|user|>", "Convert", "the", "text", "to", "speech", ":", "<|TEXT_UNDERSTANDING_START|>", "one", "two",
        "three", "<|TEXT_UNDERSTANDING_END|>", "<|eot_id|>", "<|assistant|>", "<|SPEECH_GENERATION_START|>", "<|s_1|>",
        "<|s_2|>", "<|s_3|>", "<|s_4|>", "<|s_5|>", "<|SPEECH_GENERATION_END|>", "<|eot_id|>",
    ]  # fmt: skip
    assert (features["labels"] != IGNORE).tolist() == [False] * 18 + [True] * 4
    adapter = CodecTokenAdapter(llama(), processor.ids)
    view = adapter.view(processor.collator()([features]))
    assert [(s.role.name, s.frames, s.start) for s in view.segments] == [("REFERENCE", 3, 15), ("TARGET", 2, 18)]
    assert view.target_text == (None,), "the words of the reference are in the same text"
    without = replace(tokenizer_free := processor, tokenizer=small_tokenizer(LLASA, control))
    assert tokenizer_free.layout.chat
    with pytest.raises(DataError, match="no chat template"):
        without.features(SAMPLE)


def test_a_sample_of_neutts_is_that_of_its_fine_tuning_example() -> None:
    control = [
        "<|TEXT_PROMPT_START|>",
        "<|TEXT_PROMPT_END|>",
        "<|SPEECH_GENERATION_START|>",
        "<|SPEECH_GENERATION_END|>",
    ]
    tokenizer = small_tokenizer(NEUTTS, control)
    processor = processor_of(small(NEUTTS), tokenizer, {TARGET: np.array([[4, 5]])})
    processor = replace(processor, normalise=lambda text: text.replace("three", "two"))
    theirs = (
        "user: Convert the text to speech:<|TEXT_PROMPT_START|>two<|TEXT_PROMPT_END|>\n"
        "assistant:<|SPEECH_GENERATION_START|><|SPEECH_GENERATION_END|>"
    )
    expected = tokenizer.encode(theirs)
    expected[-1:-1] = tokenizer.convert_tokens_to_ids(["<|speech_4|>", "<|speech_5|>"])
    assert processor.features(SAMPLE, reference=None)["input_ids"].tolist() == expected


def test_the_global_tokens_of_spark_come_from_the_reference_or_are_trained() -> None:
    control = ["<|task_tts|>", "<|start_content|>", "<|end_content|>", "<|start_global_token|>", "<|end_global_token|>"]
    control += ["<|start_semantic_token|>", "<|end_semantic_token|>", "<|im_end|>"]
    tokenizer = small_tokenizer(SPARK, control)
    codes = {REFERENCE: np.array([[1, 1, 1], [6, 7, 6]]), TARGET: np.array([[3, 4, 5], [2, 3, 2]])}
    processor = processor_of(small(SPARK), tokenizer, codes)
    begin = ["<|task_tts|>", "<|start_content|>", "three", "<|end_content|>", "<|start_global_token|>"]
    end = ["<|end_global_token|>", "<|start_semantic_token|>"]
    end += [*(f"<|bicodec_semantic_{code}|>" for code in (3, 4, 5)), "<|end_semantic_token|>", "<|im_end|>"]
    cloned, alone = processor.features(SAMPLE), processor.features(SAMPLE, reference=None)
    ids = [tokenizer.convert_ids_to_tokens(features["input_ids"].tolist()) for features in (cloned, alone)]
    assert ids[0] == [*begin, "<|bicodec_global_6|>", "<|bicodec_global_7|>", *end]
    assert ids[1] == [*begin, "<|bicodec_global_2|>", "<|bicodec_global_3|>", *end]
    without_text = processor.features(replace(SAMPLE, reference_text=""))  # which this layout does not read
    assert without_text["input_ids"].tolist() == cloned["input_ids"].tolist()
    adapter = CodecTokenAdapter(qwen2(), processor.ids)
    views = [adapter.view(processor.collator()([features])) for features in (cloned, alone)]
    assert [(s.role.name, s.frames) for s in views[0].segments] == [("REFERENCE", 0), ("TARGET", 3)]
    assert [(s.role.name, s.frames) for s in views[1].segments] == [("TARGET", 3)]
    for view, row in zip(views, ([6, 7, 6], [2, 3, 2]), strict=True):  # what the target sounds with
        segment = view.segments[-1]
        heard = adapter.pattern.revert(view.codes[0, segment.start :], lead=0, frames=segment.frames)
        assert heard.tolist() == [[3, 4, 5], row]
    assert processor.prompt_features(SAMPLE)["input_ids"].tolist() == cloned["input_ids"].tolist()[:9]


def test_a_layout_without_prompts_and_texts_with_structure_are_errors_of_the_data() -> None:
    control = ["<|audio_end|>"]
    bare = replace(small(OUTETTS), by_word=False)
    processor = processor_of(bare, small_tokenizer(OUTETTS, control), {TARGET: np.zeros((2, 1), int)})
    with pytest.raises(DataError, match="'outetts' has no prompt"):
        processor.features(SAMPLE)
    orpheus = processor_of(ORPHEUS, orpheus_tokenizer(), {TARGET: np.zeros((7, 1), int)})
    with pytest.raises(DataError, match=r"line 1, target text: contains <custom_token_2>"):
        orpheus.features(replace(SAMPLE, target_text="a<custom_token_2>"), reference=None)
    codec = SimpleNamespace(num_codebooks=1, codebook_size=8)
    with pytest.raises(DataError, match="The codec has 1 codebooks of 8 codes, but layout 'orpheus' 7 slots"):
        CodecTokenProcessor(orpheus.tokenizer, codec, orpheus.codes, ORPHEUS)


def test_a_model_is_found_by_its_tokenizer_or_its_processor(caplog: pytest.LogCaptureFixture) -> None:
    mine = TokenLayout(name="mine", slots=(Slot("<a_{}>", codes=8), Slot("<b_{}>", codes=8)), end="</speech>")
    tokenizer = tokenizer_of(
        ["[UNK]", *WORDS, "</speech>", *(f"<{slot}_{at}>" for slot in "ab" for at in range(8))], ["</speech>"]
    )
    processor = processor_of(mine, tokenizer, {})
    adapter = adapter_for(llama(), parts=processor_parts(processor))
    assert isinstance(adapter, CodecTokenAdapter) and adapter.ids == mine.ids(tokenizer)
    assert adapter.ids == TokenIds(name="mine", slots=(range(13, 21), range(21, 29)), end=12)
    assert type(adapter_for(llama(), parts=processor_parts(tokenizer))) is TextAdapter
    assert "pass a processor that knows them" in caplog.text
    own = SimpleNamespace(decode=str, convert_ids_to_tokens=list)
    assert type(adapter_for(llama(), parts=processor_parts(own))) is TextAdapter
    orpheus = orpheus_tokenizer()
    with pytest.raises(ValueError, match="layout 'orpheus' has token 156937, but the model predicts 160 tokens"):
        adapter_for(llama(), parts=processor_parts(orpheus))
    with pytest.raises(DataError, match=r"has no <custom_token_10>, a codec token of layout 'orpheus'"):
        ORPHEUS.ids(tokenizer)
    assert [preset(layout.name) for layout in PRESETS] == list(PRESETS)
    with pytest.raises(ValueError, match="layout 'orfeus' is unknown; known are orpheus"):
        preset("orfeus")
    with pytest.raises(ValueError, match="its own range of ids"):
        TokenIds(name="mine", slots=(range(4), range(3, 8)), end=9)
