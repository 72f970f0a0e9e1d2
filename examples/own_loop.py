"""Observe a hand-written training loop. The lines that logging adds are marked with <<<.

python examples/own_loop.py
tensorboard --logdir outputs/examples/runs
"""

import os
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from transformers import HiggsAudioV2ForConditionalGeneration

from tracker_logging import watch  # <<<
from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator

OUT = Path(os.environ.get("OUT", "outputs/examples"))
STEPS = int(os.environ.get("STEPS", "40"))

demo = build_demo(OUT / "demo")  # your own: the directories of model and codec, and a ChatML file
processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
model = HiggsAudioV2ForConditionalGeneration.from_pretrained(demo.model).train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
evaluation = read_samples(demo.eval)
collate = VoiceCloningCollator.of(processor)
loader = DataLoader(VoiceCloningDataset(read_samples(demo.train), processor), batch_size=2, collate_fn=collate)
evaluation_loader = DataLoader(VoiceCloningDataset(evaluation[:4], processor), batch_size=2, collate_fn=collate)

with watch(  # <<<
    model, optimizer, processor=processor, every=10, voice_samples=evaluation[:4],
    logging_dir=OUT / "runs", run_name="own-loop",
) as session:  # fmt: skip
    for _, batch in zip(range(STEPS), loader, strict=False):
        with session.step():  # <<<
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        session.log({"loss": loss})  # <<<
    model.eval()
    with session.evaluation(), torch.no_grad():  # <<<
        losses = [model(**batch).loss.item() for batch in evaluation_loader]
    session.log({"eval_loss": sum(losses) / len(losses)})  # <<<
