"""The demo as `make demo` runs it, but cut short: the base model clones, training changes it, backends are equal."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from read_back import Run, read_tensorboard, read_wandb, same_scalars

from tracker_logging import tags
from tracker_logging.cli import main as main_of_command
from tracker_logging.data.formats import read_samples
from tracker_logging.demo.pretrained_demo import REAL, TRAINED, UNSEEN, pretrained_demo
from tracker_logging.runs import open_run
from train_v2_ddp import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

VOICES = 30
STEPS = 40
WITHOUT = re.compile(
    "something is missing|text is trained|violations|alert|non-finite|bf16|transcriber|two languages|two groups|"
    "latents are trained|text vocabulary|there is a finding|tracker-logging ratings"
)
IN_ONE_BACKEND = re.compile(
    r"summary/(best|interval)/|over_time/|tracker/(queue_mb|dropped_events)|custom_scalars|_hparams_"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Path]:
    """The run directory of a demo."""
    output = tmp_path_factory.mktemp("demo_run")
    flags = ["--max_steps", str(STEPS), "--voice_steps", str(STEPS), "--output_dir", str(output)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        assert main(["--demo", "--enable_strategic_logging", "--report_to", "both", *flags]) == 0
        assert not (output / "demo").exists()
        yield output / "runs" / "run"


@pytest.fixture(scope="module")
def tensorboard(written: Path) -> Run:
    return read_tensorboard(written)


@pytest.fixture(scope="module")
def wandb(written: Path) -> Run:
    return read_wandb(written)


def curve(run: Run, tag: str) -> list[float]:
    return [value for (name, _), value in sorted(run.scalars.items(), key=lambda item: item[0][1]) if name == tag]


def of_group(run: Run, group: str, score: str) -> list[float]:
    return curve(run, tags.GROUP_SCORE(group=group.replace(" ", "_"), score=score))


def test_the_base_model_clones_voices_that_are_not_in_its_data(tensorboard: Run) -> None:
    for group in (UNSEEN, REAL):
        assert of_group(tensorboard, group, "sim_margin/low")[0] > 0, group
    assert curve(tensorboard, "voices/valid_clips")[0] >= 0.8 * VOICES


def test_new_speakers_are_cloned_before_and_after_training(tensorboard: Run) -> None:
    """A model that ignores the reference has a margin near 0, and is right in 6 % of the clips."""
    assert min(of_group(tensorboard, TRAINED, "sim_margin")) > 0.23
    assert min(of_group(tensorboard, TRAINED, "spk_top1")) >= 0.9
    assert curve(tensorboard, "voices/valid_clips")[-1] >= 0.8 * VOICES


def test_voices_that_are_never_trained_are_cloned_before_and_after_training(tensorboard: Run) -> None:
    assert min(of_group(tensorboard, UNSEEN, "sim_margin")) > 0.22
    assert min(of_group(tensorboard, UNSEEN, "spk_top1")) >= 0.75
    assert min(of_group(tensorboard, REAL, "sim_margin")) > 0.1


def test_clips_stop_by_themselves(tensorboard: Run) -> None:
    assert min(curve(tensorboard, "voices/stopped_pct")) >= 80


def test_the_reference_is_used(tensorboard: Run) -> None:
    assert min(curve(tensorboard, "conditioning/gap/mean")) > 0.25


def test_the_loss_falls(tensorboard: Run) -> None:
    for tag in ("train/loss", "eval/loss"):
        values = curve(tensorboard, tag)
        assert values[-1] < values[0], tag


def test_no_generated_clip_is_the_codecs_copy(written: Path) -> None:
    for folder in (written / "voices").iterdir():
        copy = folder / "codec.flac"
        if copy.exists():
            recording = soundfile.read(copy)[0]
            for clip in folder.glob("step-*.flac"):
                generated = soundfile.read(clip)[0]
                assert generated.shape != recording.shape or not np.allclose(generated, recording, atol=1e-3), clip


def test_nothing_of_ours_failed_or_was_dropped(tensorboard: Run) -> None:
    assert set(curve(tensorboard, "tracker/errors")) == {0.0}
    assert set(curve(tensorboard, "tracker/dropped_events")) <= {0.0}
    assert tensorboard.doubles == []


def test_the_hardest_samples_are_named_by_file_and_line(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts whose reference does not help are in the table, too; they are of another file."""
    paths = pretrained_demo()
    assert paths.prompts is not None
    tables = open_run(written).tables[tags.HARD_SAMPLES()]
    hard = {str(row[1]).replace(" .", ".") for row in tables[max(tables)].rows}  # the tokenizer sets full stops apart
    texts = hard - {sample.target_text for sample in read_samples(paths.prompts)}
    samples = {sample.origin: sample.target_text.lower() for sample in read_samples(paths.train)}  # as it has them
    assert texts and texts <= set(samples.values())
    main_of_command(["check-data", str(paths.train), "--losses", str(written), "--json"])
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
        voice = json.loads((folder / "voice.json").read_text())
        assert voice["group"] in (TRAINED, UNSEEN, REAL)
        recordings = {"reference.flac"} | ({"target.flac", "codec.flac"} if voice["group"] != REAL else set())
        assert recordings <= {path.name for path in folder.iterdir()}
        steps = [f"step-{step:08d}" for step in (0, STEPS)]
        assert sorted(path.stem for path in folder.glob("step-*.json")) == steps
