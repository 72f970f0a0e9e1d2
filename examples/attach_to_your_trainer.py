"""Attach the callbacks to a Trainer of your own. The lines that logging adds are marked with <<<.

python examples/attach_to_your_trainer.py
tensorboard --logdir outputs/examples/runs
"""

import os
from pathlib import Path

import torch
from transformers import HiggsAudioV2ForConditionalGeneration, Trainer, TrainingArguments

from tracker_logging import strategic_callbacks  # <<<
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.families.higgs_v2.labels import normalise_loss_by_audio_labels
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator

OUT = Path(os.environ.get("OUT", "outputs/examples"))
STEPS = int(os.environ.get("STEPS", "40"))

demo = build_demo(OUT / "demo")  # your own: the directories of model and codec, and a ChatML file
processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
evaluation = read_samples(demo.eval)
model = HiggsAudioV2ForConditionalGeneration.from_pretrained(demo.model)
normalise_loss_by_audio_labels(model)  # the Trainer would divide the audio loss by the number of text labels

trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir=str(OUT),
        max_steps=STEPS,
        per_device_train_batch_size=2,
        learning_rate=1e-3,
        remove_unused_columns=False,
        save_strategy="no",
        use_cpu=not torch.accelerator.is_available(),
    ),
    train_dataset=VoiceCloningDataset(read_samples(demo.train), processor),
    data_collator=VoiceCloningCollator.of(processor),
    callbacks=strategic_callbacks(  # <<<
        processor=processor, every=10, voice_samples=evaluation[:4], logging_dir=OUT / "runs", run_name="attached"
    ),
)
trainer.train()
