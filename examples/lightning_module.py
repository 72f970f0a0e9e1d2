"""Observe a LightningModule. The lines that logging adds are marked with <<<.

python examples/lightning_module.py
tensorboard --logdir outputs/examples/runs
"""

import os
from pathlib import Path

import lightning.pytorch as lightning
import torch
from torch.utils.data import DataLoader
from transformers import HiggsAudioV2ForConditionalGeneration

from tracker_logging.data.dataset import VoiceCloningDataset
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.composed.build import build_demo
from tracker_logging.families.higgs_v2.processor import SpeechProcessor, VoiceCloningCollator
from tracker_logging.integrations.lightning import LightningCallback  # <<<

OUT = Path(os.environ.get("OUT", "outputs/examples"))
STEPS = int(os.environ.get("STEPS", "40"))


class VoiceCloning(lightning.LightningModule):
    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.model = HiggsAudioV2ForConditionalGeneration.from_pretrained(directory)

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        loss = self.model(**batch).loss
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


demo = build_demo(OUT / "demo")  # your own: the directories of model and codec, and a ChatML file
processor = SpeechProcessor.from_pretrained(str(demo.model), str(demo.codec), cache_directory=demo.codes)
loader = DataLoader(
    VoiceCloningDataset(read_samples(demo.train), processor),
    batch_size=2,
    collate_fn=VoiceCloningCollator.of(processor),
)
logging = LightningCallback(  # <<<
    processor=processor, every=10, voice_samples=read_samples(demo.eval)[:4], logging_dir=OUT / "runs",
    run_name="lightning",
)  # fmt: skip
trainer = lightning.Trainer(
    max_steps=STEPS, accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[logging]  # <<<
)  # fmt: skip
trainer.fit(VoiceCloning(demo.model).train(), loader)
