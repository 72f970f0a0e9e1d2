"""A real Trainer on a tiny model of each family with all loggers on: the tags of its run and the final state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from read_back import Run, read_jsonl
from scored_here import scored_here
from tiny_families import FAMILIES, SMALL, Row
from tiny_latents import pocket, vibevoice
from torch import nn
from transformers import (
    CsmConfig,
    CsmForConditionalGeneration,
    DiaConfig,
    DiaForConditionalGeneration,
    HiggsAudioV2ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    MimiConfig,
    Trainer,
    TrainingArguments,
)

from tracker_logging import strategic_callbacks
from tracker_logging.data.codes import CodeCache
from tracker_logging.data.formats import read_samples
from tracker_logging.data.sample import VoiceSample
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.demo.model import demo_config
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.families.codec_tokens.layout import Slot, TokenLayout
from tracker_logging.families.codec_tokens.processor import CodecTokenProcessor
from tracker_logging.families.csm.processor import CsmSpeechProcessor
from tracker_logging.families.dia.processor import DiaSpeechProcessor
from tracker_logging.families.higgs_v2.processor import SpeechProcessor
from tracker_logging.families.model_codec import ModelCodec
from tracker_logging.voices.scorers.choose import ScorerChoice
from tracker_logging.voices.settings import VoiceSettings

K = 4
SHORT = 12  # frames
NO_SCORERS = ScorerChoice(encoder="off", pitch="off", cepstrum="off", speech="off", quality=())  # tested elsewhere
SETTINGS = VoiceSettings(max_clips=2, conditioning_clips=2, scorers=NO_SCORERS)
NAMES = {
    "higgs": "Higgs Audio v2", "higgs_text": "… with text head", "csm": "CSM", "dia": "Dia",
    "codec_tokens": "codec tokens", "pocket": "Pocket TTS", "vibevoice": "VibeVoice", "text": "text",
}  # fmt: skip


@dataclass(frozen=True)
class TinyTraining:
    """A model, rows to train on, their collator, and the processor for voices."""

    model: nn.Module
    rows: Sequence[Row]
    collate: Callable[[Sequence[Row]], Row]
    processor: Any = None


def demo_samples(demo: Path) -> list[VoiceSample]:
    """Four held-out samples of two speakers."""
    samples = read_samples(DemoPaths(demo).eval)
    other = next(sample for sample in samples if sample.speaker != samples[0].speaker)
    return [samples[0], other, samples[1], samples[2]]


def build(name: str, demo: Path, cache: Path) -> TinyTraining:
    """A new tiny model of the family, ready to train."""
    torch.manual_seed(0)
    if name == "text":
        family = FAMILIES["qwen3"]
        return TinyTraining(family.model(), family.rows(6), family.collate)
    paths = DemoPaths(demo)
    base = SpeechProcessor.from_pretrained(
        str(paths.model), str(paths.codec), cache_directory=cache, text_labels=name == "higgs_text"
    )
    model, processor = BUILDERS[name](base, cache)
    rows = [processor.features(sample) for sample in demo_samples(demo)]
    if name == "dia":  # its text can be aligned only without an audio prompt
        rows = [*rows[:2], *(processor.features(sample, reference=None) for sample in demo_samples(demo)[2:])]
    return TinyTraining(model, rows, processor.collator(), processor)


def _higgs(base: SpeechProcessor, cache: Path) -> tuple[nn.Module, SpeechProcessor]:
    config = demo_config()
    for key, value in SMALL.items():
        if key != "vocab_size":
            setattr(config, key, value)
    return HiggsAudioV2ForConditionalGeneration(config, use_text_head=base.text_labels), base


def tiny_mimi() -> MimiConfig:
    """The codec of a tiny CSM, at Mimi's own rates."""
    return MimiConfig(
        hidden_size=16, num_filters=4, num_residual_layers=1, upsampling_ratios=[8, 6, 5, 4], codebook_size=32,
        vector_quantization_hidden_dimension=8, codebook_dim=8, num_quantizers=K, num_semantic_quantizers=1,
        upsample_groups=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, head_dim=8,
        intermediate_size=32, sampling_rate=24_000, frame_rate=12.5,
    )  # fmt: skip


def _csm(base: SpeechProcessor, cache: Path) -> tuple[nn.Module, SpeechProcessor]:
    depth = {
        "num_codebooks": K, "backbone_hidden_size": 32, "vocab_size": 35, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": K + 1,
    }  # fmt: skip
    config = CsmConfig(
        **(SMALL | {"vocab_size": 35}), text_vocab_size=len(base.tokenizer), num_codebooks=K, codebook_pad_token_id=34,
        codebook_eos_token_id=0, pad_token_id=0, bos_token_id=base.tokenizer.bos_token_id,
        audio_token_id=base.tokens.audio_out, audio_eos_token_id=base.tokens.audio_eos,
        depth_decoder_config=depth, codec_config=tiny_mimi().to_dict(),
    )  # fmt: skip
    model = CsmForConditionalGeneration(config)
    codec = ModelCodec.copy_of(model.codec_model)
    return model, CsmSpeechProcessor(base.tokenizer, codec, CodeCache(cache, codec), config=config)


def _dia(base: SpeechProcessor, cache: Path) -> tuple[nn.Module, SpeechProcessor]:
    side = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    codes = base.codec.codebook_size
    decoder = {
        **side, "cross_num_attention_heads": 2, "cross_head_dim": 8, "cross_num_key_value_heads": 2,
        "vocab_size": codes + 4, "cross_hidden_size": 32, "num_channels": K, "eos_token_id": codes,
        "pad_token_id": codes + 1, "bos_token_id": codes + 2,
    }  # fmt: skip
    encoder = {**side, "num_key_value_heads": 4, "vocab_size": len(base.tokenizer)}
    config = DiaConfig(delay_pattern=[0, 2, 3, 4], encoder_config=encoder, decoder_config=decoder)
    processor = DiaSpeechProcessor(base.tokenizer, base.codec, base.codes, config=config)
    return DiaForConditionalGeneration(config), processor


def demo_layout(codec: Any) -> TokenLayout:
    """A layout for the codec of the demo: one slot for each of its codebooks."""
    turn = "{%s_text}<speech>{%s_audio}</speech></turn>"
    return TokenLayout(
        name="demo",
        slots=tuple(Slot(f"<c{at}_{{}}>", codes=codec.codebook_size) for at in range(codec.num_codebooks)),
        end="</speech>",
        prompt=turn % (("target",) * 2),
        cloning=turn % (("reference",) * 2) + turn % (("target",) * 2),
    )


def codec_tokens(base: SpeechProcessor, cache: Path) -> tuple[nn.Module, CodecTokenProcessor]:
    """A tiny Llama whose vocabulary has the codes of the demo's codec."""
    tokenizer, layout = demo_tokenizer(), demo_layout(base.codec)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<speech>", "</speech>", "</turn>"]})
    tokenizer.add_tokens([slot.token.format(code) for slot in layout.slots for code in range(slot.codes)])
    config = LlamaConfig(**(SMALL | {"vocab_size": len(tokenizer)}))
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # the end token is likely, so that clips are short
        model.lm_head.weight[tokenizer.convert_tokens_to_ids(layout.end)] *= 3
    # Short clips: of many codes, a random model has too little attention left for the words to be aligned with them.
    return model, CodecTokenProcessor(tokenizer, base.codec, lambda path: base.codes(path)[:, :SHORT], layout)


BUILDERS: dict[str, Callable[[SpeechProcessor, Path], tuple[nn.Module, Any]]] = {
    "codec_tokens": codec_tokens,
    "higgs": _higgs,
    "higgs_text": _higgs,
    "csm": _csm,
    "dia": _dia,
    "pocket": lambda base, _: pocket(base.tokenizer),
    "vibevoice": lambda base, _: vibevoice(base.tokenizer),
}


def train(tiny: TinyTraining, directory: Path, *, callbacks: Iterable[Any] = ()) -> str:
    """Three steps; SHA-256 of weights, optimizer state and torch's random state."""
    tiny.model.accepts_loss_kwargs = False
    arguments = TrainingArguments(
        output_dir=str(directory), max_steps=3, per_device_train_batch_size=2, logging_steps=1, report_to="none",
        use_cpu=True, save_strategy="no", disable_tqdm=True, remove_unused_columns=False, seed=3, learning_rate=1e-3,
    )  # fmt: skip
    torch.manual_seed(1)
    trainer = Trainer(
        model=tiny.model,
        args=arguments,
        train_dataset=list(tiny.rows),
        data_collator=tiny.collate,
        callbacks=[*callbacks],
    )
    trainer.train()
    digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    for tensor in (*tiny.model.state_dict().values(), *_tensors(trainer.optimizer.state_dict())):
        digest.update(np.ascontiguousarray(tensor.detach().float().numpy()).tobytes())
    return digest.hexdigest()


def watched(name: str, demo: Path, directory: Path) -> tuple[str, Run]:
    """The same with all four loggers at every step, and voices if the family has them; the state and the run."""
    tiny = build(name, demo, directory / "codes")
    callbacks = strategic_callbacks(
        processor=tiny.processor, report_to=["jsonl"], every=1, voice_settings=SETTINGS, budget_pct=1e9,
        voice_samples=[] if tiny.processor is None else demo_samples(demo),
    )  # fmt: skip
    with scored_here():
        state = train(tiny, directory / name, callbacks=callbacks)
    callbacks[0].session.tracker.close()
    return state, read_jsonl(directory / name / "runs" / "run")


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, torch.Tensor):
        yield value
