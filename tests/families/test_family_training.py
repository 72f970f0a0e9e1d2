"""Every family in a real Trainer: its tags are logged and its training is bit-identical."""

import functools
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from family_runs import NAMES, build, train, watched
from read_back import Run

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

Watch = Callable[[str], tuple[str, Run]]  # family -> its final state and its run
COMMON = {
    "inputs/samples",
    "inputs/tensors",
    "chatml/causality_leak",
    "attention/entropy/layer_1",
    "attention/heatmap/layer_1",
}
COMMON |= {
    "gradients/norm/attention_q",
    "gradients/update_ratio/norms",
    "gradients/parameters",
    "throughput/tokens_per_s",
}
AUDIO = {"inputs/segments", "inputs/audio/target", "chatml/label_coverage_pct/codebook_3", "chatml/eos_labelled_pct"}
AUDIO |= {"outputs/nll/codebook_3", "outputs/accuracy_map", "attention/mass_map", "dualffn/rms/audio/layer_1"}
AUDIO |= {"outputs/teacher_forced/teacher_forced", "throughput/frames_per_s"}
TEXT = {"outputs/nll/text", "outputs/texts", "chatml/label_coverage_pct/text"}
LATENT = {
    "latents/flow_loss/mean", "latents/flow_loss_frames", "latents/eos_loss", "latents/eos_accuracy",
    "latents/eos_recall", "latents/spread_ratio/mean", "latents/spread_ratio/min", "latents/drift/mean",
    "latents/dimension_map", "outputs/teacher_forced/teacher_forced", "outputs/teacher_forced/target",
    "attention/mass/target_to_reference/mean", "attention/mass/target_to_text/mean", "attention/diagonality",
    "gradients/norm/heads", "dualffn/rms/audio/layer_1", "inputs/segments", "conditioning/gap_null/mean",
    "conditioning/text_gap/mean",
}  # fmt: skip
EXPECTED = {
    "pocket": LATENT,
    "vibevoice": LATENT | {"latents/own_frame_seen_pct", "latents/wrong_noise_pct", "outputs/nll/text"},
    "higgs": AUDIO | {"dualffn/rms_map", "chatml/loss_ratio", "chatml/reference_labelled_pct", "attention/diagonality"},
    "higgs_text": AUDIO | TEXT | {"dualffn/rms_map", "chatml/loss_ratio", "gradients/norm/text_ffn"},
    "csm": (AUDIO - {"outputs/teacher_forced/teacher_forced"})
    | {"gradients/norm/depth_decoder", "gradients/norm/ffn", "attention/mass/target_to_text/mean"},
    "dia": AUDIO | {"gradients/norm/cross_attention", "gradients/norm/encoder", "chatml/reference_labelled_pct"},
    "codec_tokens": AUDIO
    | TEXT
    | {"dualffn/rms_map", "chatml/reference_labelled_pct", "attention/diagonality", "gradients/norm/ffn"}
    | {"outputs/outside_pct/codebook_3", "attention/mass/target_to_reference/mean", "conditioning/text_gap/mean"},
    "text": TEXT | {"dualffn/rms/text/layer_1", "gradients/norm/text_ffn"},
}
ABSENT = {
    "pocket": ("outputs/nll", "chatml/label_coverage", "chatml/same_target", "latents/own_frame_seen"),
    "vibevoice": ("outputs/nll/codebook", "chatml/label_coverage_pct/codebook", "chatml/reference_is_target"),
    "higgs": ("outputs/nll/text", "gradients/norm/cross_attention"),
    "higgs_text": ("gradients/norm/cross_attention",),
    "csm": (
        "dualffn/rms/text",
        "dualffn/rms_map",
        "chatml/reference_labelled",
        "chatml/bos_labelled",
        "outputs/nll/text",
    ),
    "dia": ("dualffn/rms/text", "dualffn/rms_map", "attention/mass/target_to_text", "outputs/nll/text"),
    "codec_tokens": ("chatml/loss_ratio", "chatml/bos_labelled", "gradients/norm/text_ffn"),
    "text": (
        "outputs/nll/codebook",
        "outputs/nll/mean",
        "inputs/segments",
        "chatml/violation",
        "attention/mass",
        "voices/",
    ),
}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_family_table", ROOT / "docs" / "make_family_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def watch(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Watch:
    """Trains a family once with all loggers on."""
    directory = tmp_path_factory.mktemp("families")
    return functools.cache(lambda name: watched(name, demo, directory))


@pytest.mark.parametrize("name", NAMES)
def test_a_family_logs_its_tags_and_trains_bit_identically(name: str, watch: Watch, demo: Path, tmp_path: Path) -> None:
    if name == "vibevoice":
        pytest.importorskip("diffusers")
    state, run = watch(name)
    assert state == train(build(name, demo, tmp_path), tmp_path), "weights, optimizer state or random state differ"
    assert run.tags >= COMMON | EXPECTED[name], sorted((COMMON | EXPECTED[name]) - run.tags)
    assert not [tag for tag in run.tags if tag.startswith(ABSENT[name])]
    assert all(math.isfinite(value) for value in run.scalars.values())
    assert all(run.texts.values()) and all(run.sounds.values()) and all(run.pictures.values())
    assert {value for (tag, _), value in run.scalars.items() if tag == "tracker/errors"} == {0.0}


def test_what_needs_codes_is_listed_with_its_reason_for_latents(watch: Watch) -> None:
    run = watch("pocket")[1]
    listed = "".join(text for (tag, _), text in run.texts.items() if tag == "tracker/missing_list")
    for family in (
        "outputs/nll/mean",
        "outputs/accuracy_map",
        "outputs/usage",
        "inputs/audio",
        "chatml/same_target_pct",
    ):
        assert family in listed
    assert "continuous latents, which have no codes" in listed
    assert "outputs/nll/text" not in listed and "inputs/audio_s" not in listed
    assert "unknown, since no part reported an error" not in listed, listed


def test_voices_are_generated_and_the_documented_table_is_current(watch: Watch, maker: ModuleType) -> None:
    pytest.importorskip("diffusers")
    tags = {heading: watch(name)[1].tags for name, heading in NAMES.items()}
    with_voices = {heading for heading, written in tags.items() if {"voices/table", "conditioning/gap/mean"} <= written}
    assert with_voices == set(NAMES.values()) - {"text"}
    page = maker.PAGE.read_text(encoding="utf-8")
    assert page == maker.filled(page, maker.table(tags)), "run: python docs/make_family_table.py"
