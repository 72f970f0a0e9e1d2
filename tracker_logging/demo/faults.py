"""Common mistakes of fine-tuning scripts, made in the demo's training on request, to see how they look.

fault = FAULTS["shuffled_references"]
fault.items(items)      # ChatML samples, as `train.json` holds them
fault.batch(batch)      # what the collator makes of them
fault.model(model)      # before the first step
fault.finding           # what the doctor reports: "reference_ignored"
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracker_logging.demo.composed.world_codec import CODEBOOK_SIZE
from tracker_logging.families.base import IGNORE, Features

Item = dict[str, Any]


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFault:
    """`finding`: the rule of the doctor that finds it. `items`, `batch`, `model`: what the mistake changes."""

    what: str
    finding: str
    items: Callable[[list[Item]], list[Item]] = _unchanged
    batch: Callable[[Features], Features] = _unchanged
    model: Callable[[Any], Any] = _unchanged

    def collator(self, collate: Callable[[Any], Features]) -> Callable[[Any], Features]:
        """`collate` with what the mistake changes in a batch."""
        return lambda rows: self.batch(collate(rows))

    def write(self, source: Path, target: Path) -> Path:
        """Write the samples of the demo's file `source` with the fault to `target`. Clips stay where they are. Returns
        `source` where the fault is not one of the samples, so that the runs differ in nothing else."""
        if self.items is _unchanged:
            return source
        items = json.loads(source.read_text())
        for item in items:
            for message in item["messages"][1:]:
                for part in message["content"]:
                    if part["type"] == "audio":
                        part["audio_url"] = str((source.parent / part["audio_url"]).resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(self.items(items), indent=1))
        return target


def _shuffled_references(items: list[Item]) -> list[Item]:
    """Each sample with the reference of a sample of another speaker, as of a script that pairs by position."""
    chance = random.Random(0)
    shuffled = []
    for item in items:
        other = chance.choice([candidate for candidate in items if candidate["speaker"] != item["speaker"]])
        system, user, assistant = item["messages"]
        user = user | {"content": [*other["messages"][1]["content"][:2], *user["content"][2:]]}
        misc = item["misc"] | {"ref_transcript": other["misc"]["ref_transcript"]}
        shuffled.append(item | {"messages": [system, user, assistant], "misc": misc})
    return shuffled


def _labels_shifted_twice(batch: Features) -> Features:
    """Labels that the collator has already moved to the position that predicts them; the model moves them again."""
    labels = batch["audio_labels"].roll(-1, dims=1)
    labels[:, -1] = IGNORE
    return batch | {"audio_labels": labels}


def _end_codes_masked(batch: Features) -> Features:
    labels = batch["audio_labels"]
    return batch | {"audio_labels": labels.masked_fill(labels == CODEBOOK_SIZE + 1, IGNORE)}


def _audio_ffn_frozen(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        if ".audio_mlp." in name:
            parameter.requires_grad_(False)
    return model


FAULTS = {
    "shuffled_references": DemoFault(
        what="each target has the reference of another speaker", finding="reference_ignored", items=_shuffled_references
    ),
    "shifted_labels": DemoFault(
        what="labels are shifted by the collator and again by the model",
        finding="labels_shifted",
        batch=_labels_shifted_twice,
    ),
    "masked_end_codes": DemoFault(
        what="end codes are not trained", finding="end_codes_masked", batch=_end_codes_masked
    ),
    "frozen_audio_ffn": DemoFault(
        what="the audio FFN of each layer is frozen", finding="audio_path_frozen", model=_audio_ffn_frozen
    ),
}
