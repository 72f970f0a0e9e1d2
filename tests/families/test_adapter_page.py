"""The example of docs/adapters.md runs and is as short as promised."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from tracker_logging import families
from tracker_logging.families.processors import processor_parts
from tracker_logging.probes.capture import StepCapture
from tracker_logging.probes.probe_set import NEEDS
from tracker_logging.testing import check_adapter

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/adapters.md", "exec"), names)
    return names


def test_the_example_runs_and_its_adapter_passes_the_suite(example: dict[str, Any]) -> None:
    assert check_adapter(example["adapter"], example["batch"], prompts=example["prompts"]) == []


def test_the_example_shows_predictions_attention_and_flow(example: dict[str, Any]) -> None:
    adapter = example["adapter"]
    capture = StepCapture(adapter=adapter, needs=NEEDS)
    capture.attach(adapter.core.train())
    adapter.core(**example["batch"])["loss"].backward()
    capture.before_update(None)
    snapshot = capture.snapshot(1)
    assert capture.errors == [] and snapshot is not None
    assert snapshot.tokens is not None and snapshot.tokens.rows.tolist() == [12, 12]
    assert snapshot.attention is not None and snapshot.attention.alignment_head is not None
    assert snapshot.flow is not None and ("attention_q", 1) in snapshot.flow.gradient_norm


def test_the_example_generates_audio(example: dict[str, Any]) -> None:
    clips = example["adapter"].generate(example["prompts"], families.SamplingSettings(temperature=1.0))
    assert [clip.codes.shape[0] for clip in clips] == [2, 2] and torch.tensor(clips[0].codes).lt(16).all()


def test_the_processor_of_the_example_is_one_for_voices(example: dict[str, Any]) -> None:
    processor, sample = example["processor"], example["sample"]
    assert processor_parts(processor).voices is processor
    prompted, alone = example["batch"]["labels"].ne(-100).any(dim=-1)
    assert prompted.sum() == alone.sum() == 6 and prompted[-6:].all()  # five frames and the end, of the target alone
    assert [prompt.audio_codes is not None for prompt in example["prompts"]] == [True, False]
    row = processor.features(sample, reference=sample)
    assert torch.equal(row["codes"], processor.features(sample)["codes"])


def test_the_page_lists_the_components_and_where_the_parts_of_a_processor_are() -> None:
    (line,) = re.findall(r"The value is one of (.*?)\. Give", PAGE, flags=re.DOTALL)
    assert tuple(re.findall(r"`(\w+)`", line)) == families.COMPONENTS
    for part, module in re.findall(r"`(\w+)\([^`]*\)`\s\(`(tracker_logging\.[\w.]+)`\)", PAGE):
        assert hasattr(import_module(module), part), f"{module} has no {part}"
    assert "`tracker_logging.data.codes`" in PAGE and "`tracker_logging.families.model_codec`" in PAGE


def test_families_are_as_short_as_promised() -> None:
    family = [block for block in BLOCKS if "(BaseAdapter)" in block or "(BaseProcessor)" in block]
    assert len(family) == 2 and len("".join(family).splitlines()) <= 100, "write one in 100 lines"
    for name in ("csm", "pocket_tts"):
        files = (ROOT / "tracker_logging" / "families" / name).glob("*.py")
        assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= 200, name
