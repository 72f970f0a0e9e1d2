"""Speech models that are refused or shown as text: each gives the message of the documented table."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_families import FAMILIES
from torch import nn

from tracker_logging.families import UnknownModelError, adapter_for
from tracker_logging.families.text.adapter import TextAdapter
from tracker_logging.families.unsupported import UNSUPPORTED
from tracker_logging.testing import assert_adapter

ROOT = Path(__file__).parents[2]
REFUSED = [(row, name) for row in UNSUPPORTED if row.shown == "no" for name in row.classes]


@pytest.mark.parametrize(("row", "name"), REFUSED, ids=[name for _, name in REFUSED])
def test_a_class_is_refused_by_its_name_with_the_reason(row: Any, name: str) -> None:
    """A model without weights of the real class; Parler-TTS, whose package cannot be installed, by name alone."""
    kind = getattr(transformers, name, None)
    assert (kind is None) == name.startswith("ParlerTTS"), f"transformers has no {name}: the table is out of date"
    model = nn.Module.__new__(kind or type(name, (nn.Module,), {}))
    nn.Module.__init__(model)
    model.config = None
    with pytest.raises(UnknownModelError) as refused:
        adapter_for(model)
    message = str(refused.value)
    assert message.startswith(name) and row.why in message and row.instead in message and "loggers=()" in message


def musicgen() -> nn.Module:
    decoder = transformers.MusicgenDecoderConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, num_codebooks=4,
        pad_token_id=31, bos_token_id=31,
    )  # fmt: skip
    return transformers.MusicgenForCausalLM(decoder)


def bark() -> nn.Module:
    return transformers.BarkSemanticModel(
        transformers.BarkSemanticConfig(
            input_vocab_size=32, output_vocab_size=32, hidden_size=16, num_layers=1, num_heads=2
        )
    )


def vits() -> nn.Module:
    small = {"hidden_size": 32, "num_hidden_layers": 1, "ffn_dim": 32, "flow_size": 16, "spectrogram_bins": 9}
    return transformers.VitsModel(
        transformers.VitsConfig(
            **small, prior_encoder_num_flows=1, posterior_encoder_num_wavenet_layers=1, upsample_initial_channel=16
        )
    )


@pytest.mark.parametrize("make", [musicgen, bark, vits])
def test_a_real_model_is_refused_even_with_a_tokenizer(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnknownModelError, match=f"{make.__name__.capitalize()}.*is not shown"):
        adapter_for(make())


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (bark, {"input_ids": torch.zeros(1, 3, dtype=torch.int64)}),
        (vits, {"input_ids": torch.zeros(1, 3, dtype=torch.int64)}),
    ],
)
def test_the_classes_that_cannot_be_trained_raise_for_labels(make: Callable[[], nn.Module], arguments: Any) -> None:
    with pytest.raises(NotImplementedError, match=r"[Tt]raining"):
        make()(**arguments, labels=torch.zeros(1, 3))


TEXT = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
AUDIO = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "output_dim": 32}
VISION = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}}


def thinker_of_qwen2_5() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.Qwen2_5OmniThinkerConfig(text_config=TEXT | ROPE, audio_config=AUDIO, vision_config=VISION)
    config.vision_start_token_id = 62
    return transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)


def thinker_of_qwen3() -> nn.Module:
    torch.manual_seed(0)
    experts = {"moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
    config = transformers.Qwen3OmniMoeThinkerConfig(
        text_config=TEXT | experts, audio_config=AUDIO | {"downsample_hidden_size": 8},
        vision_config=VISION | {"deepstack_visual_indexes": [0]},
    )  # fmt: skip
    config.vision_start_token_id = 62
    return transformers.Qwen3OmniMoeThinkerForConditionalGeneration(config)


@pytest.mark.parametrize("make", [thinker_of_qwen2_5, thinker_of_qwen3])
def test_a_thinker_is_shown_as_text(make: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture) -> None:
    model, family = make(), FAMILIES["llama"]
    adapter = adapter_for(model)
    assert type(adapter) is TextAdapter and "is logged as a text model" in caplog.text
    batch = family.collate(family.rows(3))
    batch["input_ids"] = batch["input_ids"].clamp(max=60)
    batch["labels"] = batch["labels"].clamp(max=60)
    assert_adapter(adapter, batch)
    assert len(adapter.layers()) == 2


def test_the_documented_table_is_that_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("make_table", ROOT / "docs" / "make_unsupported_table.py")
    assert spec is not None and spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = maker.PAGE.read_text(encoding="utf-8")
    assert page == maker.filled(page), "run: python docs/make_unsupported_table.py"
