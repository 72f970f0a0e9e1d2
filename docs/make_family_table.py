"""Fills the table "what each family shows" of docs/adapters.md from real runs: python docs/make_family_table.py

Trains a tiny random model of every family for three steps with all loggers on. A part is marked if its tag was
written.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "adapters.md"
BEGIN, END = "<!-- what each family shows: made by docs/make_family_table.py -->", "<!-- end -->"

PARTS: tuple[tuple[str, str], ...] = (
    ("samples, tensors, lengths, padding", "inputs/samples"),
    ("audio segments with role and frames", "inputs/segments"),
    ("the clips as the model gets them", "inputs/audio/target"),
    ("label coverage by codebook", "chatml/label_coverage_pct/codebook_0"),
    ("label coverage of text", "chatml/label_coverage_pct/text"),
    ("are references without labels", "chatml/reference_labelled_pct"),
    ("is the loss scaled correctly", "chatml/loss_ratio"),
    ("is the model causal", "chatml/causality_leak"),
    ("predictions by codebook", "outputs/nll/codebook_3"),
    ("predictions of text", "outputs/nll/text"),
    ("flow or diffusion loss by share of noise", "latents/flow_loss/mean"),
    ("end of speech: loss, accuracy, recall", "latents/eos_recall"),
    ("collapse and drift of latents", "latents/spread_ratio/mean"),
    ("teacher-forced audio", "outputs/teacher_forced/teacher_forced"),
    ("attention between text, reference, target", "attention/mass/target_to_text/mean"),
    ("attention between reference and target", "attention/mass/target_to_reference/mean"),
    ("alignment of target and text", "attention/diagonality"),
    ("attention heatmaps, entropy", "attention/heatmap/layer_0"),
    ("text FFN path", "dualffn/rms/text/layer_0"),
    ("audio FFN path", "dualffn/rms/audio/layer_0"),
    ("gradients and updates by component", "gradients/norm/attention_q"),
    ("… of cross-attention", "gradients/norm/cross_attention"),
    ("… of a depth decoder", "gradients/norm/depth_decoder"),
    ("conditioning gap", "conditioning/gap_null/mean"),
    ("voices", "voices/table"),
)


def table(tags: Mapping[str, set[str]]) -> str:
    """The Markdown table; `tags`: column heading -> the tags that its run wrote."""
    lines = ["| | " + " | ".join(tags) + " |", "|---|" + ":---:|" * len(tags)]
    for text, tag in PARTS:
        lines.append(f"| {text} | " + " | ".join("✓" if tag in written else "–" for written in tags.values()) + " |")
    return "\n".join(lines)


def filled(page: str, made: str) -> str:
    """The page with the table between its two markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "families")]
    from family_runs import NAMES, watched  # type: ignore[import-not-found]

    from tracker_logging.demo.composed.build import build_demo

    with tempfile.TemporaryDirectory() as scratch:
        demo = build_demo(Path(scratch) / "demo").directory
        tags = {heading: watched(name, demo, Path(scratch))[1].tags for name, heading in NAMES.items()}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), table(tags)), encoding="utf-8")
