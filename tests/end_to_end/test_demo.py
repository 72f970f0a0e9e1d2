"""The demo as `make demo` runs it, but cut short: what it must have learned by then, and that both backends hold the
same."""

import json
import math
import re
from pathlib import Path

import pytest
from read_back import Run, read_tensorboard, read_wandb, same_scalars

from tracker_logging import tags
from tracker_logging.cli import main as main_of_command
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.paths import DemoPaths
from tracker_logging.runs import open_run
from train_v2_ddp import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

VOICES, MOST = 12, 10  # a model that is still learning may stumble twice
STEPS = "120"
WITHOUT = re.compile(
    "something is missing|text is trained|violations|alert|non-finite|bf16|transcriber|two languages|two groups|"
    "latents are trained|text vocabulary|there is a finding|tracker-logging ratings"
)
IN_ONE_BACKEND = re.compile(
    r"summary/(best|interval)/|over_time/|tracker/(queue_mb|dropped_events)|custom_scalars|_hparams_"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> Path:
    """The run directory of a demo."""
    output = tmp_path_factory.mktemp("demo_run")
    (output / "demo").symlink_to(demo)
    own = ["--max_steps", STEPS, "--voice_steps", STEPS, "--output_dir", str(output)]
    assert main(["--demo=composed", "--enable_strategic_logging", "--report_to", "both", *own]) == 0
    return output / "runs" / "run"


@pytest.fixture(scope="module")
def tensorboard(written: Path) -> Run:
    return read_tensorboard(written)


@pytest.fixture(scope="module")
def wandb(written: Path) -> Run:
    return read_wandb(written)


def curve(run: Run, tag: str) -> list[float]:
    return [value for (name, _), value in sorted(run.scalars.items(), key=lambda item: item[0][1]) if name == tag]


def test_held_out_sentences_are_spoken_in_the_right_voice(tensorboard: Run) -> None:
    assert curve(tensorboard, "voices/valid_clips")[-1] >= MOST
    assert curve(tensorboard, "voices/spk_top1")[-1] >= MOST / VOICES
    assert curve(tensorboard, "voices/spk_top1_chance")[-1] < 0.5
    real = curve(tensorboard, "voices/between_speaker_real")[-1]
    assert curve(tensorboard, "voices/between_speaker")[-1] < real + 0.1


def test_clips_stop_by_themselves(tensorboard: Run) -> None:
    assert curve(tensorboard, "voices/stopped_pct")[-1] >= 100 * MOST / VOICES


def test_the_reference_is_used(tensorboard: Run) -> None:
    assert curve(tensorboard, "conditioning/gap/low")[-1] > 0.5
    assert curve(tensorboard, "conditioning/gap_null/mean")[-1] > 0


def test_the_loss_falls(tensorboard: Run) -> None:
    for tag in ("train/loss", "outputs/nll/mean", "eval/loss"):
        values = curve(tensorboard, tag)
        assert values[-1] < 0.8 * values[0], tag


def test_nothing_of_ours_failed_or_was_dropped(tensorboard: Run) -> None:
    assert set(curve(tensorboard, "tracker/errors")) == {0.0}
    assert set(curve(tensorboard, "tracker/dropped_events")) <= {0.0}
    assert tensorboard.doubles == []


def test_the_hardest_samples_are_named_by_file_and_line(
    written: Path, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = open_run(written)
    tables = run.tables[tags.HARD_SAMPLES()]
    texts = {
        str(row[1]).replace(" .", ".") for row in tables[max(tables)].rows
    }  # the tokenizer sets the full stop apart
    samples = {sample.origin: sample.target_text for sample in read_samples(DemoPaths(demo).train)}
    assert texts and texts <= set(samples.values())
    main_of_command(["check-data", str(DemoPaths(demo).train), "--losses", str(written), "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    named = {samples[one["sample"]] for one in findings if one["name"] in ("loss_high", "loss_suspect")}
    assert named == texts


def test_every_tag_that_the_demo_must_produce_is_there(tensorboard: Run) -> None:
    missing = [
        tag.template
        for tag in tags.ALL
        if not WITHOUT.search(tag.optional)
        and tag.kind not in ("voice", "audio")
        and not any(tags.find(name) is tag for name in tensorboard.tags)
    ]
    assert missing == []


def test_numbers_are_finite_and_plausible_for_their_unit(tensorboard: Run) -> None:
    limits = {"share": (0, 1), "%": (0, 100), "cosine": (-1, 1), "count": (0, math.inf), "ms": (0, math.inf)}
    for (name, step), value in tensorboard.scalars.items():
        tag = tags.find(name)
        assert math.isfinite(value), (name, step)
        if tag is not None and tag.unit in limits and not name.startswith("voices/margin_retained"):
            low, high = limits[tag.unit]
            assert low - 1e-6 <= value <= high + 1e-6, (name, step, value)


def test_both_backends_hold_the_same_values(tensorboard: Run, wandb: Run) -> None:
    for run in (tensorboard, wandb):
        run.scalars = {key: value for key, value in run.scalars.items() if not IN_ONE_BACKEND.match(key[0])}
        run.pictures = {key: value for key, value in run.pictures.items() if not IN_ONE_BACKEND.match(key[0])}
    assert same_scalars(tensorboard, wandb)
    assert tensorboard.pictures == wandb.pictures
    assert set(tensorboard.sounds) <= set(wandb.sounds)
    assert all(wandb.sounds[key] == samples for key, samples in tensorboard.sounds.items())


def test_voices_lie_beside_the_run_as_plain_files(written: Path) -> None:
    folders = list((written / "voices").iterdir())
    assert len(folders) == VOICES
    for folder in folders:
        assert {"voice.json", "reference.flac", "target.flac", "codec.flac"} <= {path.name for path in folder.iterdir()}
        steps = [f"step-{step:08d}" for step in (0, int(STEPS))]
        assert sorted(path.stem for path in folder.glob("step-*.json")) == steps
