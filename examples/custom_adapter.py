"""Log a model class that tracker_logging does not know: here a variant of Higgs Audio v2 with an additional part.

    python examples/custom_adapter.py

A model with another batch layout needs `view` and `layers` too: docs/adapters.md has a complete example.
"""

import os
from pathlib import Path

import torch
from transformers import HiggsAudioV2Config, HiggsAudioV2ForConditionalGeneration, Trainer, TrainingArguments

from tracker_logging import LoggingSession, MemoryTracker, Scalars, SharedAttentionLoggerCallback, SpeechProcessor
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.families.higgs_v2.adapter import HiggsV2Adapter
from tracker_logging.families.higgs_v2.processor import VoiceCloningCollator
from tracker_logging.testing import assert_adapter

OUT = Path(os.environ.get("OUT", "outputs/examples"))


class GatedConfig(HiggsAudioV2Config):
    model_type = "gated_voice_model"


class GatedVoiceModel(HiggsAudioV2ForConditionalGeneration):
    """Scales the input of the audio head."""

    def __init__(self, config: GatedConfig) -> None:
        super().__init__(config)
        self.gate = torch.nn.Parameter(torch.ones(config.hidden_size))
        self.audio_lm_head.register_forward_pre_hook(lambda head, inputs: (inputs[0] * self.gate,))


class GatedAdapter(HiggsV2Adapter):
    family = "gated_voice_model"
    prefixes = {**HiggsV2Adapter.prefixes, "gate": "heads"}  # noqa: RUF012  (part of a parameter's name -> component)


demo = build_demo(OUT / "demo")
processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
data, collate = VoiceCloningDataset(read_samples(demo.eval), processor), VoiceCloningCollator.of(processor)
model = GatedVoiceModel(GatedConfig.from_pretrained(demo.model))
adapter = GatedAdapter(model)
assert_adapter(adapter, collate([data[0], data[1]]))  # lists an adapter's faults part by part

tracker = MemoryTracker()
session = LoggingSession(tracker=tracker, processor=processor, every=1, adapter=adapter)
options = {"max_steps": 2, "remove_unused_columns": False, "use_cpu": True, "save_strategy": "no", "report_to": "none"}
callbacks = [SharedAttentionLoggerCallback(session)]
arguments = TrainingArguments(str(OUT), per_device_train_batch_size=2, **options)
Trainer(model, arguments, train_dataset=data, data_collator=collate, callbacks=callbacks).train()
logged = {tag: value for event in tracker.events if isinstance(event, Scalars) for tag, value in event.values.items()}
for tag in sorted(tag for tag in logged if tag.startswith(("gradients/norm/", "attention/mass/target_to_reference"))):
    print(f"{tag}: {logged[tag]:.4f}")
