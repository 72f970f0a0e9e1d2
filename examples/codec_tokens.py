"""Fine-tune a language model with codec tokens (Orpheus, LLaSA, NeuTTS, …). Logging adds the lines with <<<.

A small random Llama with the codes of the demo's codec stands for a checkpoint. With one, model and processor are

    model = AutoModelForCausalLM.from_pretrained(MODEL)
    processor = CodecTokenProcessor.from_pretrained(MODEL, CODEC, cache_directory=OUT / "codes")
"""

import os
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from tracker_logging import strategic_callbacks  # <<<
from tracker_logging.data.codes import CodeCache
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.demo.composed.tokenizer import demo_tokenizer
from tracker_logging.families.codec_tokens.layout import Slot, TokenLayout
from tracker_logging.families.codec_tokens.processor import CodecTokenProcessor
from tracker_logging.families.load_codec import load_codec

OUT = Path(os.environ.get("OUT", "outputs/examples"))
STEPS = int(os.environ.get("STEPS", "40"))

demo = build_demo(OUT / "demo")
codec, tokenizer = load_codec(str(demo.codec)), demo_tokenizer()
layout = TokenLayout(
    name="demo",
    slots=tuple(Slot(f"<c{slot}_{{}}>", codes=codec.codebook_size) for slot in range(codec.num_codebooks)),
    end="</speech>",
    prompt="{target_text}<speech>{target_audio}</speech>",
    cloning="{reference_text}<speech>{reference_audio}</speech>{target_text}<speech>{target_audio}</speech>",
)
tokenizer.add_special_tokens({"additional_special_tokens": ["<speech>", "</speech>"]})
tokenizer.add_tokens([slot.token.format(code) for slot in layout.slots for code in range(slot.codes)])
processor = CodecTokenProcessor(tokenizer, codec, CodeCache(OUT / "codes", codec), layout)
small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=8192, **small))

arguments = {"output_dir": str(OUT), "max_steps": STEPS, "per_device_train_batch_size": 2, "learning_rate": 1e-3}
arguments |= {"remove_unused_columns": False, "save_strategy": "no", "use_cpu": not torch.accelerator.is_available()}
trainer = Trainer(
    model=model,
    args=TrainingArguments(**arguments),
    train_dataset=VoiceCloningDataset(read_samples(demo.train), processor),
    data_collator=processor.collator(),
    callbacks=strategic_callbacks(  # <<<
        processor=processor,
        every=10,
        voice_samples=read_samples(demo.eval)[:2],
        logging_dir=OUT / "runs",
        run_name="codec-tokens",
    ),
)
trainer.train()
